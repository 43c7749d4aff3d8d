"""What earlier programs wrote stays readable; what a newer one wrote is refused, and stays as it is.

`forms/1.json` is what a program of the first form left in Redis and sent to others; it never changes.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from liveserver.bus.leases import LeaseAnswer, LeaseRequest, WithdrawRequest
from liveserver.bus.redis.bus import RedisBus
from liveserver.cursor import Cursor
from liveserver.errors import BusRefused
from liveserver.event import Batch
from liveserver.hooks.collector import LogPosition
from liveserver.ops.cluster import Member
from liveserver.viewer_count import ViewerCount
from tests.bus.redis_harness import append, append_at_last, lines, open_bus

pytestmark = [pytest.mark.redis]

FORMS = Path(__file__).parent / "forms"


def recorded() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FORMS / "1.json").read_text())
    return loaded


def restore(client: redis.Redis, keys: dict[str, dict[str, Any]]) -> None:
    """Write keys as they were recorded, with an hour to live."""
    for key, value in keys.items():
        content = value["value"]
        if value["type"] == "hash":
            client.hset(key, mapping=content)
        elif value["type"] == "zset":
            client.zadd(key, content)
        elif value["type"] == "stream":
            for entry, fields in content:
                client.xadd(key, fields, id=entry)
        else:
            client.set(key, base64.b64decode(content))
        client.expire(key, 3600)


async def test_a_log_of_the_first_form_is_read_and_appended_to(redis_server: str) -> None:
    form = recorded()
    with redis.Redis.from_url(redis_server, decode_responses=True) as client:
        incarnation = client.info("replication")["master_replid"]
        keys = form["keys"]
        keys["ls:run"]["value"]["id"] = keys["ls:{v}:meta"]["value"]["run"] = incarnation
        restore(client, keys)
    async with open_bus(redis_server) as bus:
        assert await lines(bus) == form["lines"]
        stretch = await bus.read("v", 0, 10)
        assert str(stretch.head.cursor) == form["cursor"]
        again = await append(bus, form["token"], *form["lines"])  # of the same request: not twice
        assert again.first == 1
        result = await append(bus, "another", '{"id":"new"}')
        assert (result.epoch, result.first) == (stretch.head.epoch, len(form["lines"]) + 1)
        assert await bus.state("v") == [line.encode() for line in form["state"]]


def test_messages_of_the_first_form_are_read() -> None:
    form = recorded()
    batch = Batch.decode(form["batch"].encode())
    batch.check()
    assert (batch.video, batch.first, batch.number) == ("v", 1, 1)
    assert [line.decode().removeprefix("like ") for line in batch.lines] == form["lines"]
    assert str(Cursor.parse(form["cursor"])) == form["cursor"]
    count = ViewerCount.decode(form["viewer_count"].encode())
    assert (count.video, count.origin) == ("v", "dc1")
    assert msgspec.json.decode(form["lease_request"], type=LeaseRequest).videos == {"v": 3}
    [lease] = msgspec.json.decode(form["lease_answer"], type=LeaseAnswer).to_leases().values()
    assert str(lease.head.cursor) == form["cursor"]


def test_unknown_parts_of_messages_of_a_newer_version_are_ignored() -> None:
    """A node of this version beside newer ones, while they are upgraded: more words, more fields."""
    form = recorded()
    head, _, lines_ = form["batch"].partition("\n")
    assert Batch.decode(f"{head} more words\n{lines_}".encode()) == Batch.decode(form["batch"].encode())
    count = form["viewer_count"]
    assert ViewerCount.decode(f"{count} 7 more".encode()) == ViewerCount.decode(count.encode())
    for name, kind in (("lease_request", LeaseRequest), ("lease_answer", LeaseAnswer)):
        newer = json.loads(form[name]) | {"later": {"a": [1]}}
        known = msgspec.json.decode(form[name], type=kind)
        assert msgspec.json.decode(json.dumps(newer), type=kind) == known
    request = WithdrawRequest("n", ["v"])
    assert msgspec.json.decode(b'{"node":"n","videos":["v"],"later":1}', type=WithdrawRequest) == request
    assert LogPosition.parse("e1 5 dc1-e1-5 later") == LogPosition("e1", 5, "dc1-e1-5")
    member = Member("dc1", "n", "frontend+hooks", "10.0.0.1:9000")
    assert Member.parse(f"{member} later") == member


async def test_a_log_of_a_newer_form_is_refused_and_stays_as_it_is(redis_server: str) -> None:
    async with open_bus(redis_server) as bus:
        await append_at_last(bus, "t", "a")
        with redis.Redis.from_url(redis_server, decode_responses=True) as client:
            assert client.hget("ls:{v}:meta", "form") == "1"
            client.hset("ls:{v}:meta", "form", 2)
            before = client.hgetall("ls:{v}:meta"), client.xrange("ls:{v}:log")
            for refused in (append(bus, "u", "b"), bus.read("v", 0, 10), bus.subscribe("n", {"v": 1}, 30)):
                with pytest.raises(BusRefused, match="has a log of a newer liveserver"):
                    await refused
            assert (client.hgetall("ls:{v}:meta"), client.xrange("ls:{v}:log")) == before
            await bus.append([other()])  # the other videos go on
            client.hset("ls:{v}:meta", "form", 1)
        assert (await append(bus, "u", "b")).first == 2
        assert await lines(bus) == ["a", "b"]


def other() -> Any:
    from tests.bus.redis_harness import parcel

    return parcel("o", "x", video="w")


async def record(url: str) -> dict[str, Any]:
    """Make the recording: for a new form, never for an old one."""
    texts = ['{"id":"a","at":1763862000123}', '{"id":"b","user":"ada","data":{"reaction":"heart"}}']
    async with open_bus(url) as bus, bus.inbox("n") as inbox:
        lease = (await bus.subscribe("n", {"v": 3}, 30))["v"]
        await append_at_last(bus, "token", *texts)
        batch = (await anext(inbox))[-1]
        await bus.merge_states({"v": [b';settings;settings;1;1763862000123;i {"id":"s","key":"settings"}']})
        return await _record(bus, url, texts, batch, lease.viewers)


async def _record(
    bus: RedisBus, url: str, texts: list[str], batch: Batch, viewers: ViewerCount
) -> dict[str, Any]:
    lease = (await bus.subscribe("n", {"v": 3}, 30))["v"]
    keys: dict[str, Any] = {}
    with redis.Redis.from_url(url, decode_responses=True) as client:
        for key in sorted(client.scan_iter("ls:*")):
            kind = client.type(key)
            content: Any
            if kind == "hash":
                content = client.hgetall(key)
            elif kind == "zset":
                content = dict(client.zrange(key, 0, -1, withscores=True))
            elif kind == "stream":
                content = client.xrange(key)
            else:
                with redis.Redis.from_url(url) as raw:
                    content = base64.b64encode(raw.get(key)).decode()
            keys[key] = {"type": kind, "value": content}
    return {
        "keys": keys,
        "lines": texts,
        "token": "token",
        "cursor": str(lease.head.cursor),
        "state": [line.decode() for line in await bus.state("v")],
        "batch": batch.encode().decode(),
        "viewer_count": viewers.encode().decode(),
        "lease_request": msgspec.json.encode(LeaseRequest("n", 30.0, {"v": 3})).decode(),
        "lease_answer": msgspec.json.encode(LeaseAnswer.from_leases({"v": lease})).decode(),
    }
