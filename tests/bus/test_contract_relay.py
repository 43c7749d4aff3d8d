"""The contract of interface.py for every bus: events of other datacenters, and group membership."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import trio

from liveserver.bus.interface import ReplicaPosition, ReplicationBatch
from liveserver.event import Batch
from tests.bus.harness import OpenBus, WholeBus, append, contents, lines, parcel, take
from tests.conftest import Until


def relayed(
    numbers: Sequence[int],
    *,
    origin: str = "dc2",
    epoch: str = "aaaaa",
    video: str = "v",
    instead: ReplicaPosition | None = None,
) -> ReplicationBatch:
    """Events whose offset in their origin's log is ten times their number."""
    texts = [f"like {origin}-{epoch}-{number}".encode() for number in numbers]
    offset = 10 * numbers[-1] if numbers else 0
    return ReplicationBatch(video, origin, epoch, numbers[0] if numbers else 0, offset, texts, instead)


async def relay(bus: WholeBus, *parcels: ReplicationBatch) -> ReplicaPosition:
    """Where the log stands with the last one's origin, without its own epoch."""
    standing = (await bus.relay(parcels))[-1]
    return ReplicaPosition("", standing.epoch, standing.number, standing.offset)


async def standing(bus: WholeBus, origin: str = "dc2") -> ReplicaPosition:
    (stands,) = await bus.relay([relayed([], origin=origin)])
    return stands


async def test_the_next_relayed_batch_is_accepted_and_numbered_locally(bus: WholeBus) -> None:
    receipt = await append(bus, "v", "a")
    assert await relay(bus, relayed([1, 2])) == ReplicaPosition("", "aaaaa", 2, 20)
    assert await relay(bus, relayed([3])) == ReplicaPosition("", "aaaaa", 3, 30)
    after = await append(bus, "v", "b")
    assert (after.first, after.number) == (5, 2)
    stretch = await bus.read("v", 0, 100)
    assert [msgspec.structs.replace(batch, since=None) for batch in stretch.batches] == [
        Batch("v", receipt.epoch, 1, "dc1", receipt.epoch, 1, [b"like a"]),
        Batch("v", receipt.epoch, 2, "dc2", "aaaaa", 1, [b"like dc2-aaaaa-%d" % n for n in (1, 2, 3)]),
        Batch("v", receipt.epoch, 5, "dc1", receipt.epoch, 2, [b"like b"]),
    ]
    assert str(stretch.head.cursor) == str(after.cursor) == f"dc1-{receipt.epoch}-2~dc2-aaaaa-3"


async def test_relayed_events_go_to_inboxes_and_not_to_the_feed(bus: WholeBus) -> None:
    async with bus.inbox("n") as inbox, bus.feed() as feed:
        head = (await bus.subscribe("n", {"v": 1}, 30))["v"].head
        await bus.relay([relayed([1, 2])])
        await append(bus, "v", "own")
        (batch, own) = await take(inbox, 3)
        assert (batch.epoch, batch.first, batch.origin, batch.origin_epoch, batch.number) == (
            head.epoch, 1, "dc2", "aaaaa", 1,
        )  # fmt: skip
        assert (own.first, own.number) == (3, 1)
        assert contents(await take(feed, 1)) == ["own"]


async def test_repeats_are_dropped_and_overlaps_trimmed(bus: WholeBus) -> None:
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        await bus.relay([relayed([1, 2, 3])])
        for again in ([1, 2, 3], [2], [3]):
            assert await relay(bus, relayed(again)) == ReplicaPosition("", "aaaaa", 3, 30)
        assert await relay(bus, relayed([2, 3, 4, 5])) == ReplicaPosition("", "aaaaa", 5, 50)
        batches = await take(inbox, 5)
    assert [batch.number for batch in batches] == [1, 4]
    assert contents(batches) == await lines(bus, "v") == [f"dc2-aaaaa-{n}" for n in range(1, 6)]


