"""One datacenter relayed into another, on a virtual clock: whatever the link and the dispatchers do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus import canary
from liveserver.bus.interface import OPS_GROUP, OPS_LEASE, ReplicaPosition, ReplicationBatch
from liveserver.viewer_count import ViewerCount
from tests.dispatcher.relay.harness import (
    Link,
    Relaying,
    datacenter,
    lines,
    publish,
    publish_keyed,
    state,
)


async def test_events_published_at_a_peer_are_relayed_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    there = Relaying(Link(dc2), dc1)
    nursery.start_soon(there.run)
    await trio.sleep(1)
    await publish(dc2, "v", "a", "b")
    await publish(dc1, "v", "own")
    await publish(dc2, "w", "c")
    await publish(dc2, canary.PREFIX + "di1", "tweet")
    await trio.sleep(0.001)
    assert await lines(dc1, "v", "dc2") == ["a", "b"]
    assert await lines(dc1, "w") == ["c"]
    assert await lines(dc1, canary.PREFIX + "di1") == []
    assert (there.statistics.is_reached, there.statistics.sharing) == (True, 1)
    assert (there.statistics.lag_events, there.statistics.lag_seconds) == (0, 0.0)
    assert there.statistics.mends == 0


async def test_a_peers_own_nodes_are_announced_here_while_it_is_reached(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """None of those that are announced there for a third datacenter, which would not expire."""
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = Link(dc2)
    nursery.start_soon(Relaying(link, dc1).run)
    own, third = "dc2 dc2-fe1 frontend h:9000", "dc3 dc3-fe1 frontend h:9000"
    for node in (own, third, "dc1 dc1-fe1 frontend h:9000"):
        await dc2.join_group(OPS_GROUP, node, 1_000)
    await trio.sleep(OPS_LEASE)
    assert await dc1.group(OPS_GROUP) == [own]
    link.is_cut = True
    await trio.sleep(2 * OPS_LEASE)
    assert await dc1.group(OPS_GROUP) == []


async def test_viewers_there_are_counted_here_for_as_long_as_that_is_heard(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2, dc3 = datacenter("dc1"), datacenter("dc2"), datacenter("dc3")
    relays = [Relaying(Link(dc2), dc1), Relaying(Link(dc3), dc1), Relaying(Link(dc1), dc2)]
    for each in relays:
        nursery.start_soon(each.run)
    await trio.sleep(1)
    heard: list[ViewerCount] = []
    async with dc1.inbox("fe1", heard.append):
        await dc1.subscribe("fe1", {"v": 1}, 1000)
        await dc2.subscribe("fe2", {"v": 20, canary.PREFIX + "fe2": 5}, 30)
        await dc3.subscribe("fe3", {"v": 300}, 300)
        await trio.sleep(3)
        assert [(tally.datacenter, tally.total) for tally in heard] in (
            [(1, 1), (1, 321)],
            [(1, 1), (1, 21), (1, 321)],
        )
        assert (await dc2.count("v")).total == 21
        assert (await dc1.count(canary.PREFIX + "fe2")).total == 0
        await trio.sleep(40)  # the only frontend of dc2 is dead
        assert (await dc1.count("v")).total == 301


async def test_earlier_events_are_read_from_the_peers_log(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    for number in range(300):
        await publish(dc2, f"v{number}", *(f"{number}-{index}" for index in range(number % 7 + 1)))
    there = Relaying(Link(dc2), dc1, batch_events=100)
    nursery.start_soon(there.run)
    await trio.sleep(1)
    for number in range(300):
        assert await lines(dc1, f"v{number}") == [f"{number}-{index}" for index in range(number % 7 + 1)]
    assert there.statistics.relayed == sum(number % 7 + 1 for number in range(300))


async def test_three_datacenters_bring_each_other_everything_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    buses = {name: datacenter(name) for name in ("dc1", "dc2", "dc3")}
    for name, ours in buses.items():
        for other, theirs in buses.items():
            if other != name:
                nursery.start_soon(Relaying(Link(theirs), ours).run)
    await trio.sleep(1)
    for number in range(20):
        for name, bus in buses.items():
            await publish(bus, "v", f"{name}-{number}")
        await trio.sleep(0.01)
    await trio.sleep(10)
    for ours in buses.values():
        for name in buses:
            assert await lines(ours, "v", name) == [f"{name}-{number}" for number in range(20)]


async def test_a_missing_range_of_the_feed_is_backfilled_before_the_next_events(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = Link(dc2)
    there = Relaying(link, dc1)
    nursery.start_soon(there.run)
    await trio.sleep(1)
    link.latency = 0.1
    await publish(dc2, "v", "a")
    await trio.sleep(0.01)
    link.loses = 1
    await publish(dc2, "v", "lost")
    await trio.sleep(0.01)
    for number in range(20):  # while it is mended, more comes
        await publish(dc2, "v", str(number))
        await trio.sleep(0.01)
    await trio.sleep(0.2)
    assert await lines(dc1, "v") == ["a", "lost", *map(str, range(20))]
    assert (there.statistics.mends, there.statistics.gaps) == (1, 0)
    before = link.reads
    await publish(dc2, "v", "on")
    await trio.sleep(0.01)
    assert (await lines(dc1, "v"))[-1] == "on"
    assert link.reads == before


async def test_what_arrives_at_the_end_of_a_backfill_is_relayed_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held back until the backfill is over, and no later event has to come for it to go on."""
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = Link(dc2)
    nursery.start_soon(Relaying(link, dc1).run)
    await trio.sleep(1)
    await publish(dc2, "v", "a")
    await trio.sleep(0.01)
    link.loses = 1
    await publish(dc2, "v", "lost")
    await trio.sleep(0.01)
    relay = dc1.relay

    async def relay_and_publish(batches: Sequence[ReplicationBatch]) -> list[ReplicaPosition]:
        positions = await relay(batches)
        if any(b"like lost" in batch.lines for batch in batches):
            await publish(dc2, "v", "late")
            await trio.sleep(0.01)
        return positions

    monkeypatch.setattr(dc1, "relay", relay_and_publish)
    await publish(dc2, "v", "b")
    await trio.sleep(0.1)
    assert await lines(dc1, "v") == ["a", "lost", "b", "late"]


