"""The listener: accepts, limits, sweeps, and hands the unusual to the ordinary web server.

Rules:

1. Accepting comes in bursts, with a checkpoint between them, and at `accept_rate` in the long run,
   so that a storm of connects does not starve those already in.
2. Over `max_connections` a client is still let in to be answered, up to a small reserve: who wants to
   watch is asked to go elsewhere (`bye`, or a 503) and let go. Beyond that, and when the process is
   out of descriptors, nobody is accepted until there is room; the kernel's backlog holds them.
3. Deadlines are swept once a second over all connections: a comparison each, no timers.
4. At the TLS port a connection shakes hands first, in a task of its own, and counts already. From then on
   there is no difference.
5. When connections reach the limit, those that ask for nothing are closed for the new ones, the longest idle
   first.
6. Options that every accepted socket needs are set on the listening one; Linux hands them down.
"""

from __future__ import annotations

import errno
import heapq
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Annotated, NamedTuple, NoReturn

import msgspec
import structlog
import trio

from liveserver.config import Address, EdgeSettings
from liveserver.edge.bodies import BodyMemory
from liveserver.edge.connection import Connection
from liveserver.edge.connection_limit import ConnectionLimit
from liveserver.edge.cors import Origins
from liveserver.edge.hosts import AllowedHosts
from liveserver.edge.request import KnownHeads
from liveserver.edge.router import Router
from liveserver.edge.server_interface import Client, ConnectionInterface
from liveserver.edge.tls import HTTP2, TLSAcceptor
from liveserver.instruments import gauge, total
from liveserver.token_bucket import TokenBucket

ACCEPT_BURST = 64
ACCEPT_CREDIT = 0.1  # seconds' worth of connections that may come at once after a quiet time
RESERVE = 256  # connections over the limit that are let in to be sent `bye` or 503
FINISH_TICK = 0.02  # seconds
PAUSE = 0.05  # seconds, when there is no room
SWEEP = 1.0  # seconds
GRACE = 1.0  # seconds that a connection may idle also when others need its place
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = structlog.get_logger(__name__)


class EdgeStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is there now."""

    connections: Annotated[
        int, gauge("Clients' connections: viewers, publishers and those between requests.")
    ]
    capacity: Annotated[
        int,
        gauge("How many connections are let in: edge.max_connections, or less where descriptors are fewer."),
    ]
    accepted: Annotated[int, total("Connections accepted.")]
    turned_away: Annotated[
        int, total("Connections closed at once: their address has edge.max_per_address. An attack, or a NAT?")
    ]
    reaped: Annotated[
        int, total("Idle connections closed for new ones when edge.max_connections was reached.")
    ]
    paused: Annotated[
        int,
        total(
            "Times accepting paused since there was no room at all. Add nodes, or raise edge.max_connections."
        ),
    ]
    requests: Annotated[int, total("Requests answered by the hot routes.")]
    refused: Annotated[
        dict[str, int],
        total(
            "Requests refused, by status. Many 503: this node or what stands behind it is full or away; "
            "many 4xx: a client is wrong.",
            label="status",
        ),
    ]
    handed_over: Annotated[int, total("Connections handed to the ordinary web server.")]
    expired: Annotated[
        int, total("Connections closed since their request, or their next one, did not come in time.")
    ]
    failures: Annotated[
        int, total("Requests and connections that a defect of ours has ended. The log has each of them.")
    ]


class Secured(NamedTuple):
    """A listener that speaks TLS."""

    listener: socket.socket
    acceptor: TLSAcceptor
    hosts: AllowedHosts | None = None


class EdgeServer:
    """The hot HTTP/1.1 server of one process.

    `fallback` is given the socket and the bytes already read of a connection whose request is none
    of the router's; it owns the socket then. `http2` is given the socket of one that speaks that. `hosts`
    are the names it answers for at its plain listener.
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
        self.seats = ConnectionLimit(settings)
        self.is_ending = False
        self.requests = 0
        self._refused: dict[str, int] = {}  # by status: there are not many
        self.http2: Callable[[socket.socket], Awaitable[None]] | None = None
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
        """Accept and serve until cancelled; closes the listeners and every connection then."""
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
        """Close the listener; the connections stay."""
        self._accepting.cancel()

    async def finish(self, seconds: float) -> None:
        """Answer what is under way, close what idles, and return when nothing is left, or after `seconds`.

        For the first half of the time clients are asked to close with their next answer, so that few are
        just sending a request when their connection is closed.
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
            await trio.sleep(self._accepts.take_late(trio.current_time(), accepted))

    def _accept_burst(
        self,
        listener: socket.socket,
        nursery: trio.Nursery,
        acceptor: TLSAcceptor | None,
        hosts: AllowedHosts,
    ) -> tuple[int, bool]:
        """How many were accepted, and whether there is room for more."""
        ceiling = self.settings.max_connections + self._reserve
        for count in range(ACCEPT_BURST):
            if len(self.connections) >= self.settings.max_connections:
                self._reap()
            if len(self.connections) >= ceiling:
                return count, False
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return count, True
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._reap()
                    log.warning("accept_paused", reason=errno.errorcode[error.errno or 0])
                    return count, False
                continue  # this client has gone before it came
            seat = self.seats.acquire(str(peer[0]) if isinstance(peer, tuple) else "")
            if seat is None:
                sock.close()  # without a word: whoever has so many seats would only make us talk
                continue
            sock.setblocking(False)
            connection = Connection(sock, self)
            connection.seat = seat
            connection.hosts = None if hosts.is_any else hosts
            self._accepted += 1
            self.connections.add(connection)
            if acceptor is None:
                nursery.start_soon(connection.run)
            else:
                nursery.start_soon(self._greet, connection, acceptor, nursery)
        return ACCEPT_BURST, True

    def _reap(self) -> None:
        """Close some idle connections, if there are any; at most once in `PAUSE`, since it looks at all."""
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
            self.forget(connection)
            connection.close()

    async def _greet(self, connection: Connection, acceptor: TLSAcceptor, nursery: trio.Nursery) -> None:
        """Shake hands; the connection goes on in a task without this one's frames."""
        try:
            protocol = await acceptor.handshake(connection)
        except (OSError, trio.ClosedResourceError):
            self.forget(connection)
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
        self, connection: Connection, serve: Callable[[socket.socket], Awaitable[None]]
    ) -> None:
        try:
            await serve(connection.release())
        finally:
            self.forget(connection)

    async def sweep(self) -> None:
        """Look for deadlines that have passed until cancelled."""
        while True:
            await trio.sleep(SWEEP)
            now = trio.current_time()
            for connection in [each for each in self.connections if each.deadline < now]:
                self._expired += connection.expire()

    async def hand_over(self, connection: ConnectionInterface, received: bytes) -> None:
        """Give a connection to the ordinary web server, with what was read of it."""
        self._handed_over += 1
        await self._fallback(connection.release(), received)

    def forget(self, connection: ConnectionInterface) -> None:
        """It has ended, or is somebody else's. Idempotent."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.seats.release(connection.seat)

    def count_refusal(self, status: int) -> None:
        """A request was answered with a problem."""
        name = str(status)
        self._refused[name] = self._refused.get(name, 0) + 1

    def count_failure(self, request_id: str = "", what: str = "") -> None:
        """A defect of ours ended a request or a connection: it is logged, and hurts no other."""
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
            turned_away=self.seats.refused,
            reaped=self._reaped,
            paused=self._paused,
            requests=self.requests,
            refused=self._refused.copy(),
            handed_over=self._handed_over,
            expired=self._expired,
            failures=self._failures,
        )


def listen(
    address: Address, backlog: int, *, shared: bool = False, send_buffer: int = 0, user_timeout: float = 0
) -> socket.socket:
    """A listening, non-blocking socket; `shared` lets several processes have the port.

    `send_buffer` (bytes) bounds what the kernel holds for a client that does not read;
    `user_timeout` (seconds) ends connections whose other side no longer acknowledges (RFC 5482).
    """
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if send_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        if user_timeout and hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(user_timeout * 1000))
        listener.bind(where)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
