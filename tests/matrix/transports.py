"""Clients of each transport, with a common interface."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import h2.connection
import h2.events
import h11
import msgspec
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from liveserver.client.sse import SSEParser
from tests.matrix.server import Server


class Received(NamedTuple):
    """What a viewer receives: `kind` is ready, event, gap, bye or refused.

    `value`: an event's number, what `ready` says, why it is goodbye, the status of a refusal. `cursor`:
    where to resume after it, if it says so.
    """

    kind: str
    value: Any = None
    cursor: str | None = None


class ChannelViewerCount(ABC):
    """One viewer of one video."""

    def __init__(self) -> None:
        self._received: deque[Received] = deque()

    async def next(self) -> Received:
        while not self._received:
            self._received += await self._more()
        return self._received.popleft()

    async def ready(self) -> Any:
        received = await self.next()
        assert received.kind == "ready", received
        return received.value

    async def events(self, count: int) -> list[int]:
        """The numbers of the next so many, and nothing between them."""
        received = [await self.next() for _ in range(count)]
        assert all(each.kind == "event" for each in received), received
        return [each.value for each in received]

    @abstractmethod
    async def _more(self) -> list[Received]: ...


class Refusal(ChannelViewerCount):
    """A viewer that the server refused."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self._status = status

    async def _more(self) -> list[Received]:
        return [Received("refused", self._status)]


def shown(token: str | None) -> list[tuple[str, str]]:
    """The header that shows a token."""
    return [] if token is None else [("authorization", f"Bearer {token}")]


class Transport(ABC):
    """One way to watch. Over something else than plain TCP: override `connect`."""

    name: str
    connections = 1  # that one viewer counts as

    async def connect(self, server: Server, receive_buffer: int = 0) -> trio.abc.Stream:
        return await self._dial(server.address, receive_buffer)

    async def _dial(self, address: str, receive_buffer: int) -> trio.SocketStream:
        host, _, port = address.rpartition(":")
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connecting = trio.socket.from_stdlib_socket(sock)
        await connecting.connect((host, int(port)))
        return trio.SocketStream(connecting)

    @asynccontextmanager
    async def watch(
        self,
        server: Server,
        video: str = "v",
        cursor: str | None = None,
        *,
        receive_buffer: int = 0,
        token: str | None = None,
    ) -> AsyncIterator[ChannelViewerCount]:
        """A viewer for the duration of the block. With a small `receive_buffer`, it is soon slow."""
        stream = await self.connect(server, receive_buffer)
        async with stream, self.begin(stream, server.address, video, cursor, token) as watching:
            yield watching

    @asynccontextmanager
    @abstractmethod
    async def begin(
        self, stream: trio.abc.Stream, host: str, video: str, cursor: str | None, token: str | None = None
    ) -> AsyncIterator[ChannelViewerCount]:
        """Ask for the video on the stream."""
        yield NotImplemented


class Exchange:
    """HTTP/1.1 on a stream, as h11 understands it."""

    def __init__(self, stream: trio.abc.Stream, host: str, token: str | None = None) -> None:
        self._stream = stream
        self._always = [("host", host), *shown(token)]
        self._protocol = h11.Connection(h11.CLIENT)

    async def ask(self, target: str, *headers: tuple[str, str]) -> h11.Response:
        if self._protocol.our_state is h11.DONE:
            self._protocol.start_next_cycle()
        request = h11.Request(method="GET", target=target, headers=[*self._always, *headers])
        await self._stream.send_all(
            (self._protocol.send(request) or b"") + (self._protocol.send(h11.EndOfMessage()) or b"")
        )
        response = await self._event()
        assert isinstance(response, h11.Response)
        return response

    async def data(self) -> bytes:
        """More of the body; empty at its end."""
        event = await self._event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        return b""

    async def body(self) -> bytes:
        pieces = []
        while piece := await self.data():
            pieces.append(piece)
        return b"".join(pieces)

    async def _event(self) -> Any:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(bytes(await self._stream.receive_some()))
        return event


def said(kind: str, data: Any, cursor: str | None) -> Received:
    """One event of a stream."""
    if kind == "ready":
        return Received(kind, data, data["cursor"])
    if kind == "bye":
        return Received(kind, data["reason"], cursor)
    return Received("gap", None, cursor) if kind == "gap" else Received("event", data["data"]["n"], cursor)