async def test_a_lost_last_event_is_found_by_the_sweep(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = Link(dc2)
    there = Relaying(link, dc1, sweep_interval="5s")
    nursery.start_soon(there.run)
    await trio.sleep(1)
    link.loses = 1
    await publish(dc2, "v", "a")
    await trio.sleep(6)
    assert await lines(dc1, "v") == ["a"]
    await trio.sleep(60)
    assert there.statistics.mends == 1


async def test_a_cut_of_minutes_is_caught_up_with(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    link = Link(dc2)
    link.latency = 0.05
    there = Relaying(link, dc1)
    nursery.start_soon(there.run)
    await trio.sleep(1)
    link.is_cut = True
    await trio.sleep(10)
    assert not there.statistics.is_reached
    assert there.statistics.lag_seconds > 4
    for number in range(2000):
        await publish(dc2, f"v{number % 20}", str(number))
    await trio.sleep(170)
    link.is_cut = False
    await trio.sleep(8)
    for video in range(20):
        assert await lines(dc1, f"v{video}") == [str(number) for number in range(video, 2000, 20)]
    assert (there.statistics.is_reached, there.statistics.lag_seconds) == (True, 0.0)


async def test_events_the_peer_has_lost_are_a_jump_in_its_numbers(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2", max_events=10)
    link = Link(dc2)
    there = Relaying(link, dc1)
    nursery.start_soon(there.run)
    await trio.sleep(1)
    await publish(dc2, "v", "a")
    await trio.sleep(1)
    link.loses = 30
    for number in range(31):
        await publish(dc2, "v", str(number))
    await trio.sleep(10)
    assert await lines(dc1, "v") == ["a", *map(str, range(21, 31))]
    assert there.statistics.gaps == 1
    numbers = [(batch.number, batch.last) for batch in (await dc1.read("v", 0, 100)).batches]
    assert numbers == [(1, 1), (23, 11)]


async def test_likes_that_the_peer_has_dropped_are_not_a_gap(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    kinds = {"ephemeral_types": ["like"], "ephemeral_events": 5}
    dc1, dc2 = datacenter("dc1", **kinds), datacenter("dc2", **kinds)
    link = Link(dc2)
    there = Relaying(link, dc1, sweep_interval="2s")
    nursery.start_soon(there.run)
    await trio.sleep(1)
    await publish(dc2, "v", "a")
    await trio.sleep(1)
    link.loses = 60
    for number in range(60):
        await publish(dc2, "v", str(number))
    await trio.sleep(5)
    assert (await lines(dc1, "v", "dc2"))[-5:] == [str(number) for number in range(55, 60)]
    # Other datacenters' likes push all of its own out of the peer's log: nothing is there to be relayed.
    link.loses = 3
    for number in range(3):
        await publish(dc2, "v", f"gone {number}")
    await dc2.relay([ReplicationBatch("v", "dc3", "aaa", 1, 9, [b"like {}"] * 9)])
    await trio.sleep(5)
    (position,) = await dc1.relay([ReplicationBatch("v", "dc2", "", 0, 0, [])])
    assert position.number == 64
    mends = there.statistics.mends
    await trio.sleep(20)
    assert (there.statistics.gaps, there.statistics.mends, there.statistics.lag_events) == (0, mends, 0)


async def test_a_new_epoch_of_the_peer_is_followed_and_the_old_one_never_returns(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    there = Relaying(Link(dc2), dc1)
    nursery.start_soon(there.run)
    await trio.sleep(1)
    await publish(dc2, "v", "a", "b")
    await trio.sleep(1)
    del dc2._videos["v"]  # the store came back empty
    await publish(dc2, "v", "c")
    await publish(dc2, "v", "d")
    await trio.sleep(1)
    assert await lines(dc1, "v") == ["a", "b", "c", "d"]
    assert there.statistics.gaps == 1


async def test_a_new_life_here_takes_all_there_is_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    nursery.start_soon(Relaying(Link(dc2), dc1).run)
    await trio.sleep(1)
    await publish(dc2, "v", "a", "b")
    await trio.sleep(1)
    del dc1._videos["v"]
    await publish(dc2, "v", "c")
    await trio.sleep(1)
    assert await lines(dc1, "v") == ["a", "b", "c"]


async def test_two_dispatchers_share_the_videos_and_one_takes_over(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    one, other = Relaying(Link(dc2), dc1, "di1"), Relaying(Link(dc2), dc1, "di2")
    nursery.start_soon(one.run)
    nursery.start_soon(other.run)
    await trio.sleep(10)
    for number in range(100):
        await publish(dc2, f"v{number}", "a")
    await trio.sleep(0.1)
    assert one.statistics.relayed + other.statistics.relayed == 100
    assert 25 < one.statistics.relayed < 75
    one.kill()
    for number in range(100):
        await publish(dc2, f"v{number}", "b")
    await trio.sleep(20)
    for number in range(100):
        assert await lines(dc1, f"v{number}") == ["a", "b"]
    assert other.statistics.sharing == 1


async def test_a_dispatcher_that_cannot_reach_the_peer_relays_no_video(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    cut = Link(dc2)
    one, other = Relaying(cut, dc1, "di1"), Relaying(Link(dc2), dc1, "di2")
    nursery.start_soon(one.run)
    nursery.start_soon(other.run)
    await trio.sleep(10)
    cut.is_cut = True
    await trio.sleep(30)
    assert other.statistics.sharing == 1
    for number in range(30):
        await publish(dc2, f"v{number}", "a")
    await trio.sleep(0.1)
    for number in range(30):
        assert await lines(dc1, f"v{number}") == ["a"]
    cut.is_cut = False
    await trio.sleep(30)
    assert other.statistics.sharing == 2


async def test_more_than_the_buffer_holds_is_read_from_the_log(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2")
    there = Relaying(Link(dc2), dc1, buffer="2KiB")
    nursery.start_soon(there.run)
    await trio.sleep(1)
    for number in range(100):
        await publish(dc2, f"v{number % 3}", str(number))
    await trio.sleep(5)
    assert there.statistics.dropped > 0
    for video in range(3):
        assert await lines(dc1, f"v{video}") == [str(number) for number in range(video, 100, 3)]


async def test_a_peer_under_a_wrong_name_brings_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc3 = datacenter("dc1"), datacenter("dc3")
    there = Relaying(Link(dc3), dc1, named="dc2")
    nursery.start_soon(there.run)
    await trio.sleep(1)
    await publish(dc3, "v", "a")
    await trio.sleep(20)
    assert await lines(dc1, "v") == []


async def test_lost_keyed_events_are_recovered_from_the_peers_state(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dc1, dc2 = datacenter("dc1"), datacenter("dc2", max_events=5)
    there = Relaying(link := Link(dc2), dc1, sweep_interval="2s")
    nursery.start_soon(there.run)
    await trio.sleep(1)
    await publish_keyed(dc2, "v", "a", 1, 5)
    await trio.sleep(3)
    link.is_cut = True
    await publish_keyed(dc1, "v", "b", 9, 5)
    await publish_keyed(dc2, "v", "a", 2, 6)
    await publish_keyed(dc2, "v", "b", 8, 6)
    await publish_keyed(dc2, "v", "c", 3, 6)
    await publish(dc2, "v", *"0123456789")
    await trio.sleep(3)
    link.is_cut = False
    await trio.sleep(10)
    assert there.statistics.gaps == 1
    assert {key: event.rank[0] for key, event in (await state(dc1, "v")).items()} == {"a": 2, "b": 9, "c": 3}
