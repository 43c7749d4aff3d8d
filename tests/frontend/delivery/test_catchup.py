"""Viewers that do not read: they lag without effect on others, miss nothing, or receive a gap."""

from __future__ import annotations

import math

import msgspec
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.frontend.delivery.audience import Audience
from liveserver.frontend.delivery.catchup import Withholding, catch_up, finish_answer
from liveserver.frontend.delivery.long_poll import PollWaiter
from liveserver.frontend.delivery.viewer import StreamViewer
from liveserver.frontend.history.log import ChannelLog
from liveserver.transport.sse import SSE_HTTP10
from tests.frontend.delivery.harness import Peer, Room, Scheduler, Socket
from tests.frontend.harness import Client, settings, stage

SMALL = {"send_buffer": 4096, "receive_buffer": 4096}


async def drained(client: Client) -> None:
    """Read until the connection ends."""
    while await client.more():
        pass


async def test_a_slow_viewer_lags_alone_and_misses_nothing(autojump_clock: MockClock) -> None:
    async with stage() as on:
        slow, _ = await on.ready("v", "", **SMALL)
        quick, _ = await on.ready()
        for _ in range(20):
            await on.publish(10, padding=500)
            await trio.sleep(0.05)
        assert await quick.events(200) == list(range(1, 201))
        assert on.frontend.statistics().lagging == 1
        assert await slow.events(200) == list(range(1, 201))
        await trio.sleep(0.1)
        assert on.frontend.statistics().lagging == 0
        await on.publish()
        assert await slow.events(1) == await quick.events(1) == [201]


async def test_a_viewer_out_of_the_logs_reach_gets_a_gap_and_then_the_oldest_events(
    autojump_clock: MockClock,
) -> None:
    configured = settings(history={"max_events": 50, "ephemeral_types": []}, frontend={"slow_timeout": "1h"})
    async with stage(configured) as on:
        slow, _ = await on.ready("v", "", **SMALL)
        quick, _ = await on.ready()
        for _ in range(60):
            await on.publish(5, padding=500)
            await quick.events(5)
            await trio.sleep(0.05)
        seen: list[int] = []
        gaps: list[str] = []
        while len(seen) == 0 or seen[-1] < 300:
            event = await slow.event()
            if event.type == "gap":
                gaps.append(msgspec.json.decode(event.data)["cursor"])
                assert event.id == gaps[-1]
                after = int(gaps[-1].rpartition("-")[2])
                assert after > seen[-1]
                seen.append(after)
            else:
                number = msgspec.json.decode(event.data)["n"]
                assert number == (seen[-1] + 1 if seen else 1)
                seen.append(number)
        assert len(gaps) == 1
        assert 250 - 50 // 8 - 1 <= int(gaps[0].rpartition("-")[2]) <= 250


async def test_a_viewer_out_of_the_logs_reach_is_disconnected_if_so_configured(
    autojump_clock: MockClock,
) -> None:
    configured = settings(
        history={"max_events": 50, "ephemeral_types": []}, frontend={"slow_policy": "close"}
    )
    async with stage(configured) as on:
        slow, _ = await on.ready("v", "", **SMALL)
        for _ in range(60):
            await on.publish(5, padding=500)
            await trio.sleep(0.05)
        while (event := await slow.event()).type == "like":
            last = event
        assert (event.type, event.id) == ("bye", last.id)
        assert on.frontend.statistics().fanout.slow == 1


async def test_a_viewer_that_takes_nothing_gets_bye_and_is_closed(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"slow_timeout": "10s"})) as on:
        stalled, _ = await on.ready("v", "", **SMALL)
        quick, _ = await on.ready()
        for _ in range(20):
            await on.publish(10, padding=500)
            await trio.sleep(0.05)
        assert await quick.events(200) == list(range(1, 201))
        assert on.frontend.statistics().viewers == 2
        await trio.sleep(15)
        statistics = on.frontend.statistics()
        assert (statistics.viewers, statistics.lagging, statistics.fanout.slow) == (1, 0, 1)
        # When it reads at last: whole events without a hole, then why, then the end.
        numbers: list[int] = []
        while (event := await stalled.event()).type == "like":
            numbers.append(msgspec.json.decode(event.data)["n"])
        assert numbers == list(range(1, len(numbers) + 1))
        assert event.type == "bye"
        assert msgspec.json.decode(event.data) == {"reason": "slow", "reconnect": True}
        assert int(event.id.rpartition("-")[2]) == numbers[-1]
        assert await stalled.chunk() == b""
        assert not await stalled.more()


async def test_a_lagging_viewer_that_disconnects_is_removed(autojump_clock: MockClock) -> None:
    async with stage() as on:
        slow, _ = await on.ready("v", "", **SMALL)
        for _ in range(20):
            await on.publish(10, padding=500)
            await trio.sleep(0.05)
        assert on.frontend.statistics().lagging == 1
        slow.sock.close()
        await trio.testing.wait_all_tasks_blocked(0.01)
        statistics = on.frontend.statistics()
        assert (statistics.viewers, statistics.lagging) == (0, 0)


async def test_stalled_viewers_share_memory(autojump_clock: MockClock) -> None:
    """What a stalled viewer costs is a place in the log and part of one write, however much is published."""
    configured = settings(history={"max_events": 100, "ephemeral_types": []}, frontend={"slow_timeout": "1h"})
    async with stage(configured) as on:
        for _ in range(20):
            await on.ready("v", "", **SMALL)
        for _ in range(100):
            await on.publish(10, padding=500)
            await trio.sleep(0.05)
        audience = on.channel().audience
        assert len(audience.lagging) == 20
        assert len(on.channel().log.items) <= 113
        limit = on.frontend.fanout.max_write + 1024
        assert all(viewer.unsent is not None and viewer.unsent.nbytes <= limit for viewer in audience.lagging)


