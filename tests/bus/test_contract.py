"""The contract of interface.py for every bus: the log."""

from __future__ import annotations

import itertools

import pytest
import trio
import trio.testing

from liveserver.bus.interface import AppendResult
from tests.bus.harness import OpenBus, WholeBus, append, contents, lines, parcel, take
from tests.conftest import Until

# Numbers and receipts


async def test_a_log_counts_from_one_and_the_result_has_the_offsets(bus: WholeBus) -> None:
    head = (await bus.subscribe("n", {"v": 1}, 30))["v"].head
    assert (head.offset, str(head.cursor)) == (0, f"dc1-{head.epoch}-0")
    first = await append(bus, "v", "a", "b")
    assert first == AppendResult(head.epoch, 1, 1, frozenset(), first.cursor, nodes=first.nodes)
    assert first.nodes in (0, 1), "no node listens, and in a cluster no server knows that"
    assert str(first.cursor) == f"dc1-{head.epoch}-2"
    second = await append(bus, "v", "c")
    assert (second.epoch, second.first, second.number) == (head.epoch, 3, 3)
    assert (await bus.subscribe("n", {"v": 1}, 30))["v"].head.cursor == second.cursor


async def test_videos_count_each_for_itself(bus: WholeBus) -> None:
    receipts = await bus.append([parcel("v", "a"), parcel("w", "b", "c"), parcel("v", "d")])
    assert [receipt.first for receipt in receipts] == [1, 1, 2]
    assert receipts[0].epoch == receipts[2].epoch
    assert await lines(bus, "v") == ["a", "d"]
    assert await lines(bus, "w") == ["b", "c"]


async def test_nothing_to_append_is_nothing(bus: WholeBus) -> None:
    assert await bus.append([]) == []
    receipt = await append(bus, "v")
    assert (receipt.first, receipt.number, receipt.cursor.get("dc1")) == (1, 1, (receipt.epoch, 0))


async def test_appends_to_a_video_never_interleave(bus: WholeBus) -> None:
    receipts: dict[int, AppendResult] = {}

    async def publish(number: int) -> None:
        receipts[number] = await append(bus, "v", *[f"{number}-{i}" for i in range(10)])

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(publish, number)
    assert sorted(receipt.first for receipt in receipts.values()) == list(range(1, 201, 10))
    for number, receipt in receipts.items():
        assert await lines(bus, "v", receipt.first - 1, 10) == [f"{number}-{i}" for i in range(10)]


async def test_lines_are_carried_unchanged(bus: WholeBus) -> None:
    texts = ['{"text":"ünï☃"}', "", "x" * 50_000, "\r\t\x00 \\n", "%s {v} $1"]
    name = "A." + "v-_" * 42
    async with bus.inbox("n.1-a_B") as inbox:
        await bus.subscribe("n.1-a_B", {name: 1}, 30)
        await append(bus, name, *texts)
        assert contents(await take(inbox, len(texts))) == texts
    assert await lines(bus, name) == texts


# Ids and tokens


async def test_an_id_seen_is_a_duplicate(bus: WholeBus) -> None:
    await append(bus, "v", "a", "b", ids=["1", None])
    receipt = await append(bus, "v", "a", "c", "b", "c", ids=["1", "2", None, "2"])
    assert (receipt.first, receipt.duplicates) == (3, frozenset({0, 3}))
    assert await lines(bus, "v") == ["a", "b", "c", "b"]
    assert (await append(bus, "w", "a", ids=["1"])).duplicates == frozenset()


async def test_a_batch_of_duplicates_is_answered_with_the_next_number(bus: WholeBus) -> None:
    async with bus.inbox("n") as inbox, bus.feed() as feed:
        await bus.subscribe("n", {"v": 1}, 30)
        before = await append(bus, "v", "a", ids=["1"])
        receipt = await append(bus, "v", "a", ids=["1"])
        assert receipt == AppendResult(before.epoch, 2, 2, frozenset({0}), before.cursor)
        await append(bus, "v", "b")
        assert contents(await take(inbox, 2)) == ["a", "b"]
        assert contents(await take(feed, 2)) == ["a", "b"]


async def test_an_id_is_accepted_again_after_the_dedup_window(open_bus: OpenBus, until: Until) -> None:
    async with open_bus(dedup_window=0.1) as bus:
        await append(bus, "v", "a", ids=["1"])

        async def forgotten() -> bool:
            return not (await append(bus, "v", "a", ids=["1"])).duplicates

        await until(forgotten)