async def test_a_jump_is_refused_with_the_position_of_the_log(bus: WholeBus) -> None:
    await bus.relay([relayed([1, 2])])
    for wrong in (relayed([4, 5]), relayed([1], epoch="bbbbb"), relayed([3], epoch="bbbbb")):
        assert await relay(bus, wrong) == ReplicaPosition("", "aaaaa", 2, 20)
    assert await lines(bus, "v") == ["dc2-aaaaa-1", "dc2-aaaaa-2"]


async def test_an_origin_not_heard_of_before_begins_with_its_first(bus: WholeBus) -> None:
    assert await relay(bus, relayed([7, 8])) == ReplicaPosition("", "", 0, 0)
    nothing = await standing(bus)
    assert (nothing.epoch, nothing.number, nothing.offset) == ("", 0, 0)
    assert await relay(bus, relayed([7, 8], instead=nothing)) == ReplicaPosition("", "aaaaa", 8, 80)
    assert await relay(bus, relayed([1, 2], origin="dc3")) == ReplicaPosition("", "aaaaa", 2, 20)
    assert await lines(bus, "v") == ["dc2-aaaaa-7", "dc2-aaaaa-8", "dc3-aaaaa-1", "dc3-aaaaa-2"]


async def test_a_jump_is_accepted_from_the_known_position_of_the_log(bus: WholeBus) -> None:
    await bus.relay([relayed([1, 2])])
    known = await standing(bus)
    assert await relay(bus, relayed([5, 6], instead=known)) == ReplicaPosition("", "aaaaa", 6, 60)
    assert await relay(bus, relayed([9], instead=known)) == ReplicaPosition("", "aaaaa", 6, 60)
    known = await standing(bus)
    assert await relay(bus, relayed([3], epoch="bbbbb", instead=known)) == ReplicaPosition("", "bbbbb", 3, 30)
    # A relay that was held up since before the new life brings the former one: never again.
    assert await relay(bus, relayed([7], instead=known)) == ReplicaPosition("", "bbbbb", 3, 30)
    assert await relay(bus, relayed([7])) == ReplicaPosition("", "bbbbb", 3, 30)
    assert await relay(bus, relayed([4], epoch="bbbbb", instead=known)) == ReplicaPosition("", "bbbbb", 4, 40)


async def test_positions_of_a_former_epoch_are_ignored(bus: WholeBus) -> None:
    known = await standing(bus)
    former = msgspec.structs.replace(known, log="former")
    assert (await relay(bus, relayed([5], instead=former))).number == 0
    assert (await relay(bus, relayed([5], instead=known))).number == 5


async def test_videos_and_origins_are_independent(bus: WholeBus) -> None:
    await bus.relay(
        [relayed([1, 2]), relayed([1], video="w"), relayed([1], origin="dc3"), relayed([3]), relayed([9])]
    )
    standings = await bus.relay([relayed([]), relayed([], video="w"), relayed([], origin="dc3")])
    assert [(each.number, each.offset) for each in standings] == [(3, 30), (1, 10), (1, 10)]
    assert standings[0].log == standings[2].log
    assert await bus.relay([]) == []


async def test_origins_whose_names_begin_alike_are_not_confused(bus: WholeBus) -> None:
    for number, origin in enumerate(["dc", "dc22", "dc2", "c2", "a"], 1):
        await bus.relay([relayed(list(range(1, number + 1)), origin=origin)])
    assert (await standing(bus, "dc2")).number == 3
    await bus.relay([relayed([4], origin="dc2"), relayed([2], origin="dc")])
    head = (await bus.read("v", 0, 1)).head
    assert [(origin, mark.number) for origin, mark in head.cursor] == [
        ("a", 5), ("c2", 4), ("dc", 2), ("dc1", 0), ("dc2", 4), ("dc22", 2),
    ]  # fmt: skip


async def test_a_relayed_log_is_bounded_as_any(open_bus: OpenBus) -> None:
    async with open_bus(max_events=200, ephemeral_types=[]) as bus:
        for start in range(1, 1000, 10):
            await bus.relay([relayed(range(start, start + 10))])
        stretch = await bus.read("v", 0, 10_000)
    assert stretch.head.offset == 1000
    assert 1000 - 200 - 100 < stretch.oldest <= 801
    assert stretch.batches[0].number == stretch.oldest


