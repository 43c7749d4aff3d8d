"""The server: accepts and limits connections, sweeps their deadlines, and hands requests over to Hypercorn.

Rules:

1. Connections are accepted in bursts, with checkpoints between them, at `accept_rate` on average, so that
   many new connections do not starve the existing ones.
2. Beyond `max_connections`, clients are still accepted up to a small reserve, to be answered: viewers receive
   `bye` or a 503, and are disconnected. Beyond that, and when the process is out of descriptors, no
   connection is accepted until there is room; they wait in the kernel's backlog.
3. All deadlines are swept once a second: one comparison per connection, no timers.
4. At the TLS port a connection makes its handshake first, in a task of its own, and is already counted. After
   that there is no difference.
5. When the limit is reached, idle connections are closed for new ones, the longest idle first.
6. Options of all accepted sockets are set on the listening one; on Linux they are inherited.
"""

from __future__ import annotations

import errno
import heapq
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple, NoReturn

import structlog
import trio

from liveserver.config import EdgeSettings
from liveserver.edge.access_log import AccessLog
from liveserver.edge.bodies import BodyMemory
from liveserver.edge.connection import Connection
from liveserver.edge.connection_limit import ConnectionLimit
from liveserver.edge.cors import Origins
from liveserver.edge.hosts import AllowedHosts
from liveserver.edge.known_heads import KnownHeads
from liveserver.edge.router import Router
from liveserver.edge.server_interface import Client, ConnectionInterface, Http2Client
from liveserver.edge.statistics import EdgeStatistics
from liveserver.edge.tls import HTTP2, TLSAcceptor
from liveserver.token_bucket import TokenBucket

ACCEPT_BURST = 64
ACCEPT_CREDIT = 0.1  # seconds' worth of connections that are accepted at once after a quiet time
RESERVE = 256  # connections beyond the limit that are accepted, to be sent `bye` or 503
FINISH_TICK = 0.02  # seconds
PAUSE = 0.05  # seconds, when there is no room
SWEEP = 1.0  # seconds
GRACE = 1.0  # seconds that a connection may always be idle, even at the limit
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = structlog.get_logger(__name__)


class Secured(NamedTuple):
    """A TLS listener."""

    listener: socket.socket
    acceptor: TLSAcceptor
    hosts: AllowedHosts | None = None


