"""The rules of interface.py, to which every bus is held."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
import trio.testing

from liveserver.bus.interface import Bus, Inbox, Parcel, Receipt
from liveserver.bus.memory import MemoryBus
from liveserver.bus.redis import RedisBus
from liveserver.config import BusSettings, Duration, LogSettings, convert
from liveserver.event import Batch
from tests.conftest import Until

OpenBus = Callable[..., AbstractAsyncContextManager[Bus]]
_names = itertools.count(1)


@pytest.fixture(params=["memory", "redis"])
def open_bus(request: pytest.FixtureRequest) -> OpenBus:
    """A bus of either kind; its arguments are `LogSettings`'."""
    url = request.getfixturevalue("redis_server") if request.param == "redis" else ""

    @asynccontextmanager
    async def opened(*, inbox_batches: int = 10_000, **log: float) -> AsyncIterator[Bus]:
        settings = convert(log, LogSettings)
        if request.param == "memory":
            yield MemoryBus("dc1", settings, inbox_batches)
            return
        bus_settings = BusSettings(url=url, timeout=Duration(5), inbox_batches=inbox_batches)
        async with RedisBus.open("dc1", bus_settings, settings) as bus:
            yield bus

    return opened


@pytest.fixture
async def bus(open_bus: OpenBus) -> AsyncIterator[Bus]:
    async with open_bus() as bus:
        yield bus


def parcel(video: str, *lines: str, ids: list[str | None] | None = None, token: str = "") -> Parcel:
    return Parcel(
        video,
        token or f"token{next(_names)}",
        [f"like {line}".encode() for line in lines],
        ids or [None] * len(lines),
    )


async def append(bus: Bus, video: str, *lines: str, ids: list[str | None] | None = None) -> Receipt:
    (receipt,) = await bus.append([parcel(video, *lines, ids=ids)])
    return receipt


async def lines(bus: Bus, video: str, after: int = 0, limit: int = 100_000) -> list[str]:
    stretch = await bus.read(video, after, limit)
    return [line.decode().partition(" ")[2] for batch in stretch.batches for line in batch.lines]


async def take(inbox: Inbox, events: int) -> list[Batch]:
    """The batches with the next so many events; empty lists are left out."""
    batches: list[Batch] = []
    with trio.fail_after(10):
        while sum(len(batch.lines) for batch in batches) < events:
            batches += await anext(inbox)
    return batches


def heard(batches: list[Batch]) -> list[str]:
    return [line.decode().partition(" ")[2] for batch in batches for line in batch.lines]


# Numbers and receipts


async def test_a_log_counts_from_one_and_the_receipt_says_where(bus: Bus) -> None:
    head = (await bus.subscribe("n", {"v": 1}, 30))["v"]
    assert (head.offset, str(head.cursor)) == (0, f"dc1-{head.epoch}-0")
    first = await append(bus, "v", "a", "b")
    assert first == Receipt(head.epoch, 1, 1, frozenset(), first.cursor)
    assert str(first.cursor) == f"dc1-{head.epoch}-2"
    second = await append(bus, "v", "c")
    assert (second.epoch, second.first, second.number) == (head.epoch, 3, 3)
    assert (await bus.subscribe("n", {"v": 1}, 30))["v"].cursor == second.cursor


async def test_videos_count_each_for_itself(bus: Bus) -> None:
    receipts = await bus.append([parcel("v", "a"), parcel("w", "b", "c"), parcel("v", "d")])
    assert [receipt.first for receipt in receipts] == [1, 1, 2]
    assert receipts[0].epoch == receipts[2].epoch
    assert await lines(bus, "v") == ["a", "d"]
    assert await lines(bus, "w") == ["b", "c"]


async def test_nothing_to_append_is_nothing(bus: Bus) -> None:
    assert await bus.append([]) == []
    receipt = await append(bus, "v")
    assert (receipt.first, receipt.number, receipt.cursor.get("dc1")) == (1, 1, (receipt.epoch, 0))


async def test_appends_to_a_video_never_interleave(bus: Bus) -> None:
    receipts: dict[int, Receipt] = {}

    async def publish(number: int) -> None:
        receipts[number] = await append(bus, "v", *[f"{number}-{i}" for i in range(10)])

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(publish, number)
    assert sorted(receipt.first for receipt in receipts.values()) == list(range(1, 201, 10))
    for number, receipt in receipts.items():
        assert await lines(bus, "v", receipt.first - 1, 10) == [f"{number}-{i}" for i in range(10)]


