"""The contract of interface.py for every bus: subscription table, inboxes, and all together."""

from __future__ import annotations

import itertools
import random

import pytest
import trio
import trio.testing

from liveserver.bus.interface import AppendRequest, AppendResult, Inbox
from liveserver.event import Batch
from tests.bus.harness import OpenBus, WholeBus, append, contents, lines, parcel, take


async def test_events_go_to_the_nodes_that_watch_and_to_the_feed(bus: WholeBus) -> None:
    async with bus.inbox("n1") as one, bus.inbox("n2") as two, bus.feed() as feed, bus.feed() as other:
        feeds = feed, other
        await bus.subscribe("n1", {"v": 1, "w": 2}, 30)
        await bus.subscribe("n2", {"w": 1}, 30)
        await append(bus, "v", "a")
        await append(bus, "w", "b")
        await append(bus, "x", "c")
        # Between videos there is no order.
        assert sorted(contents(await take(one, 2))) == ["a", "b"]
        assert contents(await take(two, 1)) == ["b"]
        for feed in feeds:
            assert sorted(contents(await take(feed, 3))) == ["a", "b", "c"]


async def test_an_inbox_has_the_logs_events_in_its_order(bus: WholeBus) -> None:
    async with bus.inbox("n") as inbox:
        leases = await bus.subscribe("n", {"v": 1, "w": 1}, 30)

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
        assert all(batch.epoch == leases[video].head.epoch for batch in own)
        assert contents(own) == await lines(bus, video)


async def test_subscribing_first_misses_nothing_after_the_head(bus: WholeBus) -> None:
    await append(bus, "v", "a")

    async def publish() -> None:
        for i in range(30):
            await append(bus, "v", str(i))

    async with bus.inbox("n") as inbox, trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        head = (await bus.subscribe("n", {"v": 1}, 30))["v"].head
        missing = 31 - head.offset
        batches = [batch for batch in await take(inbox, missing) if batch.last > head.offset]
        assert [batch.first for batch in batches] == list(range(head.offset + 1, 32))


async def test_unsubscribed_is_not_forwarded_to(bus: WholeBus) -> None:
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1, "w": 1}, 30)
        await bus.unsubscribe("n", ["v", "never"])
        await bus.unsubscribe("n", [])
        await append(bus, "v", "a")
        await append(bus, "w", "b")
        assert contents(await take(inbox, 1)) == ["b"]


async def test_a_lease_ends_by_itself(bus: WholeBus) -> None:
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 0.1)
        await bus.subscribe("n", {"behind": 1}, 300)
        with trio.fail_after(60):
            while True:
                await append(bus, "v", "leased")
                await append(bus, "behind", "it")  # an inbox has its events in the order of their appends
                received: list[str] = []
                while "it" not in received:
                    received += contents(await anext(inbox))
                if received == ["it"]:
                    break
                await trio.sleep(0.02)
        await bus.subscribe("n", {"v": 1}, 300)
        await append(bus, "v", "back")
        assert contents(await take(inbox, 1)) == ["back"]


async def test_a_row_whose_node_does_not_listen_is_pruned(bus: WholeBus) -> None:
    await bus.subscribe("n", {"v": 1}, 30)
    await append(bus, "v", "a")
    async with bus.inbox("n") as inbox:
        await append(bus, "v", "b")  # the row is gone
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "v", "c")
        assert contents(await take(inbox, 1)) == ["c"]


async def test_subscribing_many_at_once(bus: WholeBus) -> None:
    videos = {f"v{i}": i for i in range(2500)}
    leases = await bus.subscribe("n", videos, 30)
    assert list(leases) == list(videos)
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
        with trio.fail_after(60):
            while batches := await anext(inbox):
                received += batches
        # The hole shows by the numbers, and is mended from the log.
        assert contents(received)[:3] == ["0", "1", "2"]
        assert len(received) < 10
        await append(bus, "v", "10")
        assert contents(await take(inbox, 1)) == ["10"]
        assert await lines(bus, "v") == [str(i) for i in range(11)]


async def test_iterating_ends_with_the_block(bus: WholeBus) -> None:
    ended = trio.Event()

    async def listen(inbox: Inbox) -> None:
        async for _ in inbox:
            pass
        ended.set()

    async with trio.open_nursery() as nursery:
        async with bus.inbox("n") as inbox:
            nursery.start_soon(listen, inbox)
            await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(60):
            await ended.wait()
    with pytest.raises(StopAsyncIteration):
        await anext(inbox)


async def test_an_error_in_the_block_passes_through(bus: WholeBus) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with bus.inbox("n"):
            raise KeyError("mine")


async def test_ping(bus: WholeBus) -> None:
    await bus.ping()


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_calls_keeps_the_log_whole(bus: WholeBus, seed: int) -> None:
    """Against a model: a list of lines per video, and the set of ids."""
    chance = random.Random(seed)
    model: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    sent: list[tuple[AppendRequest, AppendResult]] = []
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
            assert await lines(bus, video) == log == contents([b for b in batches if b.video == video])
            start = chance.randint(0, len(log))
            assert await lines(bus, video, start, 7) == log[start : start + 7]
