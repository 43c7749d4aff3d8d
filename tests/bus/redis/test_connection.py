"""Connections to Redis: errors in time, in words, and without secrets."""

from __future__ import annotations

import pytest
import redis
import trio

from liveserver.bus.redis.bus import RedisBus
from liveserver.cluster.redis_server import RedisServer, free_port
from liveserver.config import BusSettings, HistorySettings
from liveserver.errors import BusError, ConfigError
from tests.bus.redis_harness import (
    append,
    eventually_says_missed,
    lines,
    next_batches,
    open_bus,
)

pytestmark = [pytest.mark.process, pytest.mark.redis]


async def test_scripts_redis_forgot_are_loaded_again(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus:
        for number in range(3):
            client.script_flush()
            await append(bus, f"t{number}", str(number))
            client.script_flush()
            await bus.subscribe("n", {"v": 1}, 30)
        assert await lines(bus) == ["0", "1", "2"]


async def test_a_stalled_redis_is_an_error_in_time(own_redis: RedisServer) -> None:
    async with open_bus(own_redis.url, answer_in=0.4) as bus, bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "t1", "a")
        await next_batches(inbox)
        own_redis.pause()
        for attempt in (lambda: append(bus, "t2", "b"), bus.ping, lambda: bus.read("v", 0, 1)):
            with trio.fail_after(60), pytest.raises(BusError):
                await attempt()
        with trio.fail_after(60), pytest.raises(BusError):
            async with bus.inbox("m"):
                pass
        with trio.fail_after(60):
            while bus.statistics().listeners[0].listening:  # noqa: ASYNC110  # a thread's state
                await trio.sleep(0.01)
        own_redis.resume()
        await eventually_says_missed(inbox)
        await append(bus, "t2", "b")
        assert await lines(bus) == ["a", "b"]
        own_redis.pause()
    own_redis.resume()  # closing did not wait for it


async def test_a_missing_redis_is_an_error_that_says_what_to_do() -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    async with open_bus(url, answer_in=0.3) as bus:
        for attempt in (lambda: append(bus, "t", "a"), bus.ping):
            with pytest.raises(BusError, match=r"127\.0\.0\.1:\d+.*bus\.url.*try again"):
                await attempt()
        with pytest.raises(BusError, match=r"refused.*try again"):
            async with bus.feed():
                pass


async def test_no_message_has_the_password(redis_server: str, redis_process: RedisServer) -> None:
    url = f"redis://user:hunter2@127.0.0.1:{redis_process.port}/0"
    async with open_bus(url, answer_in=0.5) as bus:
        for attempt in (lambda: append(bus, "t", "a"), lambda: bus.feed().__aenter__()):
            with pytest.raises(BusError) as caught:
                await attempt()
            assert "hunter2" not in str(caught.value)
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for broken in ("redis://:hunter2/x@host:1", "redis://:a@host:hunter2", "http://:hunter2@host", "hunter2"):
        with pytest.raises(ConfigError, match=r"bus\.url") as refused:
            RedisBus("dc1", BusSettings(url=broken), HistorySettings())
        assert "hunter2" not in str(refused.value)


async def test_errors_do_not_contain_what_was_sent(redis_server: str, client: redis.Redis) -> None:
    client.set("ls:{v}:log", "not a stream")
    run = client.info("replication")["master_replid"]
    client.hset("ls:{v}:meta", mapping={"epoch": "abcde", "offset": 1, "number": 1, "run": run})
    async with open_bus(redis_server) as bus:
        with pytest.raises(BusError, match="WRONGTYPE") as caught:
            await append(bus, "t", "private")
    assert "private" not in str(caught.value)
