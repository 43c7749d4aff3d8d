"""A frontend over HTTP/2, and clients of it: httpx, and one that says what others would not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import h2.connection
import h2.events
import httpx
import msgspec
import pytest
import trio
import trio.testing
from h2.settings import SettingCodes
from quart_trio import QuartTrio

from liveserver.client.sse import SSEEvent, SSEParser
from liveserver.config import Address
from liveserver.edge.handoff import open_handoff
from liveserver.edge.listener import listen
from liveserver.edge.server import Secured
from liveserver.web.app import public_app
from tests.edge.authority import Authority
from tests.frontend.harness import Stage, settings, stage

EventT = TypeVar("EventT", bound=h2.events.Event)


class EventStream:
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
    async def watch(self, video: str = "v", **arguments: Any) -> AsyncIterator[EventStream]:
        path = f"/v1/videos/{video}/events"
        async with self.client.stream("GET", path, **arguments) as response:
            assert response.http_version == "HTTP/2"
            watching = EventStream(response)
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


class Raw:
    """A client that says what others would not."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()
        self.received: defaultdict[int, bytearray] = defaultdict(bytearray)
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
                    self.received[event.stream_id] += event.data

    async def data(self, stream_id: int) -> bytes:
        """What came on a stream and was not taken, at least a byte."""
        while not self.received[stream_id]:
            await self.until(h2.events.DataReceived)
        return bytes(self.received.pop(stream_id))


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


def numbers(text: bytes | bytearray) -> list[int]:
    """The `n` of the events in an event stream."""
    events = SSEParser().feed(bytes(text))
    return [msgspec.json.decode(event.data)["n"] for event in events if event.type == "like"]


NO_WINDOW: dict[SettingCodes | int, int] = {SettingCodes.INITIAL_WINDOW_SIZE: 0}
