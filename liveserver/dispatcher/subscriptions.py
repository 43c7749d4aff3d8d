"""The dispatchers' subscription table: which nodes watch which videos. It lives in the bus."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from liveserver.bus.interface import Bus, Head


class Subscriptions:
    """Grants leases, for a frontend in this process as for those that ask over HTTP."""

    def __init__(self, bus: Bus, max_lease: float) -> None:
        self._bus = bus
        self._max_lease = max_lease

    async def renew(self, node: str, videos: Mapping[str, int], lease: float) -> dict[str, Head]:
        """Subscribe, or stay subscribed; each video's head. Raises `BusError`."""
        if not videos:
            return {}
        return await self._bus.subscribe(node, videos, min(lease, self._max_lease))

    async def withdraw(self, node: str, videos: Collection[str]) -> None:
        """Unsubscribe. Raises `BusError`."""
        if videos:
            await self._bus.unsubscribe(node, videos)
