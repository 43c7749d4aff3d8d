"""Watching and publishing over HTTP/2: one connection, many streams, and the rules that hold for all."""

from __future__ import annotations

import gc
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import h2.connection
import h2.events
import httpx
import msgspec
import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from quart_trio import QuartTrio
from structlog.testing import capture_logs

from liveserver.client.sse import SSEEvent, SSEParser
from liveserver.config import Address
from liveserver.edge import server
from liveserver.edge.connection_limit import ConnectionLimit
from liveserver.edge.handoff import open_handoff
from liveserver.edge.http2 import FRAMES, RESETS, BoundedBuffer
from liveserver.edge.listener import listen
from liveserver.edge.server import Secured
from liveserver.web.app import public_app
from tests.edge.authority import Authority
from tests.frontend.harness import Stage, settings, stage

EventT = TypeVar("EventT", bound=h2.events.Event)


class ChannelViewerCount:
    """An event stream over HTTP/2."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.chunks = response.aiter_bytes()
        self._parser = SSEParser()
        self._events: list[SSEEvent] = []

    async def event(self) -> SSEEvent:
        while not self._events:
            self._events += self._parser.feed(await anext(self.chunks))
        return self._events.pop(0)

    async def events(self, count: int) -> list[int]:
        return [msgspec.json.decode((await self.event()).data)["n"] for _ in range(count)]

    async def aclose(self) -> None:
        """Go away. httpx' nested generators end in order only when the innermost is cancelled."""
        with trio.CancelScope() as scope, suppress(httpx.HTTPError):
            scope.cancel()
            async for _ in self.chunks:
                pass

    async def is_over(self) -> bool:
        with pytest.raises(StopAsyncIteration):
            await anext(self.chunks)
        return True


class Both:
    """The stage, and one connection of HTTP/2 to it."""

    def __init__(self, on: Stage, client: httpx.AsyncClient, handoff: Any) -> None:
        self.on = on
        self.client = client
        self.handoff = handoff

    @asynccontextmanager
    async def watch(self, video: str = "v", **arguments: Any) -> AsyncIterator[ChannelViewerCount]:
        path = f"/v1/videos/{video}/events"
        async with self.client.stream("GET", path, **arguments) as response:
            assert response.http_version == "HTTP/2"
            watching = ChannelViewerCount(response)
            try:
                yield watching
            finally:
                await watching.aclose()


@asynccontextmanager
async def over_http2(authority: Authority, **sections: Any) -> AsyncIterator[Both]:
    configured = settings(**sections)
    app: QuartTrio = public_app()
    async with (
        stage(configured) as on,
        open_handoff(app, max_body=100_000, timeout=20) as handoff,
        trio.open_nursery() as nursery,
    ):
        on.edge.http2 = handoff.http2(on.edge)
        plain, secure = (listen(Address("127.0.0.1:0"), 100, send_buffer=8192) for _ in range(2))
        nursery.start_soon(on.edge.serve, plain, Secured(secure, authority.acceptor(http2=True)))
        url = f"https://127.0.0.1:{secure.getsockname()[1]}"
        async with httpx.AsyncClient(
            http1=False, http2=True, verify=authority.trust(), base_url=url, timeout=20, trust_env=False
        ) as client:
            yield Both(on, client, handoff)
        nursery.cancel_scope.cancel()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_an_event_stream(authority: Authority) -> None:
    async with over_http2(authority) as both, both.watch() as stream:
        headers = stream.response.headers
        assert (headers["content-type"], headers["x-accel-buffering"]) == ("text/event-stream", "no")
        assert "connection" not in headers
        assert len(headers.get_list("date")) == 1
        ready = await stream.event()
        assert ready.type == "ready"
        await both.on.publish(3)
        assert await stream.events(3) == [1, 2, 3]
        assert both.on.frontend.statistics().viewers == 1


