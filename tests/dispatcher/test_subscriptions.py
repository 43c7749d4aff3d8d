"""Leases are granted up to their limit, without unnecessary calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from liveserver.bus.interface import Lease
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings
from liveserver.dispatcher.subscriptions import Subscriptions


class Asked(MemoryBus):
    """A bus that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("dc1", HistorySettings(), 10)
        self.asked: list[tuple[object, ...]] = []

    async def subscribe(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        self.asked.append((node, dict(videos), lease))
        return await super().subscribe(node, videos, lease, opening)

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        self.asked.append((node, list(videos)))
        await super().unsubscribe(node, videos)


async def test_a_lease_is_as_long_as_asked_for_and_no_longer_than_it_may_be() -> None:
    bus = Asked()
    subscriptions = Subscriptions(bus, 300)
    heads = await subscriptions.renew_leases("n", {"v": 1, "w": 2}, 30)
    assert list(heads) == ["v", "w"]
    await subscriptions.renew_leases("n", {"v": 1}, 1e9)
    await subscriptions.withdraw("n", ["v"])
    assert bus.asked == [("n", {"v": 1, "w": 2}, 30), ("n", {"v": 1}, 300), ("n", ["v"])]


async def test_nothing_is_asked_for_nothing() -> None:
    bus = Asked()
    subscriptions = Subscriptions(bus, 300)
    assert await subscriptions.renew_leases("n", {}, 30) == {}
    await subscriptions.withdraw("n", [])
    assert bus.asked == []
