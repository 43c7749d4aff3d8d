"""A thread that listens to one channel, whatever happens to Redis."""

from __future__ import annotations

import threading

import pytest
import redis
import trio

from tests.bus.redis_harness import (
    append,
    eventually_says_missed,
    next_batches,
    open_bus,
)
from tests.conftest import Until

pytestmark = [pytest.mark.process, pytest.mark.redis]


async def test_broken_connections_are_mended_from_the_log(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus, bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "t1", "a")
        assert [batch.first for batch in await next_batches(inbox)] == [1]
        client.client_kill_filter(_type="pubsub")
        client.client_kill_filter(_type="normal", skipme=True)
        await append(bus, "t2", "b")  # there is no listener: the row is pruned
        await eventually_says_missed(inbox)
        head = (await bus.subscribe("n", {"v": 1}, 30))["v"].head
        assert [batch.lines for batch in (await bus.read("v", 1, head.offset - 1)).batches] == [[b"like b"]]
        await append(bus, "t3", "c")
        offsets: list[int] = []
        while not offsets or offsets[-1] < 3:
            offsets += [batch.first for batch in await next_batches(inbox)]
        assert offsets in ([3], [2, 3])  # it may have listened again before the second one
        assert bus.statistics().listeners[0].restarts == 1


async def test_malformed_batches_are_counted_and_dropped(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus, bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        for nonsense in (
            b"",
            b"\xff\xfe",
            b"v e 1 dc1 e 1",
            b"v e x dc1 e 1\nlike {}",
            b"v e 1 dc1 e 1\nlike",
        ):
            assert client.publish("ls:inbox:n", nonsense) == 1
        await append(bus, "t", "a")
        assert [batch.lines for batch in await next_batches(inbox)] == [[b"like a"]]
        assert bus.statistics().listeners[0].malformed == 5


async def test_listening_ends_its_thread(redis_server: str, until: Until) -> None:
    def threads() -> list[str]:
        return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("listen "))

    async def ended() -> bool:
        return threads() == []

    async with open_bus(redis_server) as bus:
        async with bus.inbox("n"), bus.feed():
            assert threads() == ["listen ls:feed", "listen ls:inbox:n"]
        assert bus.statistics().listeners == []
        await until(ended)


async def test_a_silent_link_that_answers_is_kept(redis_server: str) -> None:
    """Nothing comes for several times the timeout but answers to pings."""
    async with open_bus(redis_server, answer_in=1) as bus, bus.inbox("n"):
        await trio.sleep(3)
        (listener,) = bus.statistics().listeners
        assert (listener.listening, listener.restarts, listener.error) == (True, 0, "")
