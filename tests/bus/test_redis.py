"""The Redis bus where it differs: expiries, repeats after a lost answer, and Redis going away."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import redis
import trio

from liveserver.bus.interface import Inbox, Parcel, Receipt
from liveserver.bus.redis import RedisBus
from liveserver.bus.redis_server import RedisServer, free_port
from liveserver.config import BusSettings, Duration, LogSettings
from liveserver.errors import BusError, ConfigError
from liveserver.event import Batch
from tests.conftest import Until


@asynccontextmanager
async def open_bus(url: str, *, answer_in: float = 5, **log: float) -> AsyncIterator[RedisBus]:
    settings = LogSettings(**{name: Duration(value) for name, value in log.items()})  # type: ignore[arg-type]
    async with RedisBus.open("dc1", BusSettings(url=url, timeout=Duration(answer_in)), settings) as bus:
        yield bus


@pytest.fixture
def client(redis_server: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server, protocol=2) as client:
        yield client


def parcel(token: str, *lines: str, video: str = "v", ids: list[str | None] | None = None) -> Parcel:
    return Parcel(video, token, [f"like {line}".encode() for line in lines], ids or [None] * len(lines))


async def append(bus: RedisBus, token: str, *lines: str) -> Receipt:
    (receipt,) = await bus.append([parcel(token, *lines)])
    return receipt


async def lines(bus: RedisBus) -> list[str]:
    stretch = await bus.read("v", 0, 1000)
    return [line.decode().removeprefix("like ") for batch in stretch.batches for line in batch.lines]


async def next_batches(inbox: Inbox) -> list[Batch]:
    with trio.fail_after(10):
        return await anext(inbox)


async def eventually_says_missed(inbox: Inbox) -> None:
    with trio.fail_after(15):
        while await anext(inbox):
            pass


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


# What is in Redis


async def test_every_key_expires(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server, idle=1000, ids=50) as bus, bus.inbox("n"):
        await bus.subscribe("n", {"v": 3}, 20)
        await bus.append([parcel("t1", "a", ids=["1"]), parcel("t2", "b", video="w")])
        await bus.read("only-read", 0, 10)
    left = {key.decode(): client.pttl(key) / 1000 for key in client.scan_iter()}
    bounds = {
        "ls:{v}:log": 1000, "ls:{v}:meta": 1120, "ls:{v}:nodes": 20, "ls:{v}:viewers": 20,
        "ls:{v}:ids:i:1": 50, "ls:{v}:ids:t:t1": 60,
        "ls:{w}:log": 1000, "ls:{w}:meta": 1120, "ls:{w}:ids:t:t2": 60,
        "ls:{only-read}:meta": 1120, "ls:active": 1000,
    }  # fmt: skip
    assert left.keys() == bounds.keys()
    for key, seconds in left.items():
        assert bounds[key] - 10 < seconds <= bounds[key], key


async def test_the_table_and_the_active_videos(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus, bus.inbox("n"):
        await bus.subscribe("n", {"v": 3}, 20)
        await bus.subscribe("dead", {"v": 4}, 200)
        await bus.subscribe("n", {"v": 5}, 20)
        assert client.hgetall("ls:{v}:viewers") == {b"n": b"5", b"dead": b"4"}
        assert client.pttl("ls:{v}:nodes") > 100_000  # the shorter lease does not cut the longer off
        await append(bus, "t1", "a")
        assert client.hgetall("ls:{v}:viewers") == {b"n": b"5"}
        assert client.zrange("ls:{v}:nodes", 0, -1) == [b"n"]
        await bus.unsubscribe("n", ["v"])
        assert not client.exists("ls:{v}:viewers", "ls:{v}:nodes")
        assert client.zrange("ls:active", 0, -1) == [b"v"]


async def test_quiet_videos_leave_the_active_ones(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server, idle=100) as bus:
        client.zadd(
            "ls:active", {"quiet": time.time() * 1000 - 101_000, "recent": time.time() * 1000 - 50_000}
        )
        await bus.append([parcel("t", "a", video=f"v{i}") for i in range(1200)])
    assert client.zcard("ls:active") == 1201
    assert client.zscore("ls:active", "quiet") is None


async def test_entries_are_numbered_by_offset(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus:
        receipt = await append(bus, "t", "a", "b")
    origin = f"dc1 {receipt.epoch} ".encode()
    assert client.xrange("ls:{v}:log") == [
        (b"1-0", {b"o": origin + b"1", b"l": b"like a"}),
        (b"2-0", {b"o": origin + b"2", b"l": b"like b"}),
    ]


async def test_events_of_other_origins_are_read_and_stand_in_the_cursor(
    redis_server: str, client: redis.Redis
) -> None:
    """As a relay will write them."""
    async with open_bus(redis_server) as bus:
        epoch = (await append(bus, "t", "a")).epoch
        client.xadd("ls:{v}:log", {"o": "dc0 zzzzz 7", "l": "like x"}, "2-0")
        client.xadd("ls:{v}:log", {"o": "dc0 zzzzz 8", "l": "like y"}, "3-0")
        client.hset("ls:{v}:meta", mapping={"offset": 3, "others": "dc0-zzzzz-8~dc2-yyyyy-3"})
        receipt = await append(bus, "t2", "b")
        stretch = await bus.read("v", 0, 100)
    assert (receipt.first, receipt.number) == (4, 2)
    assert str(receipt.cursor) == str(stretch.head.cursor) == f"dc0-zzzzz-8~dc1-{epoch}-2~dc2-yyyyy-3"
    assert stretch.batches == [
        Batch("v", epoch, 1, "dc1", epoch, 1, [b"like a"]),
        Batch("v", epoch, 2, "dc0", "zzzzz", 7, [b"like x", b"like y"]),
        Batch("v", epoch, 4, "dc1", epoch, 2, [b"like b"]),
    ]


async def test_age_is_kept_by_marks(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server, age=100) as bus:
        for number in range(5):
            await append(bus, f"t{number}", "a")
        assert b"," not in (client.hget("ls:{v}:meta", "marks") or b",")  # an eighth of the age apart
        now = int(time.time() * 1000)
        client.hset("ls:{v}:meta", "marks", f"{now - 200_000} 1,{now - 101_000} 3,{now - 90_000} 4")
        await append(bus, "t5", "b")
        assert (await bus.read("v", 0, 10)).oldest == 4
        client.hset("ls:{v}:meta", "at", now - 101_000)  # quiet since
        await append(bus, "t6", "c")
        stretch = await bus.read("v", 0, 10)
        assert (stretch.oldest, stretch.head.offset) == (7, 7)
        assert client.hget("ls:{v}:meta", "marks") == b""


async def test_a_meta_that_is_gone_takes_its_log_with_it(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus:
        before = await append(bus, "t", "a", "b")
        client.delete("ls:{v}:meta")
        after = await append(bus, "t2", "c")
        assert (after.first, after.epoch != before.epoch) == (1, True)
        assert await lines(bus) == ["c"]


async def test_a_redis_with_less_than_it_had_begins_a_new_epoch(
    redis_server: str, client: redis.Redis
) -> None:
    async with open_bus(redis_server) as bus, open_bus(redis_server) as another:
        before = await append(bus, "t", "a", "b", "c")
        client.hset("ls:{v}:meta", mapping={"offset": 2, "number": 2})
        client.xdel("ls:{v}:log", "3-0")
        assert (await another.read("v", 0, 10)).head.offset == 2  # who was told nothing can't know
        after = await append(bus, "t2", "d")
        assert (after.first, after.epoch != before.epoch) == (1, True)
        assert (await another.read("v", 0, 10)).head.epoch == after.epoch


# Going wrong


async def test_a_repeat_after_a_lost_answer_is_not_doubled(
    redis_server: str, redis_process: RedisServer
) -> None:
    proxy = Proxy(redis_process.port)
    async with trio.open_nursery() as nursery, open_bus(redis_server) as direct, direct.inbox("n") as inbox:
        await nursery.start(proxy.run)
        async with open_bus(f"redis://127.0.0.1:{proxy.port}", answer_in=0.3) as bus:
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


async def test_scripts_redis_forgot_are_loaded_again(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus:
        for number in range(3):
            client.script_flush()
            await append(bus, f"t{number}", str(number))
            client.script_flush()
            await bus.subscribe("n", {"v": 1}, 30)
        assert await lines(bus) == ["0", "1", "2"]


async def test_broken_connections_are_mended_from_the_log(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus, bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "t1", "a")
        assert [batch.first for batch in await next_batches(inbox)] == [1]
        client.client_kill_filter(_type="pubsub")
        client.client_kill_filter(_type="normal", skipme=True)
        await append(bus, "t2", "b")  # nobody listens: the row is pruned
        await eventually_says_missed(inbox)
        head = (await bus.subscribe("n", {"v": 1}, 30))["v"]
        assert [batch.lines for batch in (await bus.read("v", 1, head.offset - 1)).batches] == [[b"like b"]]
        await append(bus, "t3", "c")
        assert [batch.first for batch in await next_batches(inbox)] == [3]
        assert bus.statistics().listeners[0].restarts == 1


async def test_what_is_no_batch_is_counted_and_dropped(redis_server: str, client: redis.Redis) -> None:
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


async def test_a_restart_that_keeps_the_data_loses_nothing(own_redis: RedisServer, until: Until) -> None:
    async with open_bus(own_redis.url, answer_in=1) as bus, bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        before = await append(bus, "t1", "a")
        await next_batches(inbox)
        own_redis.stop()
        with pytest.raises(BusError):
            await append(bus, "t2", "b")
        own_redis.start()
        await own_redis.wait_ready()
        await eventually_says_missed(inbox)
        after = await append(bus, "t2", "b")
        assert (after.first, after.epoch) == (2, before.epoch)
        await bus.subscribe("n", {"v": 1}, 30)
        await append(bus, "t3", "c")
        received: list[bytes] = []
        while b"like c" not in received:
            received += [line for batch in await next_batches(inbox) for line in batch.lines]
        assert await lines(bus) == ["a", "b", "c"]


async def test_a_restart_without_data_is_a_new_epoch(own_redis: RedisServer) -> None:
    async with open_bus(own_redis.url, answer_in=1) as bus:
        before = await append(bus, "t1", "a", "b")
        with redis.Redis.from_url(own_redis.url) as client:
            client.flushall()
        own_redis.stop()
        own_redis.start()
        await own_redis.wait_ready()
        after = await append(bus, "t2", "c")
        assert (after.first, after.epoch != before.epoch) == (1, True)


async def test_a_stalled_redis_is_an_error_in_time(own_redis: RedisServer) -> None:
    async with open_bus(own_redis.url, answer_in=0.4) as bus:
        async with bus.inbox("n") as inbox:
            await bus.subscribe("n", {"v": 1}, 30)
            await append(bus, "t1", "a")
            await next_batches(inbox)
            own_redis.pause()
            for attempt in (lambda: append(bus, "t2", "b"), bus.ping, lambda: bus.read("v", 0, 1)):
                began = trio.current_time()
                with pytest.raises(BusError):
                    await attempt()
                assert trio.current_time() - began < 0.4 * 1.25 + 0.2
            began = trio.current_time()
            with pytest.raises(BusError):
                async with bus.inbox("m"):
                    pass
            assert trio.current_time() - began < 0.4 + 0.5
            with trio.fail_after(10):
                while bus.statistics().listeners[0].listening:  # noqa: ASYNC110  # a thread's state
                    await trio.sleep(0.01)
            own_redis.resume()
            await eventually_says_missed(inbox)
            await append(bus, "t2", "b")
            assert await lines(bus) == ["a", "b"]
            own_redis.pause()
            began = trio.current_time()
        assert trio.current_time() - began < 0.5
    own_redis.resume()


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


async def test_no_redis_is_an_error_that_says_what_to_do() -> None:
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
            RedisBus("dc1", BusSettings(url=broken), LogSettings())
        assert "hunter2" not in str(refused.value)


async def test_what_was_sent_is_not_in_the_message(redis_server: str, client: redis.Redis) -> None:
    client.set("ls:{v}:log", "not a stream")
    client.hset("ls:{v}:meta", mapping={"epoch": "abcde", "offset": 1, "number": 1})
    async with open_bus(redis_server) as bus:
        with pytest.raises(BusError, match="WRONGTYPE") as caught:
            await append(bus, "t", "private")
    assert "private" not in str(caught.value)
