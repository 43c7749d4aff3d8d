"""The cost of a relay: calls to the peer and to our Redis, on a virtual clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import ActiveVideos, Inbox, Slice, ignore
from liveserver.bus.memory.bus import MemoryBus
from liveserver.dispatcher.relay import backfill, sweeper
from liveserver.viewer_count import ViewerCount
from tests.dispatcher.relay.harness import Link, Relaying, datacenter, lines, publish

AGE = 600  # seconds that a harness' relay takes the peer to remember


class CountedLink(Link):
    """Counts the calls. A `full` one asks for all that the peer remembers."""

    def __init__(self, bus: MemoryBus) -> None:
        super().__init__(bus)
        self.calls: Counter[str] = Counter()
        self.compared: list[list[str]] = []
        self.asked: list[tuple[float, int]] = []  # when, and since when

    @asynccontextmanager
    async def feed(self, hear: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        self.calls["feed"] += 1
        async with super().feed(hear) as feed:
            yield feed

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos:
        if since == sweeper.NEVER:
            self.calls["reach"] += 1
        else:
            self.calls["look"] += 1
            self.asked.append((trio.current_time(), since))
        return await super().active_since(since, limit)

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        self.calls["read" if limit else "heads"] += 1
        if not limit:
            self.compared.append(sorted(after))
        return await super().read_several(after, limit)

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        self.calls["states"] += 1
        return await super().states(videos)


class CountedBus(MemoryBus):
    """Our own."""

    joins = 0
    relays = 0

    async def join_group(self, group: str, node: str, lease: float) -> list[str]:
        self.joins += 1
        return await super().join_group(group, node, lease)


def counted(name: str) -> CountedBus:
    plain = datacenter(name)
    bus = CountedBus.__new__(CountedBus)
    bus.__dict__.update(plain.__dict__)
    return bus


async def test_while_nothing_happens_a_relay_sweeps_and_does_no_more(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Each sweep reaches the peer and looks once; each full one looks once more. Nothing is read."""
    dc1, link = datacenter("dc1"), CountedLink(datacenter("dc2"))
    there = Relaying(link, dc1, sweep_interval="10s", full_sweep_interval="95s")
    nursery.start_soon(there.run)
    await trio.sleep(5)
    link.calls.clear()
    await trio.sleep(300)
    assert link.calls == {"reach": 30, "look": 33}
    assert there.statistics.failures == there.statistics.mends == 0


