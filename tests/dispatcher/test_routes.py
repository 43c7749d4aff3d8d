"""Publishing and leases, over a real socket and the memory bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from liveserver.auth.authorizer import Authorizer
from liveserver.bus.interface import Lease
from liveserver.bus.leases import LeaseAnswer
from liveserver.config import DispatcherSettings, Duration, Settings
from liveserver.cursor import Cursor
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.routes import DispatcherRoutes
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.errors import BusError
from liveserver.viewer_count import ViewerCount
from tests.dispatcher.harness import Bus
from tests.edge.harness import HOST, Answered, Served, serving

LIKE = b'{"type":"like","user":"u1"}'
PATH = "/v1/videos/v1/events"
JSON = b"application/json"
NDJSON = b"application/x-ndjson"


class Stage:
    """A dispatcher's routes, served."""

    def __init__(self, served: Served, bus: Bus) -> None:
        self.bus = bus
        self.served = served

    async def post(self, path: str, body: bytes, kind: bytes = JSON) -> Answered:
        return await self.served.ask(request("POST", path, body, kind))

    async def json(self, path: str, body: Any) -> Answered:
        return await self.post(path, msgspec.json.encode(body))


def request(method: str, path: str, body: bytes, kind: bytes = JSON) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\n".encode() + HOST + b"Content-Type: " + kind
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def dispatching(**how: Any) -> AsyncIterator[Stage]:
    settings = DispatcherSettings(**how)
    bus = Bus()
    publisher = Publisher(bus, "dc1", settings)
    routes = DispatcherRoutes(
        Parser(settings), publisher, Subscriptions(bus, settings.max_lease), Authorizer(Settings())
    )
    async with serving(routes.add_to) as served, trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        yield Stage(served, bus)
        nursery.cancel_scope.cancel()


async def test_published_events_are_accepted_and_logged() -> None:
    async with dispatching() as stage:
        answer = await stage.post(PATH, b'[{"type":"like","id":"a"},{"type":"like","id":"b"}]')
        assert answer.status == 202
        assert answer.headers["content-type"] == "application/json"
        epoch = (await stage.bus.read("v1", 0, 1)).head.epoch
        assert answer.body == b'{"accepted":2,"duplicates":0,"cursor":"dc1-%b-2"}' % epoch.encode()
        answer = await stage.post(PATH, b'{"type":"like","id":"a"}\n{"type":"like"}\n', NDJSON)
        assert answer.body == b'{"accepted":1,"duplicates":1,"cursor":"dc1-%b-3"}' % epoch.encode()
        assert len(await stage.bus.lines("v1")) == 3


async def test_a_keyed_event_is_answered_with_how_many_were_stale() -> None:
    async with dispatching() as stage:
        answer = await stage.json(PATH, [{"type": "t", "key": "k", "version": 2}, {"type": "t"}])
        received = msgspec.json.decode(answer.body)
        assert (answer.status, received["accepted"], received["stale"]) == (202, 2, 0)
        answer = await stage.json(PATH, {"type": "t", "key": "k", "version": 1})
        again = msgspec.json.decode(answer.body)
        assert again == {"accepted": 0, "duplicates": 0, "stale": 1, "cursor": received["cursor"]}
        events = [{"type": "t", "video": "v1", "key": "k", "version": version} for version in (1, 3)]
        received = msgspec.json.decode((await stage.json("/v1/events", events)).body)
        assert (received["accepted"], received["duplicates"], received["stale"]) == (1, 0, 1)
        assert len(await stage.bus.lines("v1")) == 3


async def test_a_full_state_is_a_413_and_other_events_of_the_batch_are_accepted() -> None:
    async with dispatching() as stage:
        stage.bus.limit_state(keys=1)
        assert (await stage.json(PATH, {"type": "t", "key": "a"})).status == 202
        answers: dict[str, Answered] = {}

        async def ask(name: str, *events: dict[str, str]) -> None:
            answers[name] = await stage.json(PATH, list(events))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "full", {"type": "t"}, {"type": "t", "key": "b"})
            nursery.start_soon(ask, "plain", {"type": "t"})
            nursery.start_soon(ask, "fits", {"type": "t", "key": "a"})
        assert {name: answer.status for name, answer in answers.items()} == {
            "full": 413, "plain": 202, "fits": 202,
        }  # fmt: skip
        assert b"clear some" in answers["full"].body
        assert len(await stage.bus.lines("v1")) == 3


