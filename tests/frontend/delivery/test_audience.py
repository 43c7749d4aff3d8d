"""The viewers of a channel: kept in segments, which are dropped with their last viewer."""

from __future__ import annotations

import trio
import trio.testing
from trio.testing import MockClock

from tests.frontend.harness import settings, stage


async def test_viewers_are_kept_in_segments(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"segment_size": 4})) as on:
        clients = [(await on.ready())[0] for _ in range(10)]
        assert [segment.size for segment in on.channel().audience.segments()] == [4, 4, 2]
        await on.publish(2)
        for client in clients:
            assert await client.events(2) == [1, 2]
        clients[0].sock.close()
        clients[1].sock.close()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert [segment.size for segment in on.channel().audience.segments()] == [2, 4, 2]


async def test_empty_segments_are_removed(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"segment_size": 2})) as on:
        clients = [(await on.ready())[0] for _ in range(6)]
        for client in clients[:4]:
            client.sock.close()
        await trio.sleep(40)
        assert [segment.size for segment in on.channel().audience.segments()] == [2]