async def test_a_quiet_video_is_compared_by_full_sweeps_only(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = CountedLink(dc2)
    nursery.start_soon(Relaying(link, dc1, sweep_interval="10s", full_sweep_interval="95s").run)
    await trio.sleep(5)
    await publish(dc2, "v", "a")
    await trio.sleep(30)
    assert link.compared == [["v"], ["v"]], "by the sweeps of the ten seconds before and after"
    link.compared.clear()
    await trio.sleep(200)
    assert link.compared == [["v"], ["v"]], "by two full ones"
    assert link.calls["read"] == 0


async def test_events_lost_by_our_own_log_are_found_by_a_full_sweep(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = CountedLink(dc2)
    nursery.start_soon(Relaying(link, dc1, sweep_interval="10s", full_sweep_interval="95s").run)
    await trio.sleep(5)
    await publish(dc2, "v", "a", "b")
    await trio.sleep(40)
    dc1._videos.pop("v")
    await trio.sleep(40)
    assert await lines(dc1, "v") == [], "no sweep of what moved lately finds it"
    await trio.sleep(30)
    assert await lines(dc1, "v") == ["a", "b"]


async def test_a_change_of_the_group_is_swept_for_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = CountedLink(dc2)
    nursery.start_soon(Relaying(link, dc1, "di1", lease="9s", sweep_interval="1h").run)
    await trio.sleep(10)
    before = link.calls.copy()
    second = Relaying(CountedLink(dc2), dc1, "di2", lease="9s", sweep_interval="1h")
    nursery.start_soon(second.run)
    await trio.sleep(4)  # a third of a lease: the first one sees the second
    assert (link.calls - before) == {"reach": 1, "look": 2}
    second.kill()
    await trio.sleep(4)
    assert (link.calls - before) == {"reach": 2, "look": 4}
    await trio.sleep(3_000)
    assert (link.calls - before) == {"reach": 2, "look": 4}, "and then no more before the interval"


async def test_the_lease_is_renewed_three_times_in_its_life(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1 = counted("dc1")
    nursery.start_soon(Relaying(Link(datacenter("dc2")), dc1, lease="9s", sweep_interval="1h").run)
    await trio.sleep(1)
    before = dc1.joins
    await trio.sleep(90)
    assert dc1.joins - before == 30


async def test_a_cut_link_is_tried_with_growing_pauses_and_no_sooner(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveserver.backoff.random.uniform", lambda low, high: high)
    link = CountedLink(datacenter("dc2"))
    there = Relaying(link, datacenter("dc1"), sweep_interval="4s", retry_min="1s", retry_max="8s")
    nursery.start_soon(there.run)
    await trio.sleep(0.5)
    link.is_cut = True
    link.calls.clear()
    await trio.sleep(100)
    # Pauses of 1, 2, 4, 8, 8 … s, behind each the sweep's interval of 4 s: at 4, 9, 15, 23, 35, 47 … 95.
    assert link.calls == {"reach": 10}
    assert there.statistics.failures == 10
    link.is_cut = False
    await trio.sleep(12)
    assert there.statistics.is_reached
    link.is_cut = True
    before = there.statistics.failures
    await trio.sleep(6)  # a success: the pauses begin anew
    assert there.statistics.failures - before >= 1


async def test_all_pages_of_a_sweep_are_looked_at(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "PAGE", 3)
    monkeypatch.setattr(sweeper, "COMPARED", 2)
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    for number in range(8):
        await publish(dc2, f"v{number}", str(number))
        await trio.sleep(0.01)
    link = CountedLink(dc2)
    nursery.start_soon(Relaying(link, dc1, sweep_interval="1h").run)
    await trio.sleep(5)
    assert [await lines(dc1, f"v{number}") for number in range(8)] == [[str(n)] for n in range(8)]
    link.calls.clear()
    link.compared.clear()
    await trio.sleep(3_600)
    videos = sorted(video for some in link.compared for video in some)
    assert videos == sorted(f"v{number}" for number in range(8)) or videos == []
    assert all(len(some) <= 2 for some in link.compared)


async def test_more_videos_than_are_noted_at_a_time_are_found_by_the_next_sweep(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "MAX_BACKLOG", 3)
    monkeypatch.setattr(sweeper, "PAGE", 3)
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = CountedLink(dc2)
    there = Relaying(link, dc1, sweep_interval="1h")
    nursery.start_soon(there.run)
    await trio.sleep(5)
    link.calls.clear()
    for number in range(10):
        link.loses = 1
        await publish(dc2, f"v{number}", "lost")
        await trio.sleep(0.002)  # a page has all videos of a millisecond, however many
    link.latency = 0.1
    for number in range(10):
        await publish(dc2, f"v{number}", "heard")
        await trio.sleep(0.002)
    await trio.sleep(10)
    assert [await lines(dc1, f"v{number}") for number in range(10)] == [["lost", "heard"]] * 10
    assert there.statistics.lag_seconds == 0.0
    assert 1 <= link.calls["reach"] <= 10, "three videos at a time"
    reached = link.calls["reach"]
    await trio.sleep(1_000)
    assert link.calls["reach"] == reached


async def test_a_feed_that_missed_something_is_swept_for_at_once_and_never_on_end(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = CountedLink(dc2)
    nursery.start_soon(Relaying(link, dc1, sweep_interval="1h").run)
    await trio.sleep(5)
    link.calls.clear()
    for _ in range(5):
        link.is_cut = True
        await publish(dc2, "v", "lost")
        await trio.sleep(0.01)
        link.is_cut = False
        await publish(dc2, "v", "heard")
        await trio.sleep(0.01)
    await trio.sleep(2)
    assert await lines(dc1, "v") == ["lost", "heard"] * 5
    assert link.calls["reach"] <= 3, "five misses within a tenth of a second"
    assert link.calls["feed"] == 0, "listening goes on"
