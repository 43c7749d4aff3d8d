"""What nodes share in Redis beside the logs, and how long it stays there."""

from __future__ import annotations

import redis

from liveserver.viewer_count import AudienceReport
from tests.bus.redis_harness import open_bus


async def test_all_of_it_expires(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus:
        await bus.join_group("g", "n", 30)
        await bus.acquire("v", "slow:u", "token", 40)
        await bus.hold_back(["v"], 50)
        await bus.answer("v", "q", "n", b"yes", 10)
        await bus.add_audiences([AudienceReport("v", ["u"], 1)], 60)
        left = {key.decode(): client.pttl(key) / 1000 for key in client.scan_iter()}
    assert len(left) >= 6
    assert {key for key, seconds in left.items() if seconds <= 0} == set()


async def test_a_member_that_leaves_is_gone_at_once(redis_server: str) -> None:
    async with open_bus(redis_server) as bus:
        assert await bus.join_group("g", "a", 30) == ["a"]
        assert await bus.join_group("g", "b", 30) == ["a", "b"]
        await bus.leave_group("g", "a")
        assert await bus.group("g") == ["b"]


async def test_nothing_is_asked_of_redis_for_no_videos(redis_server: str) -> None:
    async with open_bus(redis_server) as bus:
        await bus.hold_back([], 1)
        await bus.add_audiences([], 60)
        assert await bus.counts([]) == {}
        assert bus.statistics().failures == 0