async def test_two_that_relay_at_once_bring_each_event_once(bus: WholeBus) -> None:
    async def bring(seed: int) -> None:
        chance = random.Random(seed)
        number = 1
        while number <= 200:
            count = chance.randint(1, 9)
            stands = await relay(bus, relayed(range(number, number + count)))
            number = min(stands.number + 1, number + chance.randint(1, count))

    async with trio.open_nursery() as nursery:
        for seed in range(4):
            nursery.start_soon(bring, seed)
    own = await lines(bus, "v")
    assert own == [f"dc2-aaaaa-{n}" for n in range(1, len(own) + 1)]
    assert len(own) >= 200


# What moved


async def test_videos_that_moved_since(bus: WholeBus, until: Until) -> None:
    assert (await bus.active_since(0, 10)).videos == []
    await append(bus, "v", "a")
    before = (await bus.active_since(0, 10)).now

    async def time_passed() -> bool:
        return (await bus.active_since(0, 10)).now > before

    await until(time_passed)
    await append(bus, "w", "a")
    await bus.relay([relayed([1], video="x")])
    moved = await bus.active_since(0, 10)
    assert moved.videos == ["v", "w"]  # relayed events are not listed for peers
    from_elsewhere = await bus.active_since(before, 10, relayed=True)
    assert from_elsewhere.videos == ["x"]
    assert before < from_elsewhere.upto <= from_elsewhere.now
    await standing(bus, "dc3")  # asking brings nothing
    assert (await bus.active_since(0, 10, relayed=True)).videos == ["x"]
    assert before < moved.upto <= moved.now
    assert (await bus.active_since(before + 1, 10)).videos == ["w"]
    assert (await bus.active_since(moved.upto, 10)).videos == ["w"]
    nothing = await bus.active_since(moved.upto + 1, 10)
    assert (nothing.videos, nothing.upto) == ([], moved.upto + 1)
    first = await bus.active_since(0, 1)
    assert first.videos == ["v"]
    assert first.upto <= before


async def test_several_videos_are_read_at_once(bus: WholeBus) -> None:
    await append(bus, "v", *"abc")
    await append(bus, "w", *"defg")
    stretches = await bus.read_several({"w": 1, "v": 3, "new": 0}, 2)
    assert {video: contents(stretch.batches) for video, stretch in stretches.items()} == {
        "w": ["e", "f"], "v": [], "new": [],
    }  # fmt: skip
    assert [stretch.head.offset for stretch in stretches.values()] == [4, 3, 0]
    assert await bus.read_several({}, 2) == {}


# Who shares the work


async def test_members_of_a_group_know_each_other(bus: WholeBus, until: Until) -> None:
    assert await bus.join_group("dc2", "b", 30) == ["b"]
    assert await bus.join_group("dc2", "a", 30) == ["a", "b"]
    assert await bus.join_group("dc3", "c", 30) == ["c"]
    assert await bus.join_group("dc2", "c", 0.05) == ["a", "b", "c"]
    assert await bus.group("dc3") == ["c"]
    assert await bus.group("none") == []

    async def lease_ended() -> bool:
        return await bus.join_group("dc2", "b", 30) == ["a", "b"]

    await until(lease_ended)
    await bus.leave_group("dc2", "a")
    await bus.leave_group("dc2", "never")
    await bus.leave_group("dc9", "never")
    assert await bus.join_group("dc2", "b", 30) == ["b"]


async def test_videos_of_one_moment_are_listed_together(bus: WholeBus) -> None:
    """However many: a list that goes on after the last one's millisecond skips none."""
    await append(bus, "before", "a")
    await bus.append([parcel(f"v{number}", "a") for number in range(7)])
    listed: list[str] = []
    since = 0
    for _ in range(8):
        page = await bus.active_since(since, 2)
        listed += page.videos
        since = page.upto + 1
        if not page.videos:
            break
    assert sorted(listed) == sorted(["before", *(f"v{number}" for number in range(7))])