async def test_many_streams_on_one_connection(authority: Authority) -> None:
    async with over_http2(authority) as both, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(both.watch(f"v{n}")) for n in range(20)]
        for stream in streams:
            assert (await stream.event()).type == "ready"
        assert len(both.on.edge.connections) == 21
        for n in range(20):
            await both.on.publish(video=f"v{n}")
        assert [await stream.events(1) for stream in streams] == [[n] for n in range(1, 21)]
        await streams[0].aclose()
        page = await both.client.get("/v1/videos/v1/poll", params={"cursor": "earliest"})
        assert len(page.json()["events"]) == 1


async def test_resuming_over_another_transport_gives_exactly_the_rest(authority: Authority) -> None:
    async with over_http2(authority) as both:
        async with both.watch() as stream:
            await stream.event()
            await both.on.publish(10)
            seen = [await stream.event() for _ in range(4)]
        async with both.watch(headers={"last-event-id": seen[-1].id}) as stream:
            ready = msgspec.json.decode((await stream.event()).data)
            assert (ready["resumed"], ready["gap"]) == (True, False)
            assert await stream.events(6) == [5, 6, 7, 8, 9, 10]
        page = await both.client.get("/v1/videos/v/poll", params={"cursor": seen[-1].id})
        assert [event["n"] for event in page.json()["events"]] == [5, 6, 7, 8, 9, 10]


async def test_json_lines(authority: Authority) -> None:
    async with (
        over_http2(authority) as both,
        both.watch(headers={"accept": "application/x-ndjson"}) as stream,
    ):
        await both.on.publish()
        lines = b""
        while lines.count(b"\n") < 2:
            lines += await anext(stream.chunks)
        assert [msgspec.json.decode(line)["event"] for line in lines.splitlines()] == ["ready", "like"]


async def test_a_gap_is_sent(authority: Authority) -> None:
    async with over_http2(authority, history={"max_events": 10, "ephemeral_types": []}) as both:
        async with both.watch() as stream:
            cursor = (await stream.event()).id
        await both.on.publish(100)
        async with both.watch(params={"cursor": cursor}) as stream:
            assert msgspec.json.decode((await stream.event()).data)["gap"] is True
            first = (await stream.events(1))[0]
            assert first > 1
            assert await stream.events(100 - first) == list(range(first + 1, 101))


async def test_a_poll_waits_for_what_comes(authority: Authority) -> None:
    async with over_http2(authority) as both, trio.open_nursery() as nursery:
        cursor = (await both.client.get("/v1/videos/v/poll")).json()["cursor"]
        pages: list[Any] = []

        async def ask() -> None:
            pages.append((await both.client.get("/v1/videos/v/poll", params={"cursor": cursor})).json())

        nursery.start_soon(ask)
        while not both.on.channel().audience.totals.count:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await both.on.publish()
        while not pages:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert [event["n"] for event in pages[0]["events"]] == [1]


async def test_draining_says_bye_and_ends_the_connection(authority: Authority) -> None:
    async with over_http2(authority, node={"drain_timeout": "200ms"}) as both, both.watch() as stream:
        await stream.event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(both.on.frontend.drain)
            bye = await stream.event()
            assert (bye.type, msgspec.json.decode(bye.data)["reason"]) == ("bye", "drain")
            assert await stream.is_over()
        async with both.watch() as late:
            assert (await late.event()).type == "bye"
        await both.handoff.end()
        await both.on.edge.finish(5)
        assert not both.on.edge.connections


async def test_a_full_node_says_so(authority: Authority) -> None:
    async with over_http2(authority, edge={"max_connections": 3}) as both, AsyncExitStack() as stack:
        both.on.frontend.is_full = lambda: both.on.edge.is_full
        for _ in range(2):
            stream = await stack.enter_async_context(both.watch())
            assert (await stream.event()).type == "ready"
        stream = await stack.enter_async_context(both.watch())
        assert msgspec.json.decode((await stream.event()).data)["reason"] == "overload"
        assert (await both.client.get("/v1/videos/v/poll")).status_code == 503