async def test_a_request_appended_again_gets_the_same_result(bus: WholeBus) -> None:
    first = parcel("v", "a", "b", ids=["1", None])
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        (receipt,) = await bus.append([first])
        await append(bus, "v", "c")
        again, other = await bus.append([first, parcel("v", "d")])
        assert (again, other.first) == (receipt, 4)
        assert contents(await take(inbox, 4)) == ["a", "b", "c", "d"]
    assert await lines(bus, "v") == ["a", "b", "c", "d"]


async def test_a_token_is_its_videos_own(bus: WholeBus) -> None:
    await bus.append([parcel("v", "a", token="t"), parcel("w", "b", token="t")])
    assert (await lines(bus, "v"), await lines(bus, "w")) == (["a"], ["b"])


# Reading


async def test_read_gives_the_stretch_asked_for(bus: WholeBus) -> None:
    receipt = await append(bus, "v", *"abcde")
    await append(bus, "v", *"fghij")
    stretch = await bus.read("v", 2, 6)
    assert (stretch.oldest, stretch.head.offset, stretch.head.epoch) == (1, 10, receipt.epoch)
    assert contents(stretch.batches) == list("cdefgh")
    assert (stretch.batches[0].first, stretch.batches[-1].last) == (3, 8)
    for before, batch in itertools.pairwise(stretch.batches):
        assert (batch.first, batch.number) == (before.last + 1, before.number + len(before.lines))
    for batch in stretch.batches:
        assert (batch.video, batch.epoch, batch.origin, batch.origin_epoch) == (
            "v",
            receipt.epoch,
            "dc1",
            receipt.epoch,
        )
        assert batch.number == batch.first


@pytest.mark.parametrize(("after", "limit"), [(0, 0), (3, 5), (100, 5)])
async def test_read_of_nothing(bus: WholeBus, after: int, limit: int) -> None:
    await append(bus, "v", *"abc")
    stretch = await bus.read("v", after, limit)
    assert (stretch.oldest, stretch.head.offset, stretch.batches) == (1, 3, [])


async def test_reading_does_not_change_the_log(bus: WholeBus) -> None:
    await append(bus, "v", "a")
    await append(bus, "v", "b")
    for _ in range(3):
        assert await lines(bus, "v") == ["a", "b"]


async def test_reading_an_unknown_video_begins_its_log(bus: WholeBus) -> None:
    stretch = await bus.read("v", 0, 10)
    assert (stretch.oldest, stretch.head.offset, stretch.batches) == (1, 0, [])
    assert (await append(bus, "v", "a")).epoch == stretch.head.epoch


async def test_the_log_is_trimmed_by_length(open_bus: OpenBus) -> None:
    async with open_bus(max_events=200, ephemeral_types=[]) as bus:
        for i in range(100):
            await append(bus, "v", *[f"{i}-{j}" for j in range(10)])
        stretch = await bus.read("v", 0, 10_000)
    assert stretch.head.offset == 1000
    assert 1000 - 200 - 100 < stretch.oldest <= 801
    assert stretch.batches[0].first == stretch.oldest
    assert len(contents(stretch.batches)) == 1000 - stretch.oldest + 1


async def test_the_log_is_trimmed_by_age(open_bus: OpenBus) -> None:
    async with open_bus(max_age=0.2, ephemeral_types=[]) as bus:
        await append(bus, "v", "old")
        with trio.fail_after(60):
            while (stretch := await bus.read("v", 0, 10_000)).oldest == 1:
                await append(bus, "v", "young")
                await trio.sleep(0.02)
        assert stretch.batches[0].first == stretch.oldest > 1
        assert contents(stretch.batches)[-1] == "young"


async def test_a_quiet_video_expires(open_bus: OpenBus, until: Until) -> None:
    async with open_bus(idle_ttl=0.1, ephemeral_types=[]) as bus:
        before = await append(bus, "v", "a")

        async def expired() -> bool:
            return not await lines(bus, "v")

        await until(expired)
        stretch = await bus.read("v", 0, 10)
        assert stretch.oldest == stretch.head.offset + 1
        after = await append(bus, "v", "b")
        assert after.first == (2 if after.epoch == before.epoch else 1)
        assert await lines(bus, "v") == ["b"]