async def test_a_big_answer_to_a_slow_poller_arrives_whole(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(1)
        client = on.connect(**SMALL)
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await on.publish(300, padding=1000)
        await trio.testing.wait_all_tasks_blocked(0.01)
        page = await client.json()
        assert [event["n"] for event in page["events"]] == list(range(2, 302))
        await client.get("/v1/videos/v/poll")
        assert (await client.json())["events"] == []


async def test_a_poller_that_never_reads_is_closed(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"slow_timeout": "10s"})) as on:
        receipt = await on.publish(1)
        client = on.connect(**SMALL)
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await on.publish(300, padding=1000)
        await trio.sleep(15)
        assert not on.edge.connections
        await drained(client)


class TricklingSocket(Socket):
    """Has room for ten bytes, again and again."""

    def send(self, data: bytes | memoryview, /) -> int:
        self.room = 10
        return super().send(data)


class TricklingPeer(Peer):
    """A client that takes ten bytes a second: something always, before `slow_timeout` is over."""

    def __init__(self) -> None:
        super().__init__()
        self.socket = TricklingSocket()

    async def wait_writable(self) -> None:
        await trio.sleep(1)


async def test_a_poll_that_reads_too_slowly_is_disconnected(autojump_clock: MockClock) -> None:
    peer = TricklingPeer()
    waiter = PollWaiter(peer, 0, None, 10, math.inf)
    began = trio.current_time()
    await finish_answer(waiter, memoryview(b"x" * 160_000), 10.0, 75.0)
    assert (waiter.is_done, peer.closed) == (True, True)
    assert trio.current_time() - began < 30


async def test_a_stream_that_reads_too_slowly_is_disconnected(autojump_clock: MockClock) -> None:
    room = Room(2000)
    peer = TricklingPeer()
    viewer = StreamViewer(peer, room.audience, SSE_HTTP10, 0, None, 1)
    room.audience.admit(viewer, b":" * 20_000)
    began = trio.current_time()
    await catch_up(viewer, settings(frontend={"slow_timeout": "10s"}).frontend, Withholding())
    assert viewer.is_gone
    assert room.audience.counts.byes["slow"] == 1
    assert trio.current_time() - began < 30


async def test_marks_that_never_come_are_given_up(autojump_clock: MockClock) -> None:
    """A made-up origin must not cost its viewer's own task at each event for good."""
    async with stage() as on:
        epoch = (await on.publish(1)).epoch
        client, ready = await on.ready("v", f"?cursor=dc1-{epoch}-1~dc9-zzzzz-999999999")
        assert ready["resumed"]
        assert on.frontend.statistics().lagging == 1
        await on.publish(2)
        assert await client.events(2) == [2, 3]
        await trio.sleep(29)
        assert on.frontend.statistics().lagging == 1
        await trio.sleep(2)
        assert on.frontend.statistics().lagging == 0
        while (event := await client.event()).type != "gap":
            pass
        assert event.id == f"dc1-{epoch}-3"
        await on.publish(1)
        assert await client.events(1) == [4]


async def test_many_viewers_wait_only_shortly_for_missing_events(autojump_clock: MockClock) -> None:
    async with stage() as on:
        epoch = (await on.publish(1)).epoch
        for number in range(110):
            await on.ready("v", f"?cursor=dc1-{epoch}-1~dc9-zzzzz-{number + 1}")
        assert on.frontend.statistics().lagging > 100
        await trio.sleep(3)
        assert on.frontend.statistics().lagging <= 100


async def test_viewers_that_withhold_take_turns_with_all_others() -> None:
    """Each has its events rendered for itself: a thousand of them must not hold up a request."""
    withholding, limits, rounds = Withholding(), settings().frontend, 0
    rendered = list[int]()  # the rounds of the scheduler in which one was sent something

    class Recorder(Socket):
        def send(self, data: bytes | memoryview, /) -> int:
            rendered.append(rounds)
            return super().send(data)

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await trio.lowlevel.checkpoint()

    room = Room(5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_rounds)
        for number in range(20):
            peer = Peer()
            peer.socket = Recorder()
            seen = Cursor.parse(f"dc1-aaa-1~dc9-zzzzz-{number + 1}")
            viewer = StreamViewer(peer, room.audience, SSE_HTTP10, 0, seen, 1)
            nursery.start_soon(catch_up, viewer, limits, withholding)
        while len(rendered) < 20:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert max(rendered.count(number) for number in rendered) <= 2  # a round is shuffled


async def test_cursors_beside_marks_that_never_come(autojump_clock: MockClock) -> None:
    """Events of two origins by turns: each cursor has all marks, advanced by that event."""
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0~dc2-bbb-0"))
    for number in range(1, 4):
        for position, (origin, epoch) in enumerate((("dc1", "aaa"), ("dc2", "bbb"))):
            lines = [b"like {}"]
            log.append(Batch("v", "aaa", 2 * number - 1 + position, origin, epoch, number, lines), 0, 0.0)
    audience = Audience(log, Scheduler(1000))
    peer = Peer()
    seen = Cursor.parse("dc1-aaa-1~dc9-zzzzz-7")
    viewer = StreamViewer(peer, audience, SSE_HTTP10, 0, seen, 1)
    await catch_up(viewer, settings(frontend={"heartbeat": "1h"}).frontend, Withholding())
    assert [event.id for event in peer.socket.events() if event.type == "like"] == [
        f"dc1-aaa-{first}~dc2-bbb-{second}~dc9-zzzzz-7"
        for first, second in ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3))
    ]
