"""The Redis bus when something goes wrong: lost answers, broken links, Redis stalled, restarted or gone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
import trio

from liveserver.bus.redis.server import Command
from liveserver.cluster.redis_server import RedisServer
from liveserver.errors import BusError
from tests.bus.redis_harness import (
    append,
    append_at_last,
    eventually_says_missed,
    lines,
    next_batches,
    open_bus,
)
from tests.conftest import Until

pytestmark = [pytest.mark.process, pytest.mark.redis]


class Proxy:
    """A TCP hop before Redis that can keep its answers to itself."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.mute = False
        self._target = target

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, self._carry, 0)
            self.port = listeners[0].socket.getsockname()[1]
            task_status.started()

    async def _carry(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self._copy, client, server, False)
            nursery.start_soon(self._copy, server, client, True)

    async def _copy(self, source: trio.SocketStream, sink: trio.SocketStream, answers: bool) -> None:
        try:
            async for chunk in source:
                if not (answers and self.mute):
                    await sink.send_all(chunk)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


async def test_a_repeat_after_a_lost_answer_is_not_doubled(
    redis_server: str, redis_process: RedisServer
) -> None:
    proxy = Proxy(redis_process.port)
    async with trio.open_nursery() as nursery, open_bus(redis_server) as direct, direct.inbox("n") as inbox:
        await nursery.start(proxy.run)
        async with open_bus(f"redis://127.0.0.1:{proxy.port}", answer_in=5) as bus:
            await bus.subscribe("n", {"v": 1}, 30)
            await append(bus, "t1", "a")
            proxy.mute = True
            with pytest.raises(BusError, match="try again"):
                await append(bus, "t2", "b", "c")
            proxy.mute = False
            await append(direct, "t3", "d")
            receipt = await append(bus, "t2", "b", "c")
            assert (receipt.first, receipt.cursor.get("dc1")) == (2, (receipt.epoch, 3))
            assert await lines(bus) == ["a", "b", "c", "d"]
        offsets: list[int] = []
        while len(offsets) < 3:
            offsets += [batch.first for batch in await next_batches(inbox)]
        assert offsets == [1, 2, 4]
        nursery.cancel_scope.cancel()


async def test_a_restart_that_keeps_the_data_loses_nothing(
    own_redis: RedisServer, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveserver.bus.redis.bus.settling", lambda timeout: 60)
    async with open_bus(own_redis.url, answer_in=20) as bus, bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        before = await append(bus, "t1", "a")
        await next_batches(inbox)
        own_redis.stop()
        with pytest.raises(BusError):
            await append(bus, "t2", "b")
        own_redis.start()
        await own_redis.wait_ready()
        await eventually_says_missed(inbox)
        after = await append_at_last(bus, "t2", "b")
        assert (after.first, after.epoch) == (2, before.epoch)
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "t3", "c")
        received: list[bytes] = []
        while b"like c" not in received:
            received += [line for batch in await next_batches(inbox) for line in batch.lines]
        assert await lines(bus) == ["a", "b", "c"]


async def test_a_restart_without_data_is_a_new_epoch(own_redis: RedisServer) -> None:
    async with open_bus(own_redis.url, answer_in=20) as bus:
        before = await append(bus, "t1", "a", "b")
        with redis.Redis.from_url(own_redis.url) as client:
            client.flushall()
        own_redis.stop()
        own_redis.start()
        await own_redis.wait_ready()
        after = await append(bus, "t2", "c")
        assert (after.first, after.epoch != before.epoch) == (1, True)


@pytest.mark.parametrize("stumbles", [False, True])
async def test_older_data_is_a_new_epoch_even_if_the_member_with_the_fewest_heads_is_first(
    own_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stumbles: bool
) -> None:
    """One dispatcher knows less than the old copy has: it must not count on where the copy ends.

    Also when the connection over which the other would tell what it knows is not good any more.
    """
    monkeypatch.setattr("liveserver.bus.redis.bus.settling", lambda timeout: 1.5)
    async with (
        open_bus(own_redis.url, answer_in=20) as knows_little,
        open_bus(own_redis.url, answer_in=20) as frontend,
        frontend.inbox("n1") as inbox,
    ):
        await frontend.subscribe("n1", {"v": 1}, 60)
        old = await append(knows_little, "t1", "a", "b")
        shutil.copytree(own_redis.directory, tmp_path / "copy")
        async with open_bus(own_redis.url) as another:
            await append(another, "t2", "c", "d", "e")
        while not any(batch.last == 5 for batch in await next_batches(inbox)):
            pass
        own_redis.process.kill()
        own_redis.process.wait()
        shutil.rmtree(own_redis.directory)
        shutil.copytree(tmp_path / "copy", own_redis.directory)
        own_redis.start()
        await own_redis.wait_ready()
        if stumbles:
            run = frontend._link.run
            stale: list[Exception] = [redis.ConnectionError("reset")]

            def run_at_last(commands: Sequence[Command], **options: Any) -> list[Any]:
                if stale:
                    raise stale.pop()
                return run(commands, **options)

            monkeypatch.setattr(frontend._link, "run", run_at_last)
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                while True:
                    await anext(inbox)

            nursery.start_soon(listen)
            new = await append_at_last(knows_little, "t3", "f")
            nursery.cancel_scope.cancel()
        assert new.epoch != old.epoch
        assert new.first == 1
        assert await lines(frontend) == ["f"]
