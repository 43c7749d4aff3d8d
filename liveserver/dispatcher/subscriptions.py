"""The subscription table: which nodes watch which videos. It is stored in the bus."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import msgspec

from liveserver.bus.interface import Bus, Lease
from liveserver.errors import BusError
from liveserver.instruments import total


class LeaseStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    renewed: Annotated[
        int, total("Leases granted or renewed: one per video and frontend, three times per lease.")
    ]
    withdrawn: Annotated[int, total("Leases withdrawn by frontends without viewers of the video.")]
    failures: Annotated[int, total("Lease requests that the bus did not answer. Check Redis.")]


class Subscriptions:
    """Grants leases to the frontend in this process and to those that use HTTP."""

    def __init__(self, bus: Bus, max_lease: float) -> None:
        self._bus = bus
        self._max_lease = max_lease
        self._renewed = self._withdrawn = self._failures = 0

    async def renew_leases(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        """Subscribe a node to videos, or renew its leases; return the leases. Raises `BusError`."""
        if not videos:
            return {}
        with self._counting_failures():
            leases = await self._bus.subscribe(node, videos, min(lease, self._max_lease), opening)
        self._renewed += len(videos)
        return leases

    async def withdraw(self, node: str, videos: Collection[str]) -> None:
        """Unsubscribe a node from videos. Raises `BusError`."""
        if videos:
            with self._counting_failures():
                await self._bus.unsubscribe(node, videos)
            self._withdrawn += len(videos)

    @contextmanager
    def _counting_failures(self) -> Iterator[None]:
        try:
            yield
        except BusError:
            self._failures += 1
            raise

    def statistics(self) -> LeaseStatistics:
        return LeaseStatistics(renewed=self._renewed, withdrawn=self._withdrawn, failures=self._failures)