async def test_several_videos_at_once() -> None:
    async with dispatching() as stage:
        body = b'{"type":"like","video":"v"}\n{"type":"like","video":"w"}\n{"type":"like","video":"v"}'
        answer = await stage.post("/v1/events", body, NDJSON)
        assert answer.status == 202
        received = msgspec.json.decode(answer.body)
        assert (received["accepted"], received["duplicates"]) == (3, 0)
        assert list(received["cursors"]) == ["v", "w"]
        for video, cursor in received["cursors"].items():
            assert Cursor.parse(cursor) == (await stage.bus.read(video, 0, 1)).head.cursor


async def test_retractions_have_a_route_of_their_own_and_nothing_else_has_it() -> None:
    retraction = b'{"type":"retract","video":"v","id":"r1","data":{"id":"c1"}}'
    async with dispatching() as stage:
        for _ in range(2):
            assert (await stage.post("/v1/retractions", b"[" + retraction + b"]")).status == 202
        [line] = await stage.bus.lines("v")
        assert line.startswith('{"id":"r1","video":"v","type":"retract","at":')
        like = b'{"type":"like","video":"v"}'
        for path, body in (
            ("/v1/events", retraction),
            ("/v1/videos/v/events", retraction),
            ("/v1/retractions", like),
            ("/v1/retractions", b"[" + retraction + b"," + like + b"]"),
        ):
            assert (await stage.post(path, body)).status == 400
        assert len(await stage.bus.lines("v")) == 1


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        (PATH, b"", JSON, 400),
        (PATH, b"[]", JSON, 400),
        (PATH, LIKE + b"\nx", NDJSON, 400),
        (PATH, b"[" + LIKE + b',{"type":"ready"}]', JSON, 400),
        (PATH, b"[" + LIKE + b',{"type":"like","video":"v2"}]', JSON, 400),
        (PATH + "?x=y", LIKE, JSON, 400),
        ("/v1/events?x=y", b'{"type":"like","video":"v"}', JSON, 400),
        ("/v1/events", b'[{"type":"like","video":"v1"},{"type":"like"}]', JSON, 400),
        ("/v1/videos/-v1/events", LIKE, JSON, 400),
        ("/v1/videos//events", LIKE, JSON, 400),
        ("/v1/videos/%00/events", LIKE, JSON, 400),
        (PATH, LIKE, b"text/plain", 415),
        (PATH, LIKE, b"application/problem+json", 415),
        ("/v1/events", LIKE, b"application/x-www-form-urlencoded", 415),
        (PATH, b"[" + b",".join([LIKE] * 1001) + b"]", JSON, 413),
        (PATH, b'{"type":"like","data":"' + b"x" * 16_384 + b'"}', JSON, 413),
    ],
)
async def test_a_refused_request_publishes_nothing(path: str, body: bytes, kind: bytes, status: int) -> None:
    async with dispatching() as stage:
        answer = await stage.post(path, body, kind)
        assert answer.status == status
        assert answer.detail
        assert stage.bus.appended == []


@pytest.mark.parametrize("path", [PATH, "/v1/events", "/v1/leases", "/v1/leases/withdraw"])
async def test_only_posts(path: str) -> None:
    async with dispatching() as stage:
        for method in ("GET", "PUT"):
            answer = await stage.served.ask(request(method, path, b""))
            assert (answer.status, answer.headers["allow"]) == (405, "POST")
        await stage.served.only(0)
        assert stage.served.handed_over == []


@pytest.mark.parametrize("path", ["/v1/videos/v1/likes", "/v1/videos/v1", "/v1/event"])
async def test_other_paths_are_handed_over(path: str) -> None:
    async with dispatching() as stage:
        async with stage.served.connect() as client:
            await client.send(request("POST", path, LIKE))
            await client.is_closed()
        assert len(stage.served.handed_over) == 1


async def test_a_bus_that_is_gone_is_a_503(autojump_clock: trio.testing.MockClock) -> None:
    async with dispatching(commit_timeout=Duration(10)) as stage:
        stage.bus.failures = 1e9
        answer = await stage.post(PATH, LIKE)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "same ids" in answer.detail
        assert 9 < trio.current_time() < 11


async def test_answers_to_pipelined_publishes_come_in_order() -> None:
    async with dispatching() as stage, stage.served.connect() as client:
        await client.send(b"".join(request("POST", PATH, b'{"type":"like"}') for _ in range(20)))
        cursors = [msgspec.json.decode((await client.answer()).body)["cursor"] for _ in range(20)]
        assert [cursor.rpartition("-")[2] for cursor in cursors] == [str(n) for n in range(1, 21)]


