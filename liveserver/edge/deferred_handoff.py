"""Opens the handoff when a connection first needs it, which may be never: hot routes do without.

The web application and Hypercorn take a quarter of a second to import, and 20 MB.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
import trio

from liveserver.deferred_import import is_imported
from liveserver.edge.server_interface import Http2Client, ServerInterface
from liveserver.errors import Unavailable

if TYPE_CHECKING:
    from quart_trio import QuartTrio

    from liveserver.edge.handoff import Handoff

MODULES = ("liveserver.edge.handoff", "liveserver.web.app")

log = structlog.get_logger(__name__)


class DeferredHandoff:
    """A handoff that is opened by `load`. Open it with `open_deferred_handoff`.

    `make_app` is called once, by a thread that has imported `modules`; if they were imported before, by the
    event loop.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        make_app: Callable[[], QuartTrio],
        modules: Sequence[str],
        max_body: int,
        timeout: float,
    ) -> None:
        self._nursery = nursery
        self._make_app = make_app
        self._modules = (*MODULES, *modules)
        self._max_body = max_body
        self._timeout = timeout
        self._lock = trio.Lock()
        self._handoff: Handoff | None = None
        self._closing = trio.Event()
        self._is_ended = False

    @property
    def is_loaded(self) -> bool:
        return self._handoff is not None

    async def load(self) -> Handoff:
        """Return the handoff, opened by the first call. Raises `Unavailable`; the next call tries again."""
        if self._handoff is None:
            async with self._lock:
                if self._handoff is None:
                    try:
                        app = await self._make()
                        self._handoff = await self._nursery.start(self._hold, app)
                    except Exception:
                        log.exception("web_application_failed")
                        raise Unavailable("the web application cannot be started; try again", 5) from None
        return self._handoff

    async def _make(self) -> QuartTrio:
        if all(is_imported(module) for module in self._modules):
            return self._make_app()

        def import_and_make() -> QuartTrio:
            for module in self._modules:
                importlib.import_module(module)
            return self._make_app()

        return await trio.to_thread.run_sync(import_and_make)

    async def _hold(self, app: QuartTrio, *, task_status: trio.TaskStatus[Handoff]) -> None:
        from liveserver.edge.handoff import open_handoff

        with trio.CancelScope(shield=True):  # until all connections have ended
            async with open_handoff(app, max_body=self._max_body, timeout=self._timeout) as handoff:
                if self._is_ended:
                    await handoff.end()
                task_status.started(handoff)
                await self._closing.wait()

    async def serve(self, sock: socket.socket, received: bytes) -> None:
        """Serve one request, and close the socket."""
        try:
            handoff = await self.load()
        except Unavailable:
            sock.close()
            return
        except BaseException:
            sock.close()
            raise
        await handoff.serve(sock, received)

    def http2(self, server: ServerInterface) -> Callable[[Http2Client], Awaitable[None]]:
        """Return the function that serves HTTP/2 connections, with `server`'s hot routes and limits."""
        serve: Callable[[Http2Client], Awaitable[None]] | None = None

        async def load_and_serve(client: Http2Client) -> None:
            nonlocal serve
            try:
                handoff = await self.load()
            except Unavailable:
                client.release().close()
                return
            serve = serve or handoff.http2(server)
            await serve(client)

        return load_and_serve

    async def end(self) -> None:
        """Close idle connections, and accept no new requests on HTTP/2 connections."""
        self._is_ended = True
        if self._handoff is not None:
            await self._handoff.end()

    def close(self) -> None:
        """Let the application shut down."""
        self._closing.set()


@asynccontextmanager
async def open_deferred_handoff(
    make_app: Callable[[], QuartTrio], modules: Sequence[str] = (), *, max_body: int, timeout: float
) -> AsyncIterator[DeferredHandoff]:
    """Yield a handoff that `make_app` is called for when it is first needed; see `open_handoff`.

    `modules` are those that `make_app` imports.
    """
    async with trio.open_nursery() as nursery:
        handoff = DeferredHandoff(nursery, make_app, modules, max_body, timeout)
        try:
            yield handoff
        finally:
            handoff.close()