class ServerSentEvents(Transport):
    """`GET …/events` as an event stream."""

    name = "sse"
    accept = "text/event-stream"

    @asynccontextmanager
    async def begin(
        self, stream: trio.abc.Stream, host: str, video: str, cursor: str | None, token: str | None = None
    ) -> AsyncIterator[ChannelViewerCount]:
        exchange = Exchange(stream, host, token)
        query = f"?cursor={cursor}" if cursor else ""
        response = await exchange.ask(f"/v1/videos/{video}/events{query}", ("accept", self.accept))
        if response.status_code != 200:
            yield Refusal(response.status_code)
            return
        assert dict(response.headers)[b"content-type"] == self.accept.encode()
        yield self.reader(exchange)

    def reader(self, exchange: Exchange) -> ChannelViewerCount:
        return EventStream(exchange)


class EventStream(ChannelViewerCount):
    """What comes on an event stream."""

    def __init__(self, exchange: Exchange | Http2Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        self._parser = SSEParser()

    async def _more(self) -> list[Received]:
        data = await self._exchange.data()
        assert data, "the stream has ended"
        events = self._parser.feed(data)
        return [
            said(event.type, msgspec.json.decode(event.data), event.id)
            for event in events
            if event.type != "viewers"
        ]


class JsonLines(ServerSentEvents):
    """The same as lines of JSON."""

    name = "ndjson"
    accept = "application/x-ndjson"

    def reader(self, exchange: Exchange) -> ChannelViewerCount:
        return Lines(exchange)


class Lines(ChannelViewerCount):
    """What comes as lines."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        self._rest = b""

    async def _more(self) -> list[Received]:
        data = await self._exchange.data()
        assert data, "the stream has ended"
        *lines, self._rest = (self._rest + data).split(b"\n")
        objects = [msgspec.json.decode(line) for line in lines if line]
        return [
            said(each["event"], each["data"], each["cursor"])
            for each in objects
            if each["event"] != "viewers"
        ]


class LongPoll(Transport):
    """`GET …/poll`, again and again."""

    name = "poll"

    @asynccontextmanager
    async def begin(
        self, stream: trio.abc.Stream, host: str, video: str, cursor: str | None, token: str | None = None
    ) -> AsyncIterator[ChannelViewerCount]:
        yield Polls(Exchange(stream, host, token), video, cursor)


class Polls(ChannelViewerCount):
    """What polls are answered. That there is nothing new yet is no news, and neither is a goodbye."""

    def __init__(self, exchange: Exchange, video: str, cursor: str | None) -> None:
        super().__init__()
        self._exchange = exchange
        self._path = f"/v1/videos/{video}/poll"
        self._cursor = cursor
        self._is_ready = False

    async def _more(self) -> list[Received]:
        query = [f"cursor={self._cursor}"] if self._cursor else []
        query += [] if self._is_ready else ["wait=0"]
        response = await self._exchange.ask(f"{self._path}?{'&'.join(query)}")
        body = await self._exchange.body()
        if response.status_code != 200:
            return [Received("refused", response.status_code)]
        page = msgspec.json.decode(body)
        received: list[Received] = []
        if not self._is_ready:
            self._is_ready = True
            is_resumed = self._cursor is not None and not page["gap"]
            received.append(
                Received("ready", {"resumed": is_resumed, "gap": page["gap"], "cursor": page["cursor"]})
            )
        elif page["gap"]:
            received.append(Received("gap", None, None if page["events"] else page["cursor"]))
        received += [Received("event", event["data"]["n"]) for event in page["events"]]
        if page["events"]:
            received[-1] = received[-1]._replace(cursor=page["cursor"])
        elif self._cursor == page["cursor"] and not received:
            received.append(Received("bye", "drain", page["cursor"]))  # answered before the wait was over
        self._cursor = page["cursor"]
        return received


class WebSocket(Transport):
    """`GET /v1/ws`, with trio-websocket."""

    name = "ws"

    @asynccontextmanager
    async def begin(
        self, stream: trio.abc.Stream, host: str, video: str, cursor: str | None, token: str | None = None
    ) -> AsyncIterator[ChannelViewerCount]:
        assert isinstance(stream, trio.SocketStream | trio.SSLStream)
        headers = [(name.encode(), value.encode()) for name, value in shown(token)]
        refusals: list[int] = []
        try:
            async with trio.open_nursery() as nursery:
                connection = await wrap_client_stream(nursery, stream, host, "/v1/ws", extra_headers=headers)
                template = {"video": video} | ({"cursor": cursor} if cursor else {})
                with suppress(ConnectionClosed):  # what was said before that can still be read
                    await connection.send_message(msgspec.json.encode({"subscribe": template}).decode())
                yield Messages(connection)
                nursery.cancel_scope.cancel()
        except* ConnectionRejected as rejected:
            refusals += [
                each.status_code for each in rejected.exceptions if isinstance(each, ConnectionRejected)
            ]
        if refusals:
            yield Refusal(refusals[0])


class Messages(ChannelViewerCount):
    """What comes as messages."""

    def __init__(self, connection: WebSocketConnection) -> None:
        super().__init__()
        self._connection = connection

    async def _more(self) -> list[Received]:
        message = msgspec.json.decode(await self._connection.get_message())
        ((kind, value),) = message.items()
        if kind == "events":
            received = [Received("event", event["data"]["n"]) for event in value["events"]]
            received[-1] = received[-1]._replace(cursor=value["cursor"])
            return received
        if kind == "error":
            return [Received("refused", value["status"])]
        return [] if kind == "viewers" else [said(kind, value, value.get("cursor"))]


class OverTLS(Transport):
    """The same at the TLS port."""

    protocol = "http/1.1"

    async def connect(self, server: Server, receive_buffer: int = 0) -> trio.abc.Stream:
        stream = await self._dial(server.tls_address, receive_buffer)
        return trio.SSLStream(
            stream, server.trust(self.protocol), server_hostname="localhost", https_compatible=True
        )


class EventsOverTLS(OverTLS, ServerSentEvents):
    """An event stream at the TLS port."""

    name = "sse over tls"


class WebSocketOverTLS(OverTLS, WebSocket):
    """A WebSocket at the TLS port."""

    name = "ws over tls"


class EventsOverHTTP2(OverTLS, ServerSentEvents):
    """An event stream in HTTP/2."""

    name = "sse over http/2"
    protocol = "h2"
    connections = 2  # the connection itself, and what is asked for on it

    @asynccontextmanager
    async def begin(
        self, stream: trio.abc.Stream, host: str, video: str, cursor: str | None, token: str | None = None
    ) -> AsyncIterator[ChannelViewerCount]:
        exchange = Http2Exchange(stream)
        query = f"?cursor={cursor}" if cursor else ""
        headers = [(":authority", host), (":path", f"/v1/videos/{video}/events{query}"), *shown(token)]
        status = await exchange.ask(headers)
        yield EventStream(exchange) if status == 200 else Refusal(status)


class Http2Exchange:
    """One request of HTTP/2 on a stream, as h2 understands it. Its windows stay as small as they begin."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._protocol = h2.connection.H2Connection()
        self._data = b""
        self._status = 0
        self._is_over = False

    async def ask(self, headers: list[tuple[str, str]]) -> int:
        """Ask, and return the status."""
        self._protocol.initiate_connection()
        always = [(":method", "GET"), (":scheme", "https")]
        self._protocol.send_headers(1, [*always, *headers], end_stream=True)
        while not self._status:
            await self._more()
        return self._status

    async def data(self) -> bytes:
        """More of the body; empty at its end."""
        while not self._data and not self._is_over:
            await self._more()
        data, self._data = self._data, b""
        return data

    async def _more(self) -> None:
        await self._stream.send_all(self._protocol.data_to_send())
        received = bytes(await self._stream.receive_some())
        assert received, "the connection has ended"
        for event in self._protocol.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived):
                self._status = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                self._data += event.data
                self._protocol.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded):
                self._is_over = True
        await self._stream.send_all(self._protocol.data_to_send())


TRANSPORTS: list[Transport] = [
    ServerSentEvents(),
    JsonLines(),
    LongPoll(),
    WebSocket(),
    EventsOverTLS(),
    WebSocketOverTLS(),
    EventsOverHTTP2(),
]
