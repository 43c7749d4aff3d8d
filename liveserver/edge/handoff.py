"""Hands connections whose request is not hot over to Quart-Trio on Hypercorn.

Such a connection serves one request and is closed, since the next request might be hot. HTTP/2 by upgrade
(h2c) is not offered; an upgrade that the application does not know is answered with its 404.

Hypercorn shields its sends from cancellation, and closes the stream while the application is being cancelled.
So `aclose` of its stream neither blocks nor closes anything, but only marks the end; `serve` closes the
socket.
"""

from __future__ import annotations

import math
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from quart_trio import QuartTrio

from liveserver.edge.asgi import Receive, Scope, Send
from liveserver.edge.client_socket import LINGER_SECONDS, RECEIVE_BYTES
from liveserver.edge.exchange import Http2Application
from liveserver.edge.http2 import Http2Server, http2_config
from liveserver.edge.server_interface import Http2Client, ServerInterface
from liveserver.turns import Turns

log = structlog.get_logger(__name__)

GONE_SECONDS = 1.0  # between two checks whether a client that sends no more has disconnected


class HandedOverStream(trio.abc.HalfCloseableStream):
    """A stream that returns the bytes already received, then those from its socket.

    With `is_whole`, these bytes are the whole request: what the client sends after it is dropped, and its EOF
    is not reported, since it may still read the response; a reset is. `send_all` fails if the client accepts
    nothing for `timeout` seconds.
    """

    def __init__(self, sock: socket.socket, received: bytes, timeout: float, *, is_whole: bool) -> None:
        self.socket = sock  # Hypercorn reads both addresses from it
        self._received = received
        self._timeout = timeout
        self._is_whole = is_whole
        self._done = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._received:
            await trio.lowlevel.checkpoint()
            data, self._received = self._received, b""
            return data
        while True:
            self._check_open()
            try:
                await trio.lowlevel.wait_readable(self.socket)
                data = self.socket.recv(max_bytes or RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
            if not self._is_whole or self._done.is_set():
                return data
            if not data:
                await self._wait_done_or_reset()
                return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            self._check_open()
            try:
                rest = rest[self.socket.send(rest) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                raise trio.BrokenResourceError from error
            with trio.move_on_after(self._timeout) as patience:
                await trio.lowlevel.wait_writable(self.socket)
            if patience.cancelled_caught:
                raise trio.BrokenResourceError("the client accepts nothing")

    async def _wait_done_or_reset(self) -> None:
        """Wait until the response is complete. Raises `trio.BrokenResourceError` if the client has
        disconnected.

        After EOF a socket is always readable, and `send` may have consumed the error of a reset; so poll for
        a hang-up.
        """
        hang_up = select.poll()
        hang_up.register(self.socket, 0)
        while not self._done.is_set():
            self._check_open()
            if hang_up.poll(0):
                raise trio.BrokenResourceError("the client is gone")
            with trio.move_on_after(GONE_SECONDS):
                await self._done.wait()

    def _check_open(self) -> None:
        if self.socket.fileno() < 0:
            raise trio.ClosedResourceError

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.wait_writable(self.socket)

    def close(self) -> None:
        """Close the socket, and wake the tasks that wait for it. Idempotent."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def send_eof(self) -> None:
        """Do nothing: `aclose` follows."""

    async def aclose(self) -> None:
        self._done.set()

    async def wait_done(self) -> None:
        await self._done.wait()


class Handoff:
    """Serves handed-over connections with one ASGI application. Open it with `open_handoff`."""

    def __init__(self, app: QuartTrio, config: Config, state: dict[str, object], timeout: float) -> None:
        self._application = app
        self._app = ASGIWrapper(app)
        self._config = config
        self._context = WorkerContext(None)
        self._state = state
        self._timeout = timeout
        self._turns = Turns()

    async def serve(self, sock: socket.socket, received: bytes) -> None:
        """Serve one request, and close the socket. Errors of the application are logged.

        A request takes a hundred times as long as a hot one, so they begin one by one.
        """
        try:
            await self._turns.wait_turn()
        except trio.Cancelled:
            sock.close()
            raise
        stream = HandedOverStream(sock, received, self._timeout, is_whole=True)
        await self._serve(stream, TCPServer(self._app, self._config, self._context, self._state, stream))  # type: ignore[arg-type]

    def http2(self, server: ServerInterface) -> Callable[[Http2Client], Awaitable[None]]:
        """Return the function that serves HTTP/2 connections, with `server`'s hot routes and limits."""
        app = ASGIWrapper(cast("Any", Http2Application(server, self._in_turn)))
        config = http2_config(server.settings)

        async def serve(client: Http2Client) -> None:
            sock = client.release()
            stream = HandedOverStream(sock, b"", server.settings.write_timeout, is_whole=False)
            http2 = Http2Server(app, config, self._context, self._state, stream)  # type: ignore[arg-type]
            http2.first_request = server.settings.header_timeout
            http2.client = client
            await self._serve(stream, http2)

        return serve

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request over HTTP/2 when it is its turn."""
        await self._turns.wait_turn()
        await cast("Any", self._application)(scope, receive, send)

    async def end(self) -> None:
        """Close idle connections, and accept no new requests on HTTP/2 connections."""
        await self._context.terminated.set()

    async def _serve(self, stream: HandedOverStream, server: TCPServer) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run, stream, server)
                try:
                    await stream.wait_done()
                except trio.Cancelled:
                    stream.close()  # wakes shielded tasks
                    raise
                nursery.cancel_scope.cancel()
            await _linger(stream)
        except Exception:
            log.exception("handoff_failed")
        finally:
            stream.close()

    async def _run(self, stream: HandedOverStream, server: TCPServer) -> None:
        try:
            await server.run()
        finally:
            await stream.aclose()


async def _linger(stream: HandedOverStream) -> None:
    """Let the client read the answer before the reset that unread bytes would cause."""
    with trio.move_on_after(LINGER_SECONDS), suppress(OSError, trio.BrokenResourceError):
        stream.socket.shutdown(socket.SHUT_WR)
        while await stream.receive_some():
            pass


@asynccontextmanager
async def open_handoff(app: QuartTrio, *, max_body: int, timeout: float) -> AsyncIterator[Handoff]:
    """Run the application's startup and shutdown around the block; `max_body` is in bytes.

    `timeout` is how long, in seconds, a client may neither send nor accept anything.
    """
    app.config["MAX_CONTENT_LENGTH"] = max_body
    config = Config()
    config.keep_alive_max_requests = 1
    config.keep_alive_timeout = timeout
    config.read_timeout = math.ceil(timeout)
    config.h11_max_incomplete_size = 64 * 1024
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    state: dict[str, object] = {}
    lifespan = Lifespan(ASGIWrapper(app), config, state)

    async def live(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):  # it ends by its own shutdown event, at the end
            await lifespan.handle_lifespan(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(live)
        await lifespan.wait_for_startup()
        try:
            yield Handoff(app, config, state, timeout)
        finally:
            with trio.CancelScope(shield=True):
                await lifespan.wait_for_shutdown()