class EdgeServer:
    """The hot HTTP/1.1 server of one process.

    `fallback` receives the socket of a connection whose request is not hot, with the bytes already read; it
    then owns the socket. `http2` receives HTTP/2 connections, and tells them when they are idle. `hosts` are
    the host names accepted at the plain listener.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        router: Router,
        fallback: Callable[[socket.socket, bytes], Awaitable[None]],
        hosts: AllowedHosts | None = None,
        *,
        reserve: int | None = None,
    ) -> None:
        self.settings = settings
        self.router = router
        self.origins = Origins(settings.allow_origins, credentials=settings.allow_credentials)
        self.hosts = hosts or AllowedHosts((), is_local=False)
        self.secured_hosts = AllowedHosts((), is_local=False)
        self.connections: set[Client] = set()
        self.bodies = BodyMemory(settings.max_body_memory)
        self.heads = KnownHeads()
        self.is_known_path: Callable[[str], bool] = lambda path: True
        self.load_web: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
        self.limit = ConnectionLimit(settings)
        self.access_log = AccessLog(settings)
        self.is_ending = False
        self.requests = 0
        self._refused: dict[str, int] = {}  # by status: there are not many
        self.http2: Callable[[Http2Client], Awaitable[None]] | None = None
        self._fallback = fallback
        self._reserve = RESERVE if reserve is None else reserve
        self._accepting = trio.CancelScope()
        self._accepts = TokenBucket(ACCEPT_CREDIT * settings.accept_rate, 1 / settings.accept_rate)
        self._reaped_at = -math.inf
        self._reaped = self._accepted = self._paused = self._handed_over = self._expired = self._failures = 0

    @property
    def is_full(self) -> bool:
        return len(self.connections) > self.settings.max_connections

    async def serve(self, listener: socket.socket, secured: Secured | None = None) -> None:
        """Accept and serve connections until cancelled; then close the listeners and all connections."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.sweep)
            with ExitStack() as stack, self._accepting:
                stack.enter_context(listener)
                if secured is not None:
                    stack.enter_context(secured.listener)
                    self.secured_hosts = secured.hosts or self.secured_hosts
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(self._accept, listener, nursery, None, self.hosts)
                    if secured is not None:
                        accepting.start_soon(secured.acceptor.watch)
                        accepting.start_soon(
                            self._accept, secured.listener, nursery, secured.acceptor, self.secured_hosts
                        )

    def stop_accepting(self) -> None:
        """Close the listeners; connections stay open."""
        self._accepting.cancel()

    async def finish(self, seconds: float) -> None:
        """Finish requests, close idle connections, and return when none is left, or after `seconds`.

        In the first half of the time connections are only closed after a response, so that few clients are
        sending a request when their connection is closed.
        """
        self.is_ending = True
        gently_until = trio.current_time() + seconds / 2
        with trio.move_on_after(seconds):
            while self.connections:
                if trio.current_time() >= gently_until:
                    for connection in [each for each in self.connections if each.is_idle]:
                        connection.close()
                await trio.sleep(FINISH_TICK)

    async def _accept(
        self,
        listener: socket.socket,
        nursery: trio.Nursery,
        acceptor: TLSAcceptor | None,
        hosts: AllowedHosts,
    ) -> NoReturn:
        while True:
            await trio.lowlevel.wait_readable(listener)
            accepted, has_room = self._accept_burst(listener, nursery, acceptor, hosts)
            if not has_room:
                self._paused += 1
                await trio.sleep(PAUSE)
            await trio.sleep(self._accepts.reserve(trio.current_time(), accepted))

    def _accept_burst(
        self,
        listener: socket.socket,
        nursery: trio.Nursery,
        acceptor: TLSAcceptor | None,
        hosts: AllowedHosts,
    ) -> tuple[int, bool]:
        """Accept up to `ACCEPT_BURST` connections; return their number, and whether there is room for
        more.
        """
        ceiling = self.settings.max_connections + self._reserve
        for count in range(ACCEPT_BURST):
            if len(self.connections) >= self.settings.max_connections:
                self._close_idle()
            if len(self.connections) >= ceiling:
                return count, False
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return count, True
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._close_idle()
                    log.warning("accept_paused", reason=errno.errorcode[error.errno or 0])
                    return count, False
                continue  # the client has already disconnected
            counted_as = self.limit.acquire(str(peer[0]) if isinstance(peer, tuple) else "")
            if counted_as is None:
                sock.close()  # without a response, which would only cost more
                continue
            sock.setblocking(False)
            connection = Connection(sock, self)
            connection.counted_as = counted_as
            connection.hosts = None if hosts.is_any else hosts
            self._accepted += 1
            self.connections.add(connection)
            if acceptor is None:
                nursery.start_soon(connection.run)
            else:
                nursery.start_soon(self._handshake, connection, acceptor, nursery)
        return ACCEPT_BURST, True

    def _close_idle(self) -> None:
        """Close some idle connections; at most once per `PAUSE`, as it scans all connections."""
        now = trio.current_time()
        if now < self._reaped_at + PAUSE:
            return
        self._reaped_at = now
        idle = [
            (each.idle_since, id(each), each)
            for each in self.connections
            if isinstance(each, Connection) and each.idle_since <= now - GRACE
        ]
        for _, _, connection in heapq.nsmallest(ACCEPT_BURST, idle):
            self._reaped += 1
            connection.close_idle()

    async def _handshake(self, connection: Connection, acceptor: TLSAcceptor, nursery: trio.Nursery) -> None:
        """Make a TLS handshake; the connection continues in a task of its own, without these frames."""
        try:
            protocol = await acceptor.handshake(connection)
        except (OSError, trio.ClosedResourceError):
            self.remove(connection)
            connection.close()
        except BaseException:
            connection.close()
            raise
        else:
            begin = connection.run
            if protocol == HTTP2 and self.http2 is not None:
                begin = partial(self._hand_over_http2, connection, self.http2)
            nursery.start_soon(begin)

    async def _hand_over_http2(
        self, connection: Connection, serve: Callable[[Http2Client], Awaitable[None]]
    ) -> None:
        try:
            await serve(connection)
        finally:
            self.remove(connection)

    async def sweep(self) -> None:
        """Handle deadlines that have passed, once a second, until cancelled."""
        while True:
            await trio.sleep(SWEEP)
            now = trio.current_time()
            for connection in [each for each in self.connections if each.deadline < now]:
                self._expired += connection.expire()

    async def hand_over(self, connection: ConnectionInterface, received: bytes) -> None:
        """Hand a connection over to Hypercorn, with the bytes that were read from it."""
        self._handed_over += 1
        await self._fallback(connection.release(), received)

    def remove(self, connection: ConnectionInterface) -> None:
        """Remove a connection that has ended or was handed over. Idempotent."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.limit.release(connection.counted_as)

    def count_refusal(self, status: int) -> None:
        """Count a request that was answered with a problem of this status."""
        name = str(status)
        self._refused[name] = self._refused.get(name, 0) + 1

    def count_failure(self, request_id: str = "", what: str = "") -> None:
        """Count and log the exception being handled: a defect has ended a request or connection."""
        self._failures += 1
        if request_id:
            log.exception("request_failed", request=request_id, what=what)
        else:
            log.exception("connection_failed")

    def statistics(self) -> EdgeStatistics:
        return EdgeStatistics(
            connections=len(self.connections),
            capacity=self.settings.max_connections,
            accepted=self._accepted,
            turned_away=self.limit.refused,
            reaped=self._reaped,
            paused=self._paused,
            requests=self.requests,
            refused=self._refused.copy(),
            handed_over=self._handed_over,
            expired=self._expired,
            failures=self._failures,
        )
