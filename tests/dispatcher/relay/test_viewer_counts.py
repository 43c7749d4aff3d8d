"""Viewer counts of a peer: how many at once, how often, and which are left when there are too many."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import Bus
from liveserver.dispatcher.relay import viewer_counts
from liveserver.dispatcher.relay.viewer_counts import ViewerCountRelay
from liveserver.viewer_count import ViewerCount
from tests.dispatcher.relay.harness import datacenter


class CountedBus:
    """Notes what it is asked to record; what is in `too_early` is not announced."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list[ViewerCount]]] = []
        self.too_early: set[str] = set()

    async def note_peer_counts(self, counts: Sequence[ViewerCount]) -> list[bool]:
        await trio.lowlevel.checkpoint()
        self.calls.append((trio.current_time(), list(counts)))
        return [count.video not in self.too_early for count in counts]


def relay(bus: CountedBus, *, mine: str = "v") -> ViewerCountRelay:
    ours: Bus = datacenter("dc1")
    made = ViewerCountRelay("dc2", ours, lambda video: video.startswith(mine))
    made._ours = bus  # type: ignore[assignment]  # of the bus it uses one verb
    return made


def count(video: str, viewers: int = 1, origin: str = "dc2") -> ViewerCount:
    return ViewerCount(video, origin, viewers, viewers, 10.0)


async def record(made: ViewerCountRelay) -> None:
    while True:
        await made.record_some()


async def test_so_many_are_recorded_at_once_and_then_there_is_a_pause(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_counts, "BATCH_SIZE", 2)
    bus = CountedBus()
    made = relay(bus)
    for number in range(5):
        made.on_viewer_count(count(f"v{number}"))
    nursery.start_soon(record, made)
    await trio.sleep(10)
    begun = bus.calls[0][0]
    assert [(round(when - begun, 3), [each.video for each in some]) for when, some in bus.calls] == [
        (0.0, ["v0", "v1"]),
        (0.2, ["v2", "v3"]),
        (0.4, ["v4"]),
    ]


async def test_the_newest_count_is_recorded_and_again_when_it_was_too_early(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bus = CountedBus()
    bus.too_early.add("v")
    made = relay(bus)
    made.on_viewer_count(count("v", 1))
    made.on_viewer_count(count("v", 2))
    nursery.start_soon(record, made)
    await trio.sleep(0.3)
    made.on_viewer_count(count("v", 3))
    await trio.sleep(0.2)
    bus.too_early.clear()
    await trio.sleep(10)
    assert [some[0].datacenter for _, some in bus.calls] == [2, 2, 3, 3]


async def test_others_counts_are_none_of_its_business(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bus = CountedBus()
    made = relay(bus, mine="v")
    made.on_viewer_count(count("w"))
    made.on_viewer_count(count("v", origin="dc3"))
    nursery.start_soon(record, made)
    await trio.sleep(1)
    assert bus.calls == []


async def test_beyond_the_bound_known_videos_have_room_and_new_ones_have_not(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_counts, "MOST", 2)
    bus = CountedBus()
    made = relay(bus)
    for video, viewers in (("v1", 1), ("v2", 2), ("v3", 3), ("v1", 9)):
        made.on_viewer_count(count(video, viewers))
    nursery.start_soon(record, made)
    await trio.sleep(1)
    recorded = [(each.video, each.datacenter) for _, some in bus.calls for each in some]
    assert recorded == [("v1", 9), ("v2", 2)]