async def test_lines_are_carried_unchanged(bus: Bus) -> None:
    texts = ['{"text":"ünï☃"}', "", "x" * 50_000, "\r\t\x00 \\n", "%s {v} $1"]
    name = "A." + "v-_" * 42
    async with bus.inbox("n.1-a_B") as inbox:
        await bus.subscribe("n.1-a_B", {name: 1}, 30)
        await append(bus, name, *texts)
        assert heard(await take(inbox, len(texts))) == texts
    assert await lines(bus, name) == texts


# Ids and tokens


async def test_an_id_seen_is_a_duplicate(bus: Bus) -> None:
    await append(bus, "v", "a", "b", ids=["1", None])
    receipt = await append(bus, "v", "a", "c", "b", "c", ids=["1", "2", None, "2"])
    assert (receipt.first, receipt.duplicates) == (3, frozenset({0, 3}))
    assert await lines(bus, "v") == ["a", "b", "c", "b"]
    assert (await append(bus, "w", "a", ids=["1"])).duplicates == frozenset()


async def test_all_duplicates_are_told_the_next_number(bus: Bus) -> None:
    async with bus.inbox("n") as inbox, bus.feed() as feed:
        await bus.subscribe("n", {"v": 1}, 30)
        before = await append(bus, "v", "a", ids=["1"])
        receipt = await append(bus, "v", "a", ids=["1"])
        assert receipt == Receipt(before.epoch, 2, 2, frozenset({0}), before.cursor)
        await append(bus, "v", "b")
        assert heard(await take(inbox, 2)) == ["a", "b"]
        assert heard(await take(feed, 2)) == ["a", "b"]


async def test_an_id_is_forgotten_after_its_window(open_bus: OpenBus, until: Until) -> None:
    async with open_bus(ids=0.1) as bus:
        await append(bus, "v", "a", ids=["1"])

        async def forgotten() -> bool:
            return not (await append(bus, "v", "a", ids=["1"])).duplicates

        await until(forgotten)


async def test_a_parcel_appended_again_is_answered_as_before(bus: Bus) -> None:
    first = parcel("v", "a", "b", ids=["1", None])
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        (receipt,) = await bus.append([first])
        await append(bus, "v", "c")
        again, other = await bus.append([first, parcel("v", "d")])
        assert (again, other.first) == (receipt, 4)
        assert heard(await take(inbox, 4)) == ["a", "b", "c", "d"]
    assert await lines(bus, "v") == ["a", "b", "c", "d"]


async def test_a_token_is_its_videos_own(bus: Bus) -> None:
    await bus.append([parcel("v", "a", token="t"), parcel("w", "b", token="t")])
    assert (await lines(bus, "v"), await lines(bus, "w")) == (["a"], ["b"])


# Reading


async def test_read_gives_the_stretch_asked_for(bus: Bus) -> None:
    receipt = await append(bus, "v", *"abcde")
    await append(bus, "v", *"fghij")
    stretch = await bus.read("v", 2, 6)
    assert (stretch.oldest, stretch.head.offset, stretch.head.epoch) == (1, 10, receipt.epoch)
    assert heard(stretch.batches) == list("cdefgh")
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
async def test_read_of_nothing(bus: Bus, after: int, limit: int) -> None:
    await append(bus, "v", *"abc")
    stretch = await bus.read("v", after, limit)
    assert (stretch.oldest, stretch.head.offset, stretch.batches) == (1, 3, [])


async def test_what_was_read_does_not_change_the_log(bus: Bus) -> None:
    await append(bus, "v", "a")
    await append(bus, "v", "b")
    for _ in range(3):
        assert await lines(bus, "v") == ["a", "b"]


async def test_reading_an_unknown_video_begins_its_log(bus: Bus) -> None:
    stretch = await bus.read("v", 0, 10)
    assert (stretch.oldest, stretch.head.offset, stretch.batches) == (1, 0, [])
    assert (await append(bus, "v", "a")).epoch == stretch.head.epoch


