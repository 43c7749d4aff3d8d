"""The Redis bus where it differs: what is in Redis, and how long."""

from __future__ import annotations

import time

import redis

from liveserver.bus.interface import AppendRequest
from liveserver.event import Batch
from tests.bus.redis_harness import append, lines, open_bus, parcel


async def test_every_key_expires(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server, idle_ttl=1000, dedup_window=50) as bus, bus.inbox("n"):
        await bus.subscribe("n", {"v": 3}, 20)
        await bus.append([parcel("t1", "a", ids=["1"]), parcel("t2", "b", video="w")])
        await bus.read("only-read", 0, 10)
    left = {key.decode(): client.pttl(key) / 1000 for key in client.scan_iter()}
    bounds = {
        "ls:{v}:log": 1000, "ls:{v}:meta": 1120, "ls:{v}:nodes": 7220, "ls:{v}:viewers": 7220,
        "ls:{v}:tally": 20, "ls:{v}:ids:i:1": 50, "ls:{v}:ids:t:t1": 60,
        "ls:{w}:log": 1000, "ls:{w}:meta": 1120, "ls:{w}:ids:t:t2": 60,
        "ls:{only-read}:meta": 120, "ls:active": 1000, "ls:watched": 1000, "ls:run": 1240,
    }  # fmt: skip
    assert left.keys() == bounds.keys()
    for key, seconds in left.items():
        assert bounds[key] - 10 < seconds <= bounds[key], key


async def test_the_state_expires_with_the_meta_data(redis_server: str, client: redis.Redis) -> None:
    line = b';t;k;-;5; {"id":"a"}'
    parcel = AppendRequest("v", "t1", [line], [None], is_keyed=True)
    async with open_bus(redis_server, idle_ttl=1000) as bus:
        await bus.append([parcel])
        assert 1_110_000 < client.pttl("ls:{v}:state") <= 1_120_000
        client.pexpire("ls:{v}:state", 5_000)
        await bus.subscribe("n", {"v": 1}, 2000)  # a video that is watched keeps it, as its meta data
        assert 2_110_000 < client.pttl("ls:{v}:state") <= 2_120_000
        client.pexpire("ls:{v}:state", 5_000)
        client.hset("ls:{v}:meta", "at", 0)  # the last append was half a minute ago
        await append(bus, "t2", "a")
        assert 1_110_000 < client.pttl("ls:{v}:state") <= 1_120_000


async def test_a_log_that_begins_anew_keeps_its_state(redis_server: str, client: redis.Redis) -> None:
    line = b';t;k;-;5; {"id":"a"}'
    async with open_bus(redis_server) as bus:
        await bus.append([AppendRequest("v", "t1", [line], [None], is_keyed=True)])
        client.delete("ls:{v}:meta", "ls:{v}:log", "ls:{v}:ephemeral")
        assert (await bus.subscribe("n", {"v": 1}, 30, ["v"]))["v"].state == [line]


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
    async with open_bus(redis_server, idle_ttl=100) as bus:
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
    async with open_bus(redis_server, max_age=100) as bus:
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
        assert (await another.read("v", 0, 10)).head.offset == 2  # this process has seen no head
        after = await append(bus, "t2", "d")
        assert (after.first, after.epoch != before.epoch) == (1, True)
        assert (await another.read("v", 0, 10)).head.epoch == after.epoch


async def test_a_quiet_videos_keys_last_as_long_as_its_lease(redis_server: str, client: redis.Redis) -> None:
    """A lease beyond `idle_ttl` keeps the meta of a video that has events; one without events ends sooner."""
    async with open_bus(redis_server, idle_ttl=50) as bus:
        await bus.subscribe("n", {"empty": 1}, 20)
        assert 130_000 < client.pttl("ls:{empty}:meta") <= 140_000
        await append(bus, "t", "a")
        assert 160_000 < client.pttl("ls:{v}:meta") <= 170_000
        await bus.subscribe("n", {"v": 1}, 200)
        assert 310_000 < client.pttl("ls:{v}:meta") <= 320_000
        await bus.subscribe("m", {"v": 1}, 20)
        assert 310_000 < client.pttl("ls:{v}:meta") <= 320_000


async def test_reading_leaves_only_keys_that_expire(redis_server: str, client: redis.Redis) -> None:
    async with open_bus(redis_server) as bus:
        await bus.subscribe("n", {"unknown": 1}, 30)
        head = (await bus.read("unknown", 0, 10)).head
        await bus.unsubscribe("n", ["unknown"])
    left = {key.decode() for key in client.scan_iter()} - {"ls:run", "ls:watched", "ls:left"}
    assert left == {"ls:{unknown}:meta", "ls:{unknown}:tally"}
    assert all(client.pttl(key) <= 150_000 for key in left)
    async with open_bus(redis_server) as bus:
        receipt = await append(bus, "t", "a")
        assert receipt.first == 1
        (first,) = await bus.append([parcel("t1", "a", video="unknown")])
        assert (first.epoch, first.first) == (head.epoch, 1)


async def test_an_append_says_to_how_many_nodes_it_was_forwarded(
    redis_server: str, client: redis.Redis
) -> None:
    async with open_bus(redis_server) as bus, bus.inbox("n"), bus.inbox("m"):
        assert (await append(bus, "t1", "a")).nodes == 0
        await bus.subscribe("n", {"v": 1}, 20)
        await bus.subscribe("m", {"v": 1}, 20)
        await bus.subscribe("dead", {"v": 1}, 20)
        assert (await append(bus, "t2", "b")).nodes == 2
        assert (await append(bus, "t2", "b")).nodes == 2  # the same request again
        (known,) = await bus.append([parcel("t3", "c", ids=["1"])])
        (repeated,) = await bus.append([parcel("t4", "c", ids=["1"])])
        assert (known.nodes, repeated.nodes) == (2, 0)
