"""A frontend on the memory bus, with clients on socket pairs, for the tests of this package."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import trio

from liveserver import state
from liveserver.auth.authorizer import Authorizer
from liveserver.bus.interface import AppendRequest, AppendResult, ReplicationBatch
from liveserver.bus.memory.bus import MemoryBus
from liveserver.client.sse import SSEEvent, SSEParser
from liveserver.config import Settings, convert
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.edge.connection import Connection
from liveserver.edge.router import Router
from liveserver.edge.server import EdgeServer
from liveserver.frontend.admission import Admission
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.load import Load
from liveserver.frontend.frontend import Frontend, open_frontend
from liveserver.frontend.routes import WatchRoutes

VIRTUAL_LIMIT = 600.0  # seconds, which pass quickly under the tests' clock: nothing hangs


def settings(**sections: dict[str, Any]) -> Settings:
    """Return settings with some replaced: `settings(frontend={"segment_size": 2})`.

    Viewers are sent viewer counts only where a test asks for it, by `counts_interval`.
    """
    sections["frontend"] = {"counts_interval": "10h"} | sections.get("frontend", {})
    return convert(sections, Settings)


class Client:
    """The other end of a connection to the frontend. Reads are bounded by the test's own time limit."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock
        self.parser = SSEParser()
        self._events: list[SSEEvent] = []
        self.raw = b""
        self.ended = False

    async def get(self, path: str, *headers: str, version: str = "1.1") -> None:
        lines = [f"GET {path} HTTP/{version}", "Host: test", *headers, "", ""]
        await self.sock.send("\r\n".join(lines).encode())

    async def more(self) -> bool:
        data = await self.sock.recv(65536)
        self.raw += data
        self.ended = not data
        return bool(data)

    async def head(self) -> str:
        """Return the response's head."""
        while b"\r\n\r\n" not in self.raw:
            assert await self.more(), "the connection ended before the head did"
        head, _, self.raw = self.raw.partition(b"\r\n\r\n")
        return head.decode()

    async def body(self) -> bytes:
        """Return the body of a response with a content-length, after its head."""
        head = await self.head()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None, head
        while len(self.raw) < int(length[1]):
            assert await self.more(), "the connection ended before the body did"
        body, self.raw = self.raw[: int(length[1])], self.raw[int(length[1]) :]
        return body

    async def json(self) -> Any:
        return msgspec.json.decode(await self.body())

    async def chunk(self) -> bytes:
        """Return the next chunk of a chunked body; empty at its end."""
        while b"\r\n" not in self.raw:
            assert await self.more(), "the connection ended within the body"
        size, _, rest = self.raw.partition(b"\r\n")
        length = int(size, 16)
        while len(rest) < length + 2:
            assert await self.more(), "the connection ended within a chunk"
            rest = self.raw.partition(b"\r\n")[2]
        assert rest[length : length + 2] == b"\r\n"
        self.raw = rest[length + 2 :]
        return rest[:length]

    async def event(self) -> SSEEvent:
        """Return the next event of a chunked event stream."""
        while not self._events:
            chunk = await self.chunk()
            assert chunk, "the stream ended"
            self._events += self.parser.feed(chunk)
        return self._events.pop(0)

    async def events(self, count: int) -> list[int]:
        """Return the `n` of the data of the next events."""
        return [msgspec.json.decode((await self.event()).data)["n"] for _ in range(count)]

    def pending(self) -> bytes:
        """Return unread bytes that have arrived, without waiting."""
        with suppress(BlockingIOError):
            self.raw += self.sock._sock.recv(1 << 20)  # type: ignore[attr-defined]
        return self.raw


class FullLoad(Load):
    """A fan-out under full load: segments rest for all of `flush_interval`."""

    def rest(self, now: float) -> float:
        return 1.0


