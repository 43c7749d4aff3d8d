"""One HTTP/2 request and its response, adapted to the handlers of hot routes.

Rules:

1. To a handler it looks like HTTP/1.0: a request, and a response that ends with the connection. Hypercorn
   does the framing.
2. One piece is sent at a time. Until it is sent there is no room for the next, as in a socket whose buffer is
   full: the viewer lags, catches up, skips or is disconnected by the common rules. So there is no queue, but
   one reference to shared bytes.
3. An exchange counts as a connection: for the limits (also per address), the sweep and the shutdown.
4. A response is passed on in pieces, as the client's window admits them; the bytes are shared by all
   exchanges. Each piece has a deadline of `write_timeout`, the whole one by `min_write_rate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from liveserver.config import EdgeSettings
from liveserver.edge.answer import Answer, DeferredResponse, Handler, StreamResponse, status_of
from liveserver.edge.asgi import ONLY_HTTP1, Application, Receive, Scope, Send, replayed, request_from
from liveserver.edge.bodies import BodyReservation
from liveserver.edge.request import Request
from liveserver.edge.response import HEAD_END, problem_response, with_headers, without_body
from liveserver.edge.server_interface import ServerInterface
from liveserver.errors import (
    BadRequest,
    Problem,
    RequestTimeout,
    TooLarge,
    TooMany,
    Unavailable,
)
from liveserver.ids import request_id

MAX_REFUSED = 256  # exchanges beyond the limit that are accepted, to be refused with a response
MAX_HEAD = 8 * 1024  # bytes of a response's head
PIECE = 32 * 1024  # bytes of a response that are passed to Hypercorn at once


class Http2Application:
    """An ASGI application: hot routes are served by their handlers, all others by `ordinary`."""

    def __init__(self, server: ServerInterface, ordinary: Application) -> None:
        self._server = server
        self._ordinary = ordinary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = self._server
        request: Request | None = None
        exchange = Exchange(scope, receive, send, server.settings)
        peer = scope["client"]
        counted_as = server.limit.acquire(str(peer[0]) if peer else "")
        server.connections.add(exchange)
        try:
            with exchange.scope:
                try:
                    if counted_as is None:
                        raise TooMany("this address has too many requests in progress", retry_after=1)
                    if len(server.connections) > server.settings.max_connections + MAX_REFUSED:
                        raise Unavailable("this node is full; try another, or come back later")
                    request = request_from(scope, server.settings.max_header_size)
                    if (origin := request.headers.get(b"origin")) is not None:
                        request.cors = server.origins.headers(origin)
                    server.secured_hosts.check(request.headers.get(b"host"))
                    handler = server.router.match(request)
                    with server.bodies.reserve() as reservation:
                        body = await exchange.body(request, server, reservation)
                        if body is None:
                            return
                        request.body = body
                        if handler is None:
                            headers = [pair for pair in scope["headers"] if pair[0] != b"x-request-id"]
                            headers.append((b"x-request-id", self._name(request).encode()))
                            scope = {**scope, "headers": headers}
                            await self._ordinary(scope, replayed(body, receive), exchange.send_in_time)
                            return
                    await exchange.serve(request, handler, server, partial(self._log, scope, request))
                except Problem as problem:
                    problem.request_id = problem.request_id or self._name(request)
                    server.count_refusal(problem.status)
                    if server.access_log.is_on:
                        self._log(scope, request, problem.status)
                    cors = request.cors if request is not None else b""
                    await exchange.respond(with_headers(problem_response(problem), cors))
        except Exception:
            server.count_failure(self._name(request), request.name if request is not None else "")
            await exchange.respond_to_defect(self._name(request))
        finally:
            exchange.close()
            server.connections.discard(exchange)
            server.limit.release(counted_as or "")

    def _log(self, scope: Scope, request: Request | None, status: int) -> None:
        headers = dict(request.headers) if request is not None else {}
        self._server.access_log.record(
            scope["method"],
            scope["path"],
            status,
            scope["client"],
            headers.get(b"x-forwarded-for", b""),
            self._name(request),
        )

    def _name(self, request: Request | None) -> str:
        given = request.headers.get(b"x-request-id") if request is not None else None
        return request_id(given, trusted=self._server.settings.trust_request_ids)


class Exchange:
    """One request of a client. It is its own `Peer` and socket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: EdgeSettings) -> None:
        self.scope = trio.CancelScope()
        self.closed = False
        self.deadline = math.inf
        self._client = scope["client"]
        self._receive = receive
        self._send = send
        self._settings = settings
        self._timeout = settings.body_timeout
        self._pieces: list[bytes | memoryview] = []  # the one being sent, and the last frame
        self._is_started = False
        self._has_last_words = False
        self._is_ending = False
        self._gone = trio.Event()
        self._moved = trio.Event()

    is_idle = False

    @property
    def sock(self) -> Exchange:
        return self

    async def serve(
        self, request: Request, handler: Handler, server: ServerInterface, log: Callable[[int], None]
    ) -> None:
        """Answer a hot request, and log its status if that is wanted. Raises `Problem`."""
        server.requests += 1
        answer: Answer = await handler(request, self)
        if server.access_log.is_on:
            log(status_of(request, answer))
        if isinstance(answer, bytes):
            answer = with_headers(answer, request.cors)
            await self.respond(without_body(answer) if request.method == "HEAD" else answer)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_client)
            nursery.start_soon(self._pump, isinstance(answer, DeferredResponse))
            try:
                if isinstance(answer, StreamResponse):
                    await answer.wait_gone()
                    if not self._is_ending:
                        self._gone.set()
                await self._gone.wait()
            finally:
                if isinstance(answer, DeferredResponse):
                    answer.abandon()
            nursery.cancel_scope.cancel()

    async def body(
        self, request: Request, server: ServerInterface, reservation: BodyReservation
    ) -> bytes | None:
        """Return the request's body; None if the client has disconnected. Raises `Problem`."""
        limit = int(server.settings.max_body)
        length = request.content_length
        if length > limit:
            raise TooLarge(f"the body has at most {limit} bytes")
        pieces: list[bytes] = []
        with trio.move_on_after(self._timeout):
            while True:
                message = await self._receive()
                if message["type"] != "http.request":
                    return None
                pieces.append(message["body"])
                reservation.add(len(message["body"]))
                limit -= len(message["body"])
                if limit < 0:
                    raise TooLarge(f"the body has at most {server.settings.max_body} bytes")
                if not message["more_body"]:
                    body = b"".join(pieces)
                    if len(body) != length and b"content-length" in request.headers:
                        raise BadRequest("the body is not as long as its content-length")
                    return body
        raise RequestTimeout("the request did not arrive completely in time")

    async def respond(self, answer: bytes | memoryview, *, more: bool = False) -> None:
        """Send a response that is rendered for HTTP/1.x: a head and a body, of which `more` may follow."""
        whole = memoryview(answer)
        end = bytes(whole[:MAX_HEAD]).index(HEAD_END)
        status, *lines = bytes(whole[:end]).split(b"\r\n")
        pairs = [line.split(b": ", 1) for line in lines]
        headers = [(name, value) for name, value in pairs if name not in ONLY_HTTP1]
        body = whole[end + len(HEAD_END) :]
        self._is_started = True
        send = self._send if more else self.send_in_time  # streams have their own rules for slow clients
        await send({"type": "http.response.start", "status": int(status[9:12]), "headers": headers})
        latest = (
            trio.current_time() + self._settings.write_timeout + len(body) / self._settings.min_write_rate
        )
        for start in range(0, len(body), PIECE):
            piece = bytes(body[start : start + PIECE])
            message = {"type": "http.response.body", "body": piece, "more_body": True}
            await (self._send(message) if more else self.send_in_time(message, latest))
        if not more:
            await self.send_in_time({"type": "http.response.body", "body": b"", "more_body": False}, latest)

    async def send_in_time(self, message: dict[str, Any], latest: float = math.inf) -> None:
        """Send a message; the exchange ends if that takes longer than `write_timeout`, or beyond `latest`."""
        before = self.deadline
        self.deadline = min(latest, trio.current_time() + self._settings.write_timeout)
        await self._send(message)
        if not self.closed:
            self.deadline = before

    async def respond_to_defect(self, name: str) -> None:
        """Answer 500, unless a response was started."""
        if not self._is_started and not self.closed:
            problem = Problem("this is a defect of the server; its log has the details")
            problem.request_id = name
            await self.respond(problem_response(problem))

    async def _watch_client(self) -> None:
        """Wait for the client to disconnect."""
        while (await self._receive())["type"] == "http.request":
            pass
        self._gone.set()
        self._move()

    async def _pump(self, is_single: bool) -> None:
        """Send the pieces, one after the other."""
        while self._pieces or not self._is_ending:
            if not self._pieces:
                await self._moved.wait()
                continue
            if is_single:
                await self.respond(self._pieces[0])
                del self._pieces[0]
                break
            if self._is_started:
                await self._send(
                    {"type": "http.response.body", "body": bytes(self._pieces[0]), "more_body": True}
                )
            else:
                await self.respond(self._pieces[0], more=True)
            del self._pieces[0]
            self._move()
        if not is_single:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self.closed = True
        self._gone.set()
        self._move()

    def _move(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    # As a socket

    def send(self, data: bytes | memoryview, /) -> int:
        if self.closed or self._is_ending or self._gone.is_set():
            raise BrokenPipeError
        if self._pieces and not self._has_last_words:
            raise BlockingIOError
        self._pieces.append(data)
        self._move()
        return len(data)

    def recv(self, size: int, /) -> bytes:
        return b""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Make room for one more piece: the socket's buffer is enlarged for the last frame."""
        self._has_last_words = True

    def shutdown(self, how: int, /) -> None:
        """End the response. Its rest may take as long as a request's body."""
        self._is_ending = True
        self.deadline = trio.current_time() + self._timeout
        self._move()

    def getpeername(self) -> Any:
        return self._client

    # As a peer

    async def wait_readable(self) -> None:
        await self._gone.wait()

    async def wait_writable(self) -> None:
        while self._pieces and not self._gone.is_set():
            await self._moved.wait()

    def take_received(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        while True:
            await self.wait_writable()
            try:
                self.send(data)
            except BlockingIOError:
                continue
            return

    def expire(self) -> bool:
        self.close()
        return True

    def close(self) -> None:
        """End the exchange at once. Idempotent."""
        self.closed = True
        self._gone.set()
        self._move()
        self.scope.cancel()
