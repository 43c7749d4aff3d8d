"""A served edge, and a client that sends given bytes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec
import trio
import trio.testing

from liveserver.config import Address, EdgeSettings, convert
from liveserver.edge.answer import Answer, DeferredResponse, Handler, Peer
from liveserver.edge.hosts import AllowedHosts
from liveserver.edge.listener import listen
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.edge.server import EdgeServer, Secured
from liveserver.edge.tls import TLSAcceptor

Fallback = Callable[[socket.socket, bytes], Awaitable[None]]
HOST = b"Host: x\r\n"


class Answered(msgspec.Struct):
    """One response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        problem = msgspec.json.decode(self.body)
        assert problem["status"] == self.status
        return str(problem["detail"])


class Client:
    """One connection. `sock` is non-blocking."""

    def __init__(self, sock: socket.socket, stream: trio.abc.Stream | None = None) -> None:
        self.sock = sock
        self.stream = stream or trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self, *, bodiless: bool = False) -> Answered:
        """The next response, which must have a length."""
        with trio.fail_after(1000):
            while b"\r\n\r\n" not in self._buffer:
                await self._more()
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            status_line, *lines = head.decode().split("\r\n")
            assert status_line.startswith("HTTP/1.1 ")
            pairs = [line.split(": ", 1) for line in lines]
            headers = {pair[0]: pair[1] for pair in pairs}
            assert len(headers) == len(pairs)
            length = 0 if bodiless or status_line[9] == "1" else int(headers.get("content-length", "0"))
            while len(self._buffer) < length:
                await self._more()
            body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answered(int(status_line[9:12]), headers, body)

    async def ask(self, request: bytes) -> Answered:
        await self.send(request)
        return await self.answer()

    async def rest(self) -> bytes:
        """All that is still to come, until the server closes."""
        with trio.fail_after(1000):
            while data := await self.stream.receive_some():
                self._buffer += data
        data, self._buffer = self._buffer, b""
        return data

    async def is_closed(self) -> bool:
        """Whether the server closes without another word."""
        try:
            return await self.rest() == b""
        except trio.BrokenResourceError:
            return True

    def reset(self) -> None:
        """Go away the hard way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    async def send_plainly(self, data: bytes) -> None:
        """Before or without a handshake."""
        await trio.socket.from_stdlib_socket(self.sock).send(data)

    async def is_closed_plainly(self) -> bool:
        """Whether the server closes without another word, a handshake's neither."""
        try:
            return await trio.socket.from_stdlib_socket(self.sock).recv(1) == b""
        except OSError:
            return True

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"the server closed after {self._buffer!r}"
        self._buffer += data


class Served:
    """A running edge."""

    def __init__(self, edge: EdgeServer, where: tuple[str, int], where_tls: tuple[str, int]) -> None:
        self.edge = edge
        self.where = where
        self.where_tls = where_tls
        self.handed_over: list[bytes] = []
        self._came = 0

    @asynccontextmanager
    async def connect(self, *, receive_buffer: int = 0) -> AsyncIterator[Client]:
        with socket.socket() as sock:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setblocking(False)
            await trio.socket.from_stdlib_socket(sock).connect(self.where)
            self._came += 1
            yield Client(sock)

    @asynccontextmanager
    async def connect_tls(self, trust: ssl.SSLContext, *, receive_buffer: int = 0) -> AsyncIterator[Client]:
        """The same over TLS; the handshake is made with the first word."""
        with socket.socket() as sock:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setblocking(False)
            plain = trio.socket.from_stdlib_socket(sock)
            await plain.connect(self.where_tls)
            self._came += 1
            yield Client(sock, trio.SSLStream(trio.SocketStream(plain), trust, server_hostname="localhost"))

    async def ask(self, request: bytes) -> Answered:
        """On a connection of its own."""
        async with self.connect() as client:
            return await client.ask(request)

    async def only(self, count: int) -> None:
        """Return once all that came were let in, and no more than so many are left."""
        with trio.fail_after(1000):
            while self.edge.statistics().accepted < self._came or len(self.edge.connections) > count:  # noqa: ASYNC110  # the server has no event for it
                await trio.sleep(0.01)


@asynccontextmanager
async def serving(
    routes: Mapping[tuple[str, str], Handler] | Callable[[Router], None],
    *,
    fallback: Fallback | None = None,
    listener: socket.socket | None = None,
    send_buffer: int = 0,
    acceptor: TLSAcceptor | None = None,
    hosts: AllowedHosts | None = None,
    **settings: float | list[str],
) -> AsyncIterator[Served]:
    """An edge on a port of its own; `settings` are `EdgeSettings`'."""
    router = Router()
    if callable(routes):
        routes(router)
    else:
        for (method, path), handler in routes.items():
            router.add(method, path, handler)

    async def not_here(sock: socket.socket, received: bytes) -> None:
        with sock:
            served.handed_over.append(received)

    edge = EdgeServer(convert(settings, EdgeSettings), router, fallback or not_here, hosts)
    listener = listener or listen(Address("127.0.0.1:0"), 1000, send_buffer=send_buffer)
    secured: Secured | None = None
    if acceptor is not None:
        secured = Secured(listen(Address("127.0.0.1:0"), 1000, send_buffer=send_buffer), acceptor)
    where = listener.getsockname()
    served = Served(edge, where, secured.listener.getsockname() if secured else where)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(edge.serve, listener, secured)
        yield served
        nursery.cancel_scope.cancel()


async def pass_by(clock: trio.testing.MockClock, seconds: float) -> None:
    """Let virtual time pass, after the kernel has moved in real time what it can."""
    await trio.testing.wait_all_tasks_blocked(0.1)
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked(0.01)


async def echo(request: Request, peer: Peer) -> Answer:
    """What was asked, as JSON."""
    return json_response(
        200,
        msgspec.json.encode(
            {
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "body": request.body.decode("latin-1"),
            }
        ),
    )


class Later(DeferredResponse):
    """An answer for the test to write."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.abandoned = 0
        self._written = trio.Event()

    @property
    def is_written(self) -> bool:
        return self._written.is_set()

    async def wait_written(self) -> None:
        await self._written.wait()

    def abandon(self) -> None:
        self.abandoned += 1

    def write(self, body: bytes = b"{}") -> None:
        self.peer.sock.send(json_response(200, body))
        self.peer.deadline = trio.current_time() + 75
        self._written.set()


WHOLE = (
    b"POST /v1/videos/v1/events?cursor=now HTTP/1.1\r\nHost: example.com\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 12\r\nConnection: keep-alive, x\r\nAccept: */*\r\n\r\n"
)


def request(target: bytes = b"/", method: bytes = b"GET", *lines: bytes) -> Request:
    return Request(b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: x", *lines, b"", b""]))
