"""The contract of interface.py for every bus: videos that are watched, and counts of several at once."""

from __future__ import annotations

from liveserver.viewer_count import ViewerCount
from tests.bus.harness import WholeBus


async def test_reports_of_viewers_and_of_none_are_listed(bus: WholeBus) -> None:
    await bus.subscribe("n1", {"watched": 2, "empty": 0}, 30.0, ["watched"])
    await bus.subscribe("n2", {"watched": 1}, 30.0)
    assert (await bus.watched_since(0, 10)).videos == ["watched"]
    assert (await bus.watched_since(0, 10, left=True)).videos == ["empty"]
    counts = await bus.counts(["watched", "empty", "unknown"])
    assert {video: count.datacenter for video, count in counts.items()} == {
        "watched": 3,
        "empty": 0,
        "unknown": 0,
    }
    await bus.unsubscribe("n1", ["watched"])
    assert set((await bus.watched_since(0, 10, left=True)).videos) == {"watched", "empty"}


async def test_viewers_of_other_datacenters_are_listed(bus: WholeBus) -> None:
    assert len(await bus.note_peer_counts([ViewerCount("v", "dc2", 4, 4, 30.0)])) == 1
    assert (await bus.watched_since(0, 10)).videos == ["v"]
    assert (await bus.counts(["v"]))["v"].total == 4
    assert await bus.counts([]) == {}