async def test_the_log_is_trimmed_by_length(open_bus: OpenBus) -> None:
    async with open_bus(events=200) as bus:
        for i in range(100):
            await append(bus, "v", *[f"{i}-{j}" for j in range(10)])
        stretch = await bus.read("v", 0, 10_000)
    assert stretch.head.offset == 1000
    assert 1000 - 200 - 100 < stretch.oldest <= 801
    assert stretch.batches[0].first == stretch.oldest
    assert len(heard(stretch.batches)) == 1000 - stretch.oldest + 1


async def test_the_log_is_trimmed_by_age(open_bus: OpenBus) -> None:
    async with open_bus(age=0.2) as bus:
        await append(bus, "v", "old")
        with trio.fail_after(10):
            while (stretch := await bus.read("v", 0, 10_000)).oldest == 1:
                await append(bus, "v", "young")
                await trio.sleep(0.02)
        assert stretch.batches[0].first == stretch.oldest > 1
        assert heard(stretch.batches)[-1] == "young"


async def test_a_quiet_video_expires(open_bus: OpenBus, until: Until) -> None:
    async with open_bus(idle=0.1) as bus:
        before = await append(bus, "v", "a")

        async def expired() -> bool:
            return not await lines(bus, "v")

        await until(expired)
        stretch = await bus.read("v", 0, 10)
        assert stretch.oldest == stretch.head.offset + 1
        after = await append(bus, "v", "b")
        assert after.first == (2 if after.epoch == before.epoch else 1)
        assert await lines(bus, "v") == ["b"]


# Forwarding


async def test_events_go_to_the_nodes_that_watch_and_to_the_feed(bus: Bus) -> None:
    async with bus.inbox("n1") as one, bus.inbox("n2") as two, bus.feed() as feed, bus.feed() as other_feed:
        await bus.subscribe("n1", {"v": 1, "w": 2}, 30)
        await bus.subscribe("n2", {"w": 1}, 30)
        await append(bus, "v", "a")
        await append(bus, "w", "b")
        await append(bus, "x", "c")
        assert heard(await take(one, 2)) == ["a", "b"]
        assert heard(await take(two, 1)) == ["b"]
        assert heard(await take(feed, 3)) == heard(await take(other_feed, 3)) == ["a", "b", "c"]


async def test_what_arrives_is_what_the_log_has_in_its_order(bus: Bus) -> None:
    async with bus.inbox("n") as inbox:
        heads = await bus.subscribe("n", {"v": 1, "w": 1}, 30)

        async def publish(video: str, count: int) -> None:
            for i in range(count):
                await append(bus, video, f"{count}-{i}", "x")

        async with trio.open_nursery() as nursery:
            for count in range(8, 12):
                nursery.start_soon(publish, "v", count)
                nursery.start_soon(publish, "w", count)
        batches = await take(inbox, 2 * 2 * (8 + 9 + 10 + 11))
    for video in ("v", "w"):
        own = [batch for batch in batches if batch.video == video]
        assert own[0].first == 1
        assert all(batch.first == before.last + 1 for before, batch in itertools.pairwise(own))
        assert all(batch.epoch == heads[video].epoch for batch in own)
        assert heard(own) == await lines(bus, video)


async def test_subscribing_first_misses_nothing_after_the_head(bus: Bus) -> None:
    await append(bus, "v", "a")

    async def publish() -> None:
        for i in range(30):
            await append(bus, "v", str(i))

    async with bus.inbox("n") as inbox, trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        head = (await bus.subscribe("n", {"v": 1}, 30))["v"]
        missing = 31 - head.offset
        batches = [batch for batch in await take(inbox, missing) if batch.last > head.offset]
        assert [batch.first for batch in batches] == list(range(head.offset + 1, 32))


async def test_unsubscribed_is_not_forwarded_to(bus: Bus) -> None:
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1, "w": 1}, 30)
        await bus.unsubscribe("n", ["v", "never"])
        await bus.unsubscribe("n", [])
        await append(bus, "v", "a")
        await append(bus, "w", "b")
        assert heard(await take(inbox, 1)) == ["b"]