async def test_a_reset_stream_is_forgotten(authority: Authority) -> None:
    async with over_http2(authority) as both:
        async with both.watch() as stream, both.watch() as other:
            await stream.event()
            await other.event()
        await both.client.aclose()
        while both.on.edge.connections:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.frontend.statistics().viewers == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/videos/-/events", 400),
        ("GET", "/v1/videos/v/events?cursor=x", 400),
        ("GET", "/v1/videos/v/events?nonsense=1", 400),
        ("DELETE", "/v1/videos/v/events", 405),
        ("GET", "/v1/videos/v/events?cursor=" + "x" * 20_000, 431),
        ("GET", "/", 200),
        ("GET", "/liveserver.js", 200),
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
    ],
)
async def test_refusals_and_ordinary_pages_over_http2(
    authority: Authority, method: str, path: str, status: int
) -> None:
    async with over_http2(authority) as both:
        answer = await both.client.request(method, path)
        assert (answer.status_code, answer.http_version) == (status, "HTTP/2")
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status


async def test_pages_of_other_origins_are_answered_as_elsewhere(authority: Authority) -> None:
    async with over_http2(authority, edge={"allow_origins": ["https://a.example"]}) as both:
        origin = {"origin": "https://a.example"}
        asked = {**origin, "access-control-request-method": "GET"}
        preflight = await both.client.options("/v1/videos/v/events", headers=asked)
        assert preflight.headers["access-control-allow-origin"] == "https://a.example"
        for path in ("/v1/videos/v/poll", "/v1/videos/v/poll?limit=0"):
            answer = await both.client.get(path, headers=origin)
            assert answer.headers["access-control-allow-origin"] == "https://a.example"


async def test_a_client_without_alpn_gets_http1(authority: Authority) -> None:
    async with (
        over_http2(authority) as both,
        httpx.AsyncClient(
            http2=False, verify=authority.trust(), base_url=both.client.base_url, trust_env=False
        ) as client,
    ):
        answer = await client.get("/v1/videos/v/poll")
        assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


