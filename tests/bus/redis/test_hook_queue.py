"""The keys of the queues of hooks in Redis."""

from __future__ import annotations

import redis

from liveserver.bus.hook_queue import Progress
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, HistorySettings
from tests.bus.test_hook_queue import message


async def test_every_key_expires_and_is_on_one_server_of_a_cluster(redis_server: str) -> None:
    async with RedisBus.open("dc1", BusSettings(url=redis_server), HistorySettings()) as bus:
        queue = bus.hook_queue(60.0, 6)
        await queue.lead("a", 30.0)
        await queue.disable("site", "url")
        await queue.put("a", [message("m1"), message("m2")], Progress({"v": "p"}, ["v"]))
        await queue.done("site", "v", await queue.next("site", "v", 1), leave_gap=True)
    with redis.Redis.from_url(redis_server) as client:
        held = list(client.scan_iter("ls:*hooks*"))
        assert len(held) == 7
        assert all(key.startswith(b"ls:{+hooks}:") for key in held)
        assert all(client.pttl(key) > 0 for key in held)


async def test_what_has_expired_takes_no_room_and_is_due_no_more(redis_server: str) -> None:
    async with RedisBus.open("dc1", BusSettings(url=redis_server), HistorySettings()) as bus:
        queue = bus.hook_queue(60.0, 3)
        await queue.lead("a", 30.0)
        assert await queue.put("a", [message(f"m{n}", f"v{n}") for n in range(3)], Progress()) == 0
        with redis.Redis.from_url(redis_server) as client:
            client.delete("ls:{+hooks}:queue:site:v1")
            await queue.done("site", "v1", await queue.next("site", "v1", 9))
            assert sorted((await queue.due("site", 9)).videos) == ["v0", "v2"]
            client.delete("ls:{+hooks}:due:site", "ls:{+hooks}:queue:site:v0", "ls:{+hooks}:queue:site:v2")
        assert await queue.put("a", [message("m4"), message("m5")], Progress()) == 0
        assert (await queue.waiting(["site"]), len(await queue.next("site", "v", 9))) == ({"site": 2}, 2)