async def test_a_lease_ends_by_itself(bus: Bus) -> None:
    async with bus.inbox("n") as inbox, bus.inbox("m") as other:
        await bus.subscribe("n", {"v": 1}, 0.1)
        await bus.subscribe("m", {"v": 1}, 30)
        sent = 0
        with trio.fail_after(10):
            while True:
                sent += 1
                await append(bus, "v", str(sent))
                await take(other, 1)
                with trio.move_on_after(0.3) as waited:
                    await take(inbox, 1)
                if waited.cancelled_caught:
                    break
                await trio.sleep(0.02)
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "v", "back")
        assert heard(await take(inbox, 1)) == ["back"]


async def test_a_row_whose_node_does_not_listen_is_pruned(bus: Bus) -> None:
    await bus.subscribe("n", {"v": 1}, 30)
    await append(bus, "v", "a")
    async with bus.inbox("n") as inbox:
        await append(bus, "v", "b")  # the row is gone
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "v", "c")
        assert heard(await take(inbox, 1)) == ["c"]


async def test_subscribing_many_at_once(bus: Bus) -> None:
    videos = {f"v{i}": i for i in range(2500)}
    heads = await bus.subscribe("n", videos, 30)
    assert list(heads) == list(videos)
    assert await bus.subscribe("n", {}, 30) == {}


async def test_an_inbox_that_is_full_drops_and_says_so(open_bus: OpenBus) -> None:
    async with open_bus(inbox_batches=3) as bus, bus.inbox("n") as inbox, bus.inbox("m") as other:
        await bus.subscribe("n", {"v": 1}, 30)
        await bus.subscribe("m", {"w": 1}, 30)
        for i in range(10):
            await append(bus, "v", str(i))
        await append(bus, "w", "flushed")
        await take(other, 1)
        received: list[Batch] = []
        with trio.fail_after(10):
            while batches := await anext(inbox):
                received += batches
        # The hole shows by the numbers, and is mended from the log.
        assert heard(received)[:3] == ["0", "1", "2"]
        assert len(received) < 10
        await append(bus, "v", "10")
        assert heard(await take(inbox, 1)) == ["10"]
        assert await lines(bus, "v") == [str(i) for i in range(11)]


async def test_iterating_ends_with_the_block(bus: Bus) -> None:
    ended = trio.Event()

    async def listen(inbox: Inbox) -> None:
        async for _ in inbox:
            pass
        ended.set()

    async with trio.open_nursery() as nursery:
        async with bus.inbox("n") as inbox:
            nursery.start_soon(listen, inbox)
            await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5):
            await ended.wait()
    with pytest.raises(StopAsyncIteration):
        await anext(inbox)


async def test_an_error_in_the_block_passes_through(bus: Bus) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with bus.inbox("n"):
            raise KeyError("mine")


async def test_ping(bus: Bus) -> None:
    await bus.ping()


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_calls_keeps_the_log_whole(bus: Bus, seed: int) -> None:
    """Against a model: a list of lines per video, and the set of ids."""
    chance = random.Random(seed)
    model: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    sent: list[tuple[Parcel, Receipt]] = []
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", dict.fromkeys("uvw", 1), 30)
        for step in range(60):
            if sent and chance.random() < 0.2:
                again, receipt = chance.choice(sent)
                assert await bus.append([again]) == [receipt]
                continue
            parcels = []
            for part in range(chance.randint(1, 4)):
                count = chance.randint(0, 6)
                ids = [chance.choice([None, str(chance.randint(1, 60))]) for _ in range(count)]
                parcels.append(
                    parcel(chance.choice("uvw"), *[f"{step}-{part}-{i}" for i in range(count)], ids=ids)
                )
            for one, receipt in zip(parcels, await bus.append(parcels), strict=True):
                log = model.setdefault(one.video, [])
                assert receipt.first == len(log) + 1
                duplicates = set()
                for index, (line, name) in enumerate(zip(one.lines, one.ids, strict=True)):
                    if name and (one.video, name) in seen:
                        duplicates.add(index)
                        continue
                    if name:
                        seen.add((one.video, name))
                    log.append(line.decode().partition(" ")[2])
                assert receipt.duplicates == duplicates
                assert receipt.cursor.get("dc1") == (receipt.epoch, len(log))
                sent.append((one, receipt))
        batches = await take(inbox, sum(map(len, model.values())))
        for video, log in model.items():
            assert await lines(bus, video) == log == heard([b for b in batches if b.video == video])
            start = chance.randint(0, len(log))
            assert await lines(bus, video, start, 7) == log[start : start + 7]
