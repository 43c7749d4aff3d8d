"""The fan-out's loop: the order of writes; a blocked viewer does not delay others."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.frontend.delivery.segment import StreamSegment
from tests.frontend.harness import FullLoad, settings, stage


async def test_a_lone_event_is_written_without_delay(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready()
        await trio.sleep(5)
        before = trio.current_time()
        await on.publish()
        await client.event()
        assert trio.current_time() == before


async def test_a_busy_segment_rests_for_the_flush_interval_under_full_load(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"flush_interval": "100ms"})) as on:
        on.frontend.fanout.load = FullLoad()
        client, _ = await on.ready()
        await trio.sleep(1)
        visits = on.frontend.fanout.statistics().visits
        for _ in range(50):  # half a second, ten events within each interval
            await on.publish()
            await trio.sleep(0.01)
        assert await client.events(50) == list(range(1, 51))
        assert 5 <= on.frontend.fanout.statistics().visits - visits <= 7


async def test_events_that_come_together_go_out_in_one_write(autojump_clock: MockClock) -> None:
    async with stage() as on:
        clients = [(await on.ready())[0] for _ in range(3)]
        before = on.frontend.fanout.statistics()
        await on.publish(20)
        for client in clients:
            assert await client.events(20) == list(range(1, 21))
        after = on.frontend.fanout.statistics()
        assert (after.writes - before.writes, after.deliveries - before.deliveries) == (3, 60)


async def test_quiet_streams_get_a_heartbeat(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"heartbeat": "15s"})) as on:
        client, _ = await on.ready()
        before = trio.current_time()
        assert await client.chunk() == b":\n"
        assert 15 <= trio.current_time() - before < 16
        await trio.sleep(10)
        await on.publish()
        assert b"like" in await client.chunk()
        before = trio.current_time()
        assert await client.chunk() == b":\n"
        assert 15 <= trio.current_time() - before < 16


async def test_channels_take_turns(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small video's viewers are written to within one segment's visit of a hot one."""
    order: list[str] = []
    visit = StreamSegment.flush

    def noted(segment: StreamSegment) -> int:
        order.append(segment.audience.log.video)
        return visit(segment)

    async with stage(settings(frontend={"segment_size": 5})) as on:
        hot = [(await on.ready("hot"))[0] for _ in range(50)]
        small, _ = await on.ready("small")
        await trio.sleep(1)
        monkeypatch.setattr(StreamSegment, "flush", noted)
        await on.publish(1, "hot")
        await on.publish(1, "small")
        assert await small.events(1) == [2]
        for client in hot:
            assert await client.events(1) == [1]
    assert len(order) == 11
    assert order.index("small") <= 2


async def test_a_viewer_that_resumes_catches_up_beside_the_others(autojump_clock: MockClock) -> None:
    async with stage() as on:
        others = [(await on.ready())[0] for _ in range(3)]
        receipt = await on.publish(200, padding=1000)
        late, ready = await on.ready("v", f"?cursor=dc1-{receipt.epoch}-0")
        assert ready["resumed"]
        await on.publish(3)
        assert await late.events(203) == list(range(1, 204))
        for client in others:
            assert await client.events(203) == list(range(1, 204))
        await trio.testing.wait_all_tasks_blocked(0.001)  # level, it joins the segment again
        segments = list(on.channel().audience.segments())
        assert [segment.size for segment in segments] == [4]


async def test_hundreds_come_and_go_while_events_flow(autojump_clock: MockClock) -> None:
    """Each sees an unbroken run of numbers from its own ready on."""
    async with stage(settings(frontend={"segment_size": 7})) as on:

        async def visit(duration: float) -> None:
            client, ready = await on.ready()
            start = int(ready["cursor"].rpartition("-")[2])
            await trio.sleep(duration)
            seen = await client.events(3)
            assert seen == [start + 1, start + 2, start + 3]
            client.sock.close()

        async with trio.open_nursery() as nursery:
            for index in range(150):
                nursery.start_soon(visit, index % 10 * 0.05)
                if index % 3 == 0:
                    await on.publish()
                    await trio.sleep(0.01)
            for _ in range(10):
                await on.publish()
                await trio.sleep(0.1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert on.frontend.statistics().viewers == 0


async def test_segments_do_not_rest_while_the_loop_is_idle(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"flush_interval": "100ms"})) as on:
        client, _ = await on.ready()
        await trio.sleep(1)
        for number in range(1, 20):
            before = trio.current_time()
            await on.publish()
            assert await client.events(1) == [number]
            assert trio.current_time() == before
            await trio.sleep(0.01)


async def test_events_beyond_max_write_follow_at_once(autojump_clock: MockClock) -> None:
    """A client that takes all is sent all, however much comes at a time."""
    async with stage(settings(frontend={"flush_interval": "1h", "max_write": 4096})) as on:
        on.frontend.fanout.load = FullLoad()
        client, _ = await on.ready()
        before = trio.current_time()
        await on.publish(100, padding=1000)
        assert await client.events(100) == list(range(1, 101))
        assert trio.current_time() == before


async def test_an_earlier_expiry_wakes_the_loop(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready()
        await trio.sleep(5)  # the loop waits for the heartbeat
        (viewer,) = on.channel().audience.viewers()
        viewer.until = trio.current_time() + 2
        on.frontend.fanout.add_expiry(viewer)
        before = trio.current_time()
        while (event := await client.event()).type != "bye":
            pass
        assert "expired" in event.data
        assert trio.current_time() - before <= 3