class Raw:
    """A client that says what others would not."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()
        self.heard: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._events: list[h2.events.Event] = []

    async def flush(self) -> None:
        await self.stream.send_all(self.h2.data_to_send())

    async def ask(self, stream_id: int, path: str, **fields: str) -> None:
        """The head of a request; the rest is to follow."""
        headers = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path}
        headers |= {f":{name}" if name in ("method", "protocol") else name: fields[name] for name in fields}
        ordered = sorted(headers.items(), key=lambda pair: not pair[0].startswith(":"))
        self.h2.send_headers(stream_id, ordered, end_stream="content-length" not in headers)
        await self.flush()

    async def until(self, kind: type[EventT]) -> EventT:
        """The next event of this kind; data on the way to it is kept."""
        while True:
            for at, event in enumerate(self._events):
                if isinstance(event, kind):
                    del self._events[: at + 1]
                    return event
            self._events.clear()
            data = await self.stream.receive_some(65536)
            assert data, "the server closed"
            self._events += self.h2.receive_data(data)
            for event in self._events:
                if isinstance(event, h2.events.DataReceived):
                    self.heard[event.stream_id] += event.data

    async def data(self, stream_id: int) -> bytes:
        """What came on a stream and was not taken, at least a byte."""
        while not self.heard[stream_id]:
            await self.until(h2.events.DataReceived)
        return bytes(self.heard.pop(stream_id))


@asynccontextmanager
async def raw(both: Both, authority: Authority) -> AsyncIterator[Raw]:
    url = httpx.URL(str(both.client.base_url))
    plain = await trio.open_tcp_stream("127.0.0.1", url.port or 0)
    async with trio.SSLStream(
        plain, authority.trust("h2"), server_hostname="localhost", https_compatible=True
    ) as stream:
        client = Raw(stream)
        await client.flush()
        yield client


async def test_a_reset_stream_is_forgotten_and_the_others_go_on(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        settings = await client.until(h2.events.RemoteSettingsChanged)
        assert settings.changed_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL].new_value == 0
        await client.ask(1, "/v1/videos/v/events")
        await client.until(h2.events.DataReceived)
        client.h2.reset_stream(1)
        await client.flush()
        while both.on.frontend.statistics().viewers:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await client.ask(3, "/v1/videos/v/poll")
        assert (await client.until(h2.events.ResponseReceived)).stream_id == 3


async def test_resetting_without_end_is_the_end(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/poll")
        await client.until(h2.events.ResponseReceived)
        with suppress(trio.BrokenResourceError):
            for stream_id in range(3, 3 + 2 * 2 * RESETS, 2):
                await client.ask(stream_id, "/v1/videos/v/events")
                client.h2.reset_stream(stream_id)
                await client.flush()
        while both.on.edge.connections:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.edge.statistics().failures == 0


async def test_websockets_are_for_http1(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/ws", method="CONNECT", protocol="websocket")
        assert (await client.until(h2.events.StreamReset)).stream_id == 1
        await client.ask(3, "/v1/ws")
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"426"


async def test_a_refused_stream_that_goes_on_sending_delays_no_other(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/events", method="DELETE", **{"content-length": "30000"})
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"405"
        client.h2.send_data(1, b"x" * 15_000)
        await client.flush()
        client.h2.send_data(1, b"x" * 15_000, end_stream=True)
        await client.ask(3, "/v1/videos/v/poll")
        assert (await client.until(h2.events.ResponseReceived)).stream_id == 3


async def test_a_request_that_never_ends_is_answered(authority: Authority) -> None:
    async with over_http2(authority, edge={"body_timeout": "100ms"}) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/poll", **{"content-length": "5"})
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"408"


async def test_a_stream_that_does_not_read_lags_alone_and_loses_nothing(authority: Authority) -> None:
    """Its window closes; the other stream of the same connection goes on, and nothing piles up."""
    async with over_http2(authority, frontend={"slow_timeout": "1h"}) as both, raw(both, authority) as client:
        client.h2.increment_flow_control_window(2**30)
        await client.ask(1, "/v1/videos/v/events")
        slow = bytearray(await client.data(1))
        await client.ask(3, "/v1/videos/w/events")
        await client.data(3)
        for _ in range(60):
            await both.on.publish(5, padding=10_000)
            await trio.testing.wait_all_tasks_blocked(0.001)
        await both.on.publish(video="w")
        assert b'{"n":301,' in await client.data(3)
        assert both.on.frontend.statistics().lagging == 1
        slow += client.heard.pop(1)
        assert len(slow) < 2**16
        client.h2.increment_flow_control_window(2**30, 1)
        await client.flush()
        while len(numbers(slow)) < 300:
            slow += await client.data(1)
        assert numbers(slow) == list(range(1, 301))


async def test_a_stream_without_progress_is_sent_bye(authority: Authority) -> None:
    """It reads on when it has been given up already, and finds whole events, the reason and the end."""
    async with (
        over_http2(authority, frontend={"slow_timeout": "200ms"}) as both,
        raw(both, authority) as client,
    ):
        client.h2.increment_flow_control_window(2**30)
        await client.ask(1, "/v1/videos/v/events")
        text = bytearray(await client.data(1))
        while both.on.frontend.statistics().viewers:
            await both.on.publish(5, padding=10_000)
            await trio.sleep(0.02)
        client.h2.increment_flow_control_window(2**30, 1)
        await client.flush()
        while b"event: bye" not in text:
            text += await client.data(1)
        assert b'"reason":"slow"' in text
        assert numbers(text) == list(range(1, 1 + len(numbers(text))))
        await client.until(h2.events.StreamEnded)


async def test_a_stream_given_up_that_never_reads_is_reset(authority: Authority) -> None:
    async with (
        over_http2(authority, frontend={"slow_timeout": "100ms"}, edge={"body_timeout": "100ms"}) as both,
        raw(both, authority) as client,
    ):
        await client.ask(1, "/v1/videos/v/events")
        while both.on.frontend.statistics().fanout.slow == 0:
            await both.on.publish(5, padding=10_000)
            await trio.sleep(0.02)
        assert (await client.until(h2.events.StreamReset)).stream_id == 1
        assert len(both.on.edge.connections) == 1


def numbers(text: bytes | bytearray) -> list[int]:
    """The `n` of the events in an event stream."""
    events = SSEParser().feed(bytes(text))
    return [msgspec.json.decode(event.data)["n"] for event in events if event.type == "like"]


# What a connection may cost


NO_WINDOW: dict[SettingCodes | int, int] = {SettingCodes.INITIAL_WINDOW_SIZE: 0}


async def test_answers_that_are_not_taken_leave_nothing_when_the_client_goes(authority: Authority) -> None:
    patient = {"frontend": {"slow_timeout": "10m"}, "edge": {"write_timeout": "10m"}}
    async with over_http2(authority, **patient) as both:
        async with raw(both, authority) as client:
            client.h2.update_settings(NO_WINDOW)
            paths = ("/v1/videos/v/poll", "/v1/videos/v/events", "/openapi.json")
            for number in range(20):
                await client.ask(1 + 2 * number, paths[number % 3])
            while len(both.on.edge.connections) < 21:
                await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.aclose_forcefully(client.stream)
        with trio.fail_after(60):
            while both.on.edge.connections:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.frontend.statistics().viewers == 0


@pytest.mark.parametrize("path", ["/v1/videos/v/poll", "/openapi.json", "/v1/nothing"])
async def test_an_answer_that_is_not_taken_is_given_up_in_time(authority: Authority, path: str) -> None:
    async with over_http2(authority, edge={"write_timeout": "200ms"}) as both, raw(both, authority) as client:
        client.h2.update_settings(NO_WINDOW)
        await client.ask(1, path)
        assert (await client.until(h2.events.StreamReset)).stream_id == 1
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
        await client.ask(3, "/v1/videos/v/poll")
        assert (await client.until(h2.events.StreamEnded)).stream_id == 3


async def test_answers_wait_for_their_window_a_piece_at_a_time(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await both.on.publish(100, padding=5_000)
        client.h2.update_settings(NO_WINDOW)
        for number in range(10):
            await client.ask(1 + 2 * number, "/v1/videos/v/poll?replay=100")
        for _ in range(10):
            await client.until(h2.events.ResponseReceived)
        await trio.testing.wait_all_tasks_blocked(0.05)
        buffers = [len(each.buffer) for each in gc.get_objects() if isinstance(each, BoundedBuffer)]
        assert sum(size > 0 for size in buffers) == 10
        assert max(buffers) <= 64 * 1024
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**24})
        client.h2.increment_flow_control_window(2**30)
        await client.flush()
        text = bytearray()
        while len(text) < 500_000:
            text += await client.data(19)


async def test_priorities_mean_nothing_and_a_flood_of_them_is_the_end(authority: Authority) -> None:
    async with over_http2(authority) as both:
        async with raw(both, authority) as client:
            for number in range(900):
                client.h2.prioritize(1 + 2 * number, weight=1 + number % 256, depends_on=3 + 2 * number)
            await client.ask(2001, "/v1/videos/v/poll")
            assert (await client.until(h2.events.StreamEnded)).stream_id == 2001
            for number in range(5_000):
                client.h2.prioritize(3001 + 2 * number, weight=1)
            with suppress(trio.BrokenResourceError):
                await client.flush()
            await client.until(h2.events.ConnectionTerminated)
        assert both.on.edge.statistics().failures == 0


@pytest.mark.parametrize("frame", ["ping", "settings", "empty data"])
async def test_frames_that_only_cost_are_the_end(authority: Authority, frame: str) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/events", **{"method": "POST", "content-length": "100000"})
        for _ in range(FRAMES + 200):
            if frame == "ping":
                client.h2.ping(b"12345678")
            elif frame == "settings":
                client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16_384 + (_ % 2)})
            else:
                client.h2.send_data(1, b"")
        with suppress(trio.BrokenResourceError):
            await client.flush()
        ended = await client.until(h2.events.ConnectionTerminated)
        assert ended.error_code == ErrorCodes.ENHANCE_YOUR_CALM


async def test_each_stream_counts_for_its_address(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def acquire(self: ConnectionLimit, peer: str) -> str | None:
        taken.append(peer)
        return "one" if len(taken) <= 3 else None

    monkeypatch.setattr(ConnectionLimit, "acquire", acquire)
    monkeypatch.setattr(ConnectionLimit, "release", lambda self, name: None)
    async with over_http2(authority) as both, raw(both, authority) as client:
        statuses = []
        for number in range(3):
            await client.ask(1 + 2 * number, "/v1/videos/v/events")
            response = await client.until(h2.events.ResponseReceived)
            statuses.append(dict(response.headers)[b":status"])
        assert statuses == [b"200", b"200", b"429"]
        assert taken == ["127.0.0.1"] * 4


async def test_a_connection_without_a_request_is_closed(authority: Authority) -> None:
    async with (
        over_http2(authority, edge={"header_timeout": "300ms"}) as both,
        raw(both, authority) as client,
    ):
        with trio.fail_after(60):
            while await client.stream.receive_some():
                pass
            while both.on.edge.connections:
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_body_that_is_only_announced_takes_nothing(authority: Authority) -> None:
    async with (
        over_http2(authority, edge={"max_body_memory": 100_000}) as both,
        raw(both, authority) as client,
    ):
        for number in range(5):
            fields = {"method": "POST", "content-length": "90000", "content-type": "application/json"}
            await client.ask(1 + 2 * number, "/v1/nothing", **fields)
        while len(both.on.edge.connections) < 6:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.edge.bodies.used == 0
        client.h2.send_data(1, b"x" * 16_384)
        client.h2.send_data(1, b"x" * 10_000)
        await client.flush()
        while both.on.edge.bodies.used < 26_384:
            await trio.testing.wait_all_tasks_blocked(0.01)
        client.h2.reset_stream(1)
        await client.flush()
        while both.on.edge.bodies.used:
            await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_body_of_another_length_than_announced_is_a_bad_request(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        head = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")]
        head += [(":path", "/v1/videos/v/poll"), ("content-length", "5")]
        client.h2.send_headers(1, head, end_stream=True)
        await client.flush()
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"400"


async def test_at_the_limit_connections_without_streams_make_room(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest idle is closed, in HTTP/2's way; one with a stream is not."""
    monkeypatch.setattr(server, "GRACE", 0.0)
    monkeypatch.setattr(server, "ACCEPT_BURST", 1)
    async with over_http2(authority, edge={"max_connections": 4}) as both, AsyncExitStack() as stack:
        connect = partial(raw, both, authority)
        watching = await stack.enter_async_context(connect())
        await watching.ask(1, "/v1/videos/v/events")
        await watching.data(1)
        idle = [await stack.enter_async_context(connect()) for _ in range(2)]
        for client in idle:
            await client.ask(1, "/v1/videos/v/poll")
            await client.until(h2.events.StreamEnded)
        # The first of them, and what is idle then: the stream and its connection stay.
        await stack.enter_async_context(connect())
        await idle[0].until(h2.events.ConnectionTerminated)
        assert both.on.edge.statistics().reaped == 1
        await idle[1].ask(3, "/v1/videos/v/poll")
        assert (await idle[1].until(h2.events.ResponseReceived)).stream_id == 3
        await both.on.publish()
        assert await watching.data(1)


async def test_a_client_that_is_gone_after_its_handshake_is_not_a_failure(authority: Authority) -> None:
    class Gone:
        def release(self) -> socket.socket:
            return socket.socket()  # not connected any more

        def set_idle(self, close: Callable[[], None]) -> None:
            """Nothing to note."""

        def set_busy(self, close: Callable[[], None]) -> None:
            """Nothing to note."""

    async with over_http2(authority) as both:
        assert both.on.edge.http2 is not None
        with capture_logs() as logs:
            await both.on.edge.http2(Gone())
        assert "handoff_failed" not in [each["event"] for each in logs]


async def test_an_idle_connection_ends_with_goaway(authority: Authority) -> None:
    async with over_http2(authority, edge={"keep_alive": "100ms"}) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/poll")
        await client.until(h2.events.StreamEnded)
        ended = await client.until(h2.events.ConnectionTerminated)
        assert (ended.error_code, ended.last_stream_id) == (ErrorCodes.NO_ERROR, 1)