class Stage:
    """A running frontend, its bus, and the means to publish and to connect."""

    def __init__(
        self,
        frontend: Frontend,
        bus: MemoryBus,
        edge: EdgeServer,
        nursery: trio.Nursery,
        publisher: Publisher,
    ) -> None:
        self.frontend = frontend
        self.publisher = publisher
        self.bus = bus
        self.edge = edge
        self._nursery = nursery
        self._count = 0
        self.clients: list[Client] = []

    def connect(self, *, receive_buffer: int = 0, send_buffer: int = 0) -> Client:
        ours, theirs = socket.socketpair()
        if receive_buffer:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        ours.setblocking(False)
        connection = Connection(ours, self.edge)
        self.edge.connections.add(connection)
        self._nursery.start_soon(connection.run)
        self.clients.append(Client(trio.socket.from_stdlib_socket(theirs)))
        return self.clients[-1]

    async def watch(self, video: str = "v", query: str = "", *headers: str, **buffers: int) -> Client:
        """Return a client on an event stream that has not read its `ready`."""
        client = self.connect(**buffers)
        await client.get(f"/v1/videos/{video}/events{query}", *headers)
        await client.head()
        return client

    async def ready(
        self, video: str = "v", query: str = "", *headers: str, **buffers: int
    ) -> tuple[Client, Any]:
        """Return a client on an event stream, and the data of its `ready`."""
        client = await self.watch(video, query, *headers, **buffers)
        event = await client.event()
        assert event.type == "ready"
        return client, msgspec.json.decode(event.data)

    async def publish(self, count: int = 1, video: str = "v", padding: int = 0) -> AppendResult:
        """Publish events with `n` counting up over the whole test."""
        lines = []
        for _ in range(count):
            self._count += 1
            lines.append(b'like {"n":%d,"p":"%b"}' % (self._count, b"x" * padding))
        parcel = AppendRequest(video, f"token-{self._count}", lines, [None] * count)
        return (await self.bus.append([parcel]))[0]

    async def publish_keyed(
        self, key: str, data: str, *, at: int, kind: str = "t", version: int | None = None, video: str = "v"
    ) -> None:
        """Publish a keyed event; `null` clears the key."""
        internal = kind == "ban"
        head = state.head(kind, key, version, at, is_cleared=data == "null", is_internal=internal)
        line = b'%b {"id":"%b-%d","key":"%b","data":%b}' % (
            head, key.encode(), at, key.encode(), data.encode(),
        )  # fmt: skip
        self._count += 1
        await self.bus.append([AppendRequest(video, f"token-{self._count}", [line], [None], is_keyed=True)])

    async def relay_after_gap(self, line: bytes, number: int, video: str = "v") -> None:
        """Bring an event of another datacenter that is known to have lost those before it."""
        (stands,) = await self.bus.relay([ReplicationBatch(video, "dc2", "", 0, 0, [])])
        batch = ReplicationBatch(video, "dc2", "aaa", number, number, [line], instead=stands)
        await self.bus.relay([batch])

    def channel(self, video: str = "v") -> Channel:
        return self.frontend.table.channels[video]


@asynccontextmanager
async def stage(
    configured: Settings | None = None,
    bus: MemoryBus | None = None,
    clock: Callable[[], float] = time.time,
    node: str = "n1",
) -> AsyncIterator[Stage]:
    """Yield a frontend, on the given bus if there is one."""
    configured = configured or settings()
    if bus is None:
        bus = MemoryBus(configured.node.datacenter, configured.history, configured.bus.inbox_batches)
    publisher = Publisher(bus, configured.node.datacenter, configured.dispatcher, configured.history)
    subscriptions = Subscriptions(bus, configured.dispatcher.max_lease)
    dispatcher = LocalDispatcher(Parser(configured.dispatcher), publisher, subscriptions)
    async with (
        trio.open_nursery() as nursery,
        open_frontend(node, configured, bus, dispatcher) as frontend,
    ):
        nursery.start_soon(publisher.run)
        router = Router()
        admission = Admission(Authorizer(configured, clock=clock), frontend.table.channels)
        frontend.joining = admission.joining
        WatchRoutes(frontend, configured.frontend, admission).add_to(router)

        async def nowhere(sock: socket.socket, received: bytes) -> None:
            sock.close()

        edge = EdgeServer(configured.edge, router, nowhere)
        nursery.start_soon(edge.sweep)
        on = Stage(frontend, bus, edge, nursery, publisher)
        try:
            with trio.fail_after(VIRTUAL_LIMIT):
                yield on
        finally:
            for client in on.clients:
                client.sock.close()
        nursery.cancel_scope.cancel()
