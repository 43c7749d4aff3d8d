"""Where the ordinary web begins: a connection goes, bytes and all, to Quart-Trio on Hypercorn.

Such a connection serves one request and is closed, since the next one on it might be hot. HTTP/2
by upgrade (h2c) is not offered here, and an upgrade the application does not know is its 404.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

log = structlog.get_logger(__name__)


class ReplayedStream(trio.abc.HalfCloseableStream):
    """A stream that gives the bytes already read once more, then what comes from its socket."""

    def __init__(self, stream: trio.SocketStream, received: bytes) -> None:
        self._stream = stream
        self._received = received

    @property
    def socket(self) -> trio.socket.SocketType:
        """Hypercorn asks it for the addresses of both ends."""
        return self._stream.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._received:
            await trio.lowlevel.checkpoint()
            cut = len(self._received) if max_bytes is None else max_bytes
            data, self._received = self._received[:cut], self._received[cut:]
            return data
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Handoff:
    """Serves handed-over connections with one ASGI application. Get one from `open_handoff`."""

    def __init__(self, app: ASGIFramework, config: Config, state: dict[str, object]) -> None:
        self._app = ASGIWrapper(app)
        self._config = config
        self._context = WorkerContext(None)
        self._state = state

    async def serve(self, sock: socket.socket, received: bytes) -> None:
        """Serve one request; owns the socket. A failure of the application ends here."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        try:
            await TCPServer(
                self._app,
                self._config,
                self._context,
                self._state,
                ReplayedStream(stream, received),  # type: ignore[arg-type]
            ).run()
        except Exception:
            log.exception("a handed-over connection failed")
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_handoff(app: ASGIFramework, *, max_body: int, timeout: float) -> AsyncIterator[Handoff]:
    """Run the application's start-up and shutdown around the block; `timeout` in seconds."""
    config = Config()
    config.keep_alive_max_requests = 1
    config.keep_alive_timeout = timeout
    config.read_timeout = int(timeout)
    config.h11_max_incomplete_size = 64 * 1024
    config.wsgi_max_body_size = max_body
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    state: dict[str, object] = {}
    lifespan = Lifespan(ASGIWrapper(app), config, state)

    async def live(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):  # it ends by its own shutdown, which comes last
            await lifespan.handle_lifespan(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(live)
        await lifespan.wait_for_startup()
        try:
            yield Handoff(app, config, state)
        finally:
            with trio.CancelScope(shield=True):
                await lifespan.wait_for_shutdown()
