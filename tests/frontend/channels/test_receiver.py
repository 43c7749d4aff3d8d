"""From the inbox into the channels: holes, lost last events, new epochs, interruptions."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest, Inbox, ReplicationBatch, Slice, ignore
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings
from liveserver.errors import BusError
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount
from tests.frontend.harness import settings, stage


class LossyInbox:
    """An inbox on which a test decides what arrives."""

    def __init__(self, inner: Inbox, bus: LossyBus) -> None:
        self._inner = inner
        self._bus = bus

    def __aiter__(self) -> LossyInbox:
        return self

    async def __anext__(self) -> list[Batch]:
        while True:
            batches = await anext(self._inner)
            if not batches:
                return batches
            if kept := [self._bus.garbled(batch) for batch in batches if self._bus.passes(batch)]:
                return kept


class LossyBus(MemoryBus):
    """The memory bus with a bad link to its inboxes: `lose` or `garble` many batches, and reads that fail."""

    def __init__(self, configured: Settings) -> None:
        super().__init__(configured.node.datacenter, configured.history, configured.bus.inbox_batches)
        self.lose = self.garble = 0
        self.fail_reads = 0
        self.reads = 0
        self.answer_after = 0.0  # seconds that an answer of `read` is under way
        self.before_read: Callable[[], None] = lambda: None

    def passes(self, batch: Batch) -> bool:
        if batch.video != "v":
            return True
        self.lose -= 1
        return self.lose < 0

    def garbled(self, batch: Batch) -> Batch:
        if batch.video != "v" or self.garble <= 0:
            return batch
        self.garble -= 1
        return msgspec.structs.replace(batch, lines=[b'like {"n":', *batch.lines[1:]])

    @asynccontextmanager
    async def inbox(self, node: str, hear: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        async with MemoryBus.inbox(self, node, hear) as inner:
            yield LossyInbox(inner, self)

    async def read(self, video: str, after: int, limit: int) -> Slice:
        self.reads += 1
        self.before_read()
        if self.fail_reads:
            self.fail_reads -= 1
            raise BusError("the link is down")
        answer = await super().read(video, after, limit)
        if self.answer_after:
            await trio.sleep(self.answer_after)
        return answer


def lossy(**sections: dict[str, object]) -> tuple[Settings, LossyBus]:
    configured = settings(**sections)
    return configured, LossyBus(configured)


async def test_a_missing_range_is_read_from_the_log_in_order(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        await on.publish(2)
        assert await client.events(2) == [1, 2]
        bus.lose = 1
        await on.publish(3)
        await on.publish(2)
        assert await client.events(5) == [3, 4, 5, 6, 7]
        assert on.frontend.statistics().intake.holes == 1


async def test_malformed_batches_are_counted_and_read_from_the_log(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        bus.garble = 1
        await on.publish(2)
        await on.publish(2)
        assert await client.events(4) == [1, 2, 3, 4]
        assert on.frontend.statistics().intake.malformed == 1


async def test_a_lost_last_event_is_found_when_the_lease_is_renewed(autojump_clock: MockClock) -> None:
    configured, bus = lossy(frontend={"lease": "30s"})
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        bus.lose = 1
        before = trio.current_time()
        await on.publish(1)
        while (chunk := await client.chunk()) == b":\n":
            pass
        assert b'"n":1' in chunk
        assert trio.current_time() - before <= 10


async def test_backfilling_is_retried_until_the_log_answers(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        bus.lose, bus.fail_reads = 1, 5
        await on.publish(3)
        await on.publish(1)
        await on.publish(1)
        assert await client.events(5) == [1, 2, 3, 4, 5]


async def test_a_long_missing_range_is_read_in_pages(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        bus.lose = 35
        for _ in range(35):
            await on.publish(100)
        await on.publish(1)
        assert await client.events(3501) == list(range(1, 3502))


async def test_events_lost_from_the_log_are_a_gap(autojump_clock: MockClock) -> None:
    configured, bus = lossy(history={"max_events": 10, "ephemeral_types": []})
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        await on.publish(2)
        assert await client.events(2) == [1, 2]
        bus.lose = 30
        for _ in range(30):
            receipt = await on.publish(1)
        await on.publish(1)
        gap = await client.event()
        assert gap.type == "gap"
        assert msgspec.json.decode(gap.data) == {"video": "v", "cursor": f"dc1-{receipt.epoch}-23"}
        assert await client.events(10) == list(range(24, 34))


async def test_a_new_epoch_is_sent_as_a_gap_and_followed(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        old = await on.publish(2)
        assert await client.events(2) == [1, 2]
        del bus._videos["v"]  # the store came back empty
        await on.bus.subscribe("n1", {"v": 1}, 30)
        new = await on.publish(2)
        assert new.epoch != old.epoch
        gap = await client.event()
        assert (gap.type, gap.id) == ("gap", f"dc1-{new.epoch}-0")
        assert await client.events(2) == [3, 4]


async def test_a_new_epoch_does_not_repeat_events_of_other_origins(
    autojump_clock: MockClock,
) -> None:
    configured, bus = lossy()

    def relayed(*numbers: int) -> ReplicationBatch:
        lines = [b'like {"n":%d}' % (100 + number) for number in numbers]
        return ReplicationBatch("v", "dc2", "aaaaa", numbers[0], numbers[-1], lines)

    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        await on.publish(1)
        await bus.relay([relayed(1, 2)])
        assert await client.events(3) == [1, 101, 102]
        del bus._videos["v"]  # the store came back empty
        await on.bus.subscribe("n1", {"v": 1}, 30)
        new = await on.publish(1)
        await bus.relay([relayed(1, 2, 3)])  # from its beginning: nothing here knows of it any more
        gap = await client.event()
        assert (gap.type, gap.id) == ("gap", f"dc1-{new.epoch}-0~dc2-aaaaa-2")
        assert await client.events(2) == [2, 103]
        back, ready = await on.ready("v", f"?cursor=dc1-{new.epoch}-1~dc2-aaaaa-2")
        assert (ready["resumed"], ready["gap"]) == (True, False)
        assert await back.events(1) == [103]


async def test_a_new_epoch_that_begins_during_a_backfill_is_followed(autojump_clock: MockClock) -> None:
    configured, bus = lossy(frontend={"lease": "300s"})
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        bus.lose, bus.answer_after = 1, 1.0
        await on.publish(1)
        await on.publish(1)
        await trio.sleep(0.5)  # the log has answered, and the answer is under way
        del bus._videos["v"]
        await on.bus.subscribe("n1", {"v": 1}, 300)
        new = await on.publish(1)
        before = trio.current_time()
        assert await client.events(2) == [1, 2]
        assert (await client.event()).id == f"dc1-{new.epoch}-0"
        assert await client.events(1) == [3]
        assert trio.current_time() - before < 10


async def test_a_cursor_of_a_newer_epoch_withholds_the_older_ones_events(
    autojump_clock: MockClock,
) -> None:
    """Another node has noticed already that the log began anew, and sent its viewers on."""
    configured, bus = lossy(frontend={"lease": "300s"})
    async with stage(configured, bus) as on:
        stays, _ = await on.ready()
        old = await on.publish(2)
        assert await stays.events(2) == [1, 2]
        del bus._videos["v"]  # nothing is forwarded here any more
        new = await on.publish(3)
        comes, ready = await on.ready("v", f"?cursor=dc1-{new.epoch}-1")
        assert (ready["resumed"], ready["gap"]) == (True, False)
        assert await comes.events(2) == [4, 5]
        assert (await stays.event()).id == f"dc1-{new.epoch}-0"
        assert await stays.events(3) == [3, 4, 5]
        polls = on.connect()
        await polls.get(f"/v1/videos/v/poll?cursor=dc1-{old.epoch}-1")
        answer = await polls.json()
        assert (answer["gap"], [event["n"] for event in answer["events"]]) == (True, [2, 3, 4, 5])


async def test_an_epoch_that_ends_while_its_beginning_is_read_is_not_sent(
    autojump_clock: MockClock,
) -> None:
    configured, bus = lossy(frontend={"lease": "300s"})
    async with stage(configured, bus) as on:
        await on.publish(11)

        def lose_before_the_beginning_is_read() -> None:
            if bus.reads == 2:
                del bus._videos["v"]

        bus.before_read = lose_before_the_beginning_is_read
        client, ready = await on.ready("v", "?cursor=dc1-forgotten-10")
        new = await on.publish(2)
        assert (ready["gap"], ready["cursor"]) == (True, f"dc1-{new.epoch}-0")
        await on.bus.subscribe("n1", {"v": 1}, 300)
        await on.publish(1)
        assert await client.events(3) == [12, 13, 14]


async def test_viewers_of_an_unknown_epoch_share_one_read_of_the_log(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        await on.publish(2)
        async with trio.open_nursery() as nursery:

            async def come() -> None:
                client, ready = await on.ready("v", "?cursor=dc1-forgotten-10")
                assert (ready["resumed"], ready["gap"]) == (False, True)
                assert await client.events(2) == [1, 2]

            for _ in range(30):
                nursery.start_soon(come)
        assert bus.reads <= 4


async def test_after_an_interruption_all_heads_are_compared(autojump_clock: MockClock) -> None:
    configured, bus = lossy(bus={"inbox_batches": 1}, frontend={"lease": "300s"})
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        # More at once than the inbox takes.
        await bus.append([AppendRequest("v", f"t{n}", [b'like {"n":%d}' % n], [None]) for n in range(1, 6)])
        before = trio.current_time()
        assert await client.events(5) == [1, 2, 3, 4, 5]
        assert trio.current_time() - before < 1


async def test_batches_arrive_during_a_backfill(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        bus.lose, bus.fail_reads = 1, 3
        for _ in range(50):
            await on.publish(1)
            await trio.sleep(0.005)
        assert await client.events(50) == list(range(1, 51))


async def test_many_viewers_that_resume_read_the_log_once(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        receipt = await on.publish(50)
        async with trio.open_nursery() as nursery:

            async def come() -> None:
                client, ready = await on.ready("v", f"?cursor=dc1-{receipt.epoch}-10")
                assert ready["resumed"]
                assert await client.events(40) == list(range(11, 51))

            for _ in range(30):
                nursery.start_soon(come)
        assert bus.reads <= 2


def relayed(epoch: str, first: int, last: int) -> ReplicationBatch:
    lines = [b'like {"n":"%b-%d"}' % (epoch.encode(), number) for number in range(first, last + 1)]
    return ReplicationBatch("v", "dc2", epoch, first, last, lines)


OLD, NEW = "0aaaaaaa", "0aaaaaab"


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_an_origins_newer_epoch_that_a_viewer_has_seen_elsewhere_is_not_sent_again(
    autojump_clock: MockClock, transport: str
) -> None:
    """This datacenter is behind: it still has only the epoch before."""
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        stays, _ = await on.ready()
        await bus.relay([relayed(OLD, 1, 50)])
        own = (await bus.read("v", 0, 1)).head.epoch
        cursor = f"dc1-{own}-0~dc2-{NEW}-5"
        client = on.connect()
        if transport == "poll":
            await client.get(f"/v1/videos/v/poll?cursor={cursor}")
        else:
            client, ready = await on.ready("v", f"?cursor={cursor}")
            assert (ready["resumed"], ready["gap"]) == (True, False)
        await trio.sleep(1)
        standing = (await bus.relay([relayed(OLD, 51, 52)]))[0]
        jump = msgspec.structs.replace(relayed(NEW, 1, 7), instead=standing)
        await bus.relay([jump])
        await on.publish(1)
        if transport == "poll":
            answer = await client.json()
            assert not answer["gap"]
            assert [event["n"] for event in answer["events"]][:2] == [f"{NEW}-6", f"{NEW}-7"]
        else:
            sent = [await client.event() for _ in range(3)]
            assert [msgspec.json.decode(event.data)["n"] for event in sent] == [f"{NEW}-6", f"{NEW}-7", 1]
        kinds = [(await stays.event()).type for _ in range(61)]
        assert kinds == ["like"] * 52 + ["gap"] + ["like"] * 8


async def test_an_epoch_that_its_origin_has_left_is_not_sent_again_in_a_new_epoch_of_the_log(
    autojump_clock: MockClock,
) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        client, _ = await on.ready()
        await bus.relay([relayed(OLD, 1, 2)])
        standing = (await bus.relay([relayed(OLD, 1, 2)]))[0]
        await bus.relay([msgspec.structs.replace(relayed(NEW, 1, 2), instead=standing)])
        kinds = [(await client.event()).type for _ in range(5)]
        assert kinds == ["like", "like", "gap", "like", "like"]
        del bus._videos["v"]  # the store came back empty
        await on.bus.subscribe("n1", {"v": 1}, 30)
        await bus.relay([relayed(OLD, 1, 2)])
        standing = (await bus.relay([relayed(OLD, 1, 2)]))[0]
        await bus.relay([msgspec.structs.replace(relayed(NEW, 1, 3), instead=standing)])
        assert (await client.event()).type == "gap"
        event = await client.event()
        assert msgspec.json.decode(event.data)["n"] == f"{NEW}-3"


async def test_a_cursor_beyond_our_own_log_is_a_gap_and_spares_other_origins(
    autojump_clock: MockClock,
) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        receipt = await on.publish(3)
        await bus.relay([relayed(OLD, 1, 2)])
        for mark in (f"{receipt.epoch}-99", "zzzzzzzz-1"):
            client, ready = await on.ready("v", f"?cursor=dc1-{mark}~dc2-{OLD}-2")
            assert (ready["resumed"], ready["gap"]) == (False, True)
            assert await client.events(3) == [1, 2, 3]
            await trio.sleep(1)
            assert not client.pending()


async def test_filling_after_live_events_repeats_none(autojump_clock: MockClock) -> None:
    configured, bus = lossy()
    async with stage(configured, bus) as on:
        receipt = await on.publish(10)
        stays, _ = await on.ready()
        await on.publish(5)
        assert await stays.events(5) == list(range(11, 16))
        comes, ready = await on.ready("v", f"?cursor=dc1-{receipt.epoch}-3")
        assert ready["resumed"]
        assert await comes.events(12) == list(range(4, 16))
        await on.publish(1)
        assert await comes.events(1) == [16]
        assert await stays.events(1) == [16]
        channel = on.channel()
        assert [item.number for item in channel.log.items] == list(range(1, 17))


async def test_a_fill_that_is_overtaken_by_a_new_epoch_repeats_none(autojump_clock: MockClock) -> None:
    configured, bus = lossy(frontend={"lease": "300s"})
    async with stage(configured, bus) as on:
        await on.publish(10)
        stays, _ = await on.ready()
        bus.answer_after = 1.0
        async with trio.open_nursery() as nursery:

            async def come() -> None:
                client, ready = await on.ready("v", "?cursor=earliest")
                assert not ready["resumed"]
                assert await client.events(2) == [11, 12]

            nursery.start_soon(come)
            await trio.sleep(0.5)  # the log's beginning was read, and its answer is under way
            del bus._videos["v"]
            await on.bus.subscribe("n1", {"v": 1}, 300)
            bus.answer_after = 0.0
            await on.publish(2)
            assert (await stays.event()).type == "gap"
            assert await stays.events(2) == [11, 12]
        assert [item.event for item in on.channel().log.items] == [b"gap", b"like", b"like"]


async def test_two_reads_that_find_a_new_epoch_together_apply_it_once(autojump_clock: MockClock) -> None:
    """A backfill and the read for a viewer's cursor race, with answers that arrive in either order."""
    for first, second in itertools.product((0.1, 0.5, 1.0), repeat=2):
        configured, bus = lossy(frontend={"lease": "300s"})
        async with stage(configured, bus) as on:
            stays, _ = await on.ready()
            await on.publish(2)
            assert await stays.events(2) == [1, 2]
            del bus._videos["v"]
            await on.bus.subscribe("n1", {"v": 1}, 300)
            bus.answer_after = first
            new = await on.publish(4)  # a backfill begins
            await trio.sleep(0.05)
            bus.answer_after = second
            comes, ready = await on.ready("v", f"?cursor=dc1-{new.epoch}-2")
            assert (ready["resumed"], ready["gap"]) == (True, False)
            assert await comes.events(2) == [5, 6]
            assert (await stays.event()).type == "gap"
            assert await stays.events(4) == [3, 4, 5, 6]
            await on.publish(1)
            assert await stays.events(1) == [7]
            assert await comes.events(1) == [7]