async def test_a_publisher_that_hangs_up_has_published_all_the_same() -> None:
    async with dispatching() as stage:
        stage.bus.hold()
        async with stage.served.connect() as client:
            await client.send(request("POST", PATH, LIKE))
            await trio.testing.wait_all_tasks_blocked(0.01)
            client.reset()
        stage.bus.let_go()
        assert (await stage.post(PATH, LIKE)).status == 202
        assert len(await stage.bus.lines("v1")) == 2


# Leases


async def test_leases_are_renewed_and_withdrawn() -> None:
    async with dispatching() as stage, stage.bus.inbox("n1") as inbox:
        query = {"node": "n1", "lease": 30, "videos": {"v1": 3, "v2": 0}}
        answer = await stage.json("/v1/leases", query)
        assert answer.status == 200
        leases = msgspec.json.decode(answer.body, type=LeaseAnswer).to_leases()
        for video, viewers in (("v1", 3), ("v2", 0)):
            head = (await stage.bus.read(video, 0, 1)).head
            assert leases[video] == Lease(head, ViewerCount(video, "dc1", viewers, viewers))
        await stage.post(PATH, LIKE)
        assert [batch.video for batch in await anext(inbox)] == ["v1"]
        answer = await stage.json("/v1/leases", query)
        assert msgspec.json.decode(answer.body)["heads"]["v1"]["offset"] == 1
        answer = await stage.json("/v1/leases/withdraw", {"node": "n1", "videos": ["v1"]})
        assert (answer.status, answer.body) == (200, b"{}")
        await stage.post(PATH, LIKE)
        await stage.post("/v1/videos/v2/events", LIKE)
        assert [batch.video for batch in await anext(inbox)] == ["v2"]


async def test_without_videos_no_leases_are_requested() -> None:
    async with dispatching() as stage:
        answer = await stage.json("/v1/leases", {"node": "n1", "lease": 30, "videos": {}})
        assert (answer.status, answer.body) == (200, b'{"heads":{}}')
        answer = await stage.json("/v1/leases/withdraw", {"node": "n1", "videos": []})
        assert answer.status == 200


GOOD: dict[str, Any] = {"node": "n1", "lease": 30, "videos": {"v1": 1}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"node": ""},
        {"node": "-n"},
        {"node": "n\n"},
        {"node": 1},
        {"lease": 0},
        {"lease": -1},
        {"lease": "30"},
        {"videos": ["v1"]},
        {"videos": {"-v": 1}},
        {"videos": {"v": "1"}},
        {"videos": {"v": 1.5}},
        {"videos": {"v": -1}},
        {"videos": {f"v{number}": 1 for number in range(10_001)}},
    ],
)
async def test_a_malformed_lease_is_a_bad_request(wrong: dict[str, Any]) -> None:
    async with dispatching() as stage:
        answer = await stage.json("/v1/leases", GOOD | wrong)
        assert answer.status == 400
        assert answer.detail
        assert stage.bus.statistics().videos == 0


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"node":"n1"}', b'{"node":"n1","videos":["-v"]}', b"\xff", b"[" * 100_000]
)
async def test_a_malformed_withdrawal_is_a_bad_request(body: bytes) -> None:
    async with dispatching() as stage:
        for path in ("/v1/leases", "/v1/leases/withdraw"):
            assert (await stage.post(path, body)).status == 400
            assert (await stage.post(path, body, b"text/plain")).status == 415


async def test_a_table_that_cannot_be_reached_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object) -> None:
        raise BusError("redis://secret is gone")

    async with dispatching() as stage:
        for verb in ("subscribe", "unsubscribe"):
            monkeypatch.setattr(stage.bus, verb, gone)
        for path, query in (("/v1/leases", GOOD), ("/v1/leases/withdraw", {"node": "n1", "videos": ["v1"]})):
            answer = await stage.json(path, query)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "secret" not in answer.detail


async def test_times_ahead_are_refused_or_corrected_as_the_publisher_prefers() -> None:
    body = b'{"type":"like","at":%d}' % 10**14
    async with dispatching() as on:
        answered = await on.post(PATH, body)
        assert (answered.status, b"at most 5000 ms ahead" in answered.body) == (400, True)
        query = request("POST", PATH, body, JSON).replace(
            b"Host:", b"Prefer: respond-async, Handling=Lenient\r\nHost:", 1
        )
        assert (await on.served.ask(query)).status == 202
