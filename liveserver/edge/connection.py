"""One client's connection: requests and responses, until it becomes a stream or is handed over.

Rules:

1. One Trio task per connection, which only waits for the client while idle: no timer, queue or nursery of
   its own. Its `deadline` is an attribute; the server sweeps over them.
2. Responses are sent in the order of the requests. A `DeferredResponse` is written later, by another task;
   until then only EOF is read from the client.
3. A handler returns bytes (written here), a `DeferredResponse`, or a `StreamResponse`, which owns the
   connection from then on. By then the frames of this module have returned: with ten thousand idle viewers,
   every local variable matters.
4. An error ends this connection and no other.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from liveserver.edge.answer import DeferredResponse, StreamResponse, status_of
from liveserver.edge.bodies import BodyReservation
from liveserver.edge.body_reader import check_length, read_body
from liveserver.edge.client_socket import RECEIVE_BYTES, ClientSocket
from liveserver.edge.hosts import AllowedHosts
from liveserver.edge.request import Request
from liveserver.edge.response import HEAD_END, problem_response, with_headers, without_body
from liveserver.edge.server_interface import ServerInterface
from liveserver.errors import HeadersTooLarge, NotFound, Problem, RequestTimeout
from liveserver.ids import request_id


class Connection(ClientSocket):
    """A connection that serves requests. `deadline` is in Trio's time."""

    __slots__ = (
        "_buffer",
        "_close_http2",
        "_deferred",
        "_idle_since",
        "_is_mid_request",
        "_is_new",
        "_is_waiting",
        "_stream",
        "counted_as",
        "hosts",
    )

    def __init__(self, sock: socket.socket, server: ServerInterface) -> None:
        super().__init__(sock, server)
        self.counted_as = ""  # see connection_limit.py
        self.hosts: AllowedHosts | None = None
        self._buffer = b""
        self._is_mid_request = False
        self._is_new = True  # there was no request yet
        self._is_waiting = True  # for the first byte of a request
        self._deferred: DeferredResponse | None = None  # is written meanwhile
        self._stream: StreamResponse | None = None
        self._close_http2: Callable[[], None] | None = None  # while it speaks HTTP/2 and has no streams
        self._idle_since = math.inf  # of HTTP/2

    @property
    def is_idle(self) -> bool:
        """Whether it is waiting for the next request, and the last one is answered."""
        is_answered = self._deferred is None or self._deferred.is_written
        return self._is_waiting and is_answered and not self.closed

    @property
    def idle_since(self) -> float:
        """Since when it has been idle, in Trio's time; infinity if it is not."""
        if self._close_http2 is not None:
            return self._idle_since
        settings = self._server.settings
        waits = settings.header_timeout if self._is_new else settings.keep_alive
        return self.deadline - waits if self.is_idle else math.inf

    def set_idle(self, close: Callable[[], None]) -> None:
        """Note that it has no HTTP/2 streams; `close` ends it in HTTP/2's way."""
        self._close_http2, self._idle_since = close, trio.current_time()

    def set_busy(self, close: Callable[[], None]) -> None:
        """Undo `set_idle(close)`, unless it was called again since."""
        if self._close_http2 is close:
            self._close_http2, self._idle_since = None, math.inf

    def close_idle(self) -> None:
        """End it, since others need its place."""
        if self._close_http2 is not None:
            self._close_http2()  # it counts until its client has been sent GOAWAY
        else:
            self._server.remove(self)
            self.close()

    async def run(self) -> None:
        """Serve requests until the connection ends. Raises nothing but cancellation."""
        try:
            with suppress(BlockingIOError):  # with many new connections, requests have mostly arrived
                self._buffer = self.sock.recv(RECEIVE_BYTES)
            self._stream = await self._serve()
            if self._stream is not None:
                await self._stream.wait_gone()
        except (OSError, trio.ClosedResourceError):
            pass  # the client has disconnected, or its deadline has passed
        except Exception:
            self._server.count_failure()
        finally:
            self._stream = None  # breaks a reference cycle, so that both are freed at once
            self._server.remove(self)
            self.close()

    async def _serve(self) -> StreamResponse | None:
        """Answer requests; return the stream of the last one, or None at the end."""
        deferred: DeferredResponse | None = None
        server = self._server
        while True:
            request: Request | None = None
            try:
                request = await self._read_head(deferred)
                if request is None:
                    return None
                headers, origins = request.headers, server.origins
                origin = headers.get(b"origin")
                request.cors = origins.without_origin if origin is None else origins.headers(origin)
                if self.hosts is not None and headers.get(b"host") not in self.hosts.known:
                    self.hosts.check(headers.get(b"host"))
                handler = server.router.match(request)
                if handler is None and not server.router.is_complete:
                    self.deadline = math.inf  # the client has sent its headers; imports may take long
                    await server.load_web()
                    handler = server.router.match(request)
                if handler is None:
                    if not server.is_known_path(request.path):
                        raise NotFound("not found; paths of the interface begin with /v1/")
                    await self._hand_over(request)
                    return None
                if self._is_mid_request:
                    with server.bodies.reserve() as reservation:
                        await self._read_body(request, reservation)
                self.deadline = math.inf  # the time of handlers is not limited here
                server.requests += 1
                try:
                    answer = await handler(request, self)
                except Problem:
                    raise
                except Exception:
                    problem = Problem("this is a defect of the server; its log has the details")
                    problem.request_id = self._name(request)
                    server.count_failure(problem.request_id, request.name)
                    request.keep_alive = False
                    raise problem from None
            except Problem as problem:
                if not await self._refuse(problem, request):
                    return None
                deferred = None
                await trio.lowlevel.checkpoint()
                continue
            if server.access_log.is_on:
                self._log(request, status_of(request, answer))
            if server.is_ending:
                request.keep_alive = False
            if isinstance(answer, bytes):
                deferred = None
                if not request.keep_alive and request.version == "1.1":
                    answer = with_headers(answer, b"connection: close\r\n")
                if request.cors:
                    answer = with_headers(answer, request.cors)
                await self.write(without_body(answer) if request.method == "HEAD" else answer)
                if self._buffer:  # pipelined requests get one turn each, like all others
                    await trio.lowlevel.checkpoint()
            elif isinstance(answer, StreamResponse):
                return answer
            else:
                deferred = answer
            if not request.keep_alive:
                if deferred is not None:
                    await self._finish_deferred(deferred)
                return None

    def _log(self, request: Request | None, status: int, request_id: str | None = None) -> None:
        with suppress(OSError):  # the client has disconnected, and has no address
            self._server.access_log.record(
                request.method if request is not None else "-",
                request.path if request is not None else "-",
                status,
                self.sock.getpeername(),
                request.headers.get(b"x-forwarded-for", b"") if request is not None else b"",
                request_id or self._name(request),
            )

    def _name(self, request: Request | None) -> str:
        """Return the request's id for the log."""
        given = request.headers.get(b"x-request-id") if request is not None else None
        return request_id(given, trusted=self._server.settings.trust_request_ids)

    async def _refuse(self, problem: Problem, request: Request | None) -> bool:
        """Answer with a problem; return whether the connection continues."""
        problem.request_id = problem.request_id or self._name(request)
        # Where the next request begins is unknown unless this one was read completely. And a client that is
        # refused because the node is full must not occupy the reserve.
        is_unread = self._is_mid_request
        self._server.count_refusal(problem.status)
        if self._server.access_log.is_on:
            self._log(request, problem.status, problem.request_id)
        goes_on = request is not None and not is_unread and request.keep_alive and not self._server.is_full
        response = problem_response(problem, close=not goes_on)
        if request is not None:
            response = with_headers(response, request.cors)
            if request.method == "HEAD":
                response = without_body(response)
        self._is_mid_request = False
        await self.write(response)
        if is_unread:
            await self.linger()
        return goes_on

    async def _read_head(self, deferred: DeferredResponse | None) -> Request | None:
        """Return the next request, without its body; None at EOF."""
        settings = self._server.settings
        buffer = self._buffer
        if deferred is not None:
            if buffer:
                await deferred.wait_written()
            else:
                self._is_waiting, self._deferred = True, deferred
                buffer = await self._receive_beside(deferred)
                if not buffer:
                    return None
        if buffer:
            self._is_mid_request, self._is_new, self._is_waiting = True, False, False
            self._deferred = None
            end = buffer.find(HEAD_END)
            if end < 0:
                self.deadline = trio.current_time() + settings.header_timeout
        else:
            waits = settings.header_timeout if self._is_new else settings.keep_alive
            self._is_mid_request, self._is_waiting = False, True
            self.deadline = trio.current_time() + waits
            end = -1
        while end < 0:
            if len(buffer) > settings.max_header_size:
                raise HeadersTooLarge(
                    f"the request line and headers have at most {settings.max_header_size} bytes"
                )
            data = await self.receive()
            if not data:
                return None
            if buffer:
                buffer += data
                end = buffer.find(HEAD_END)
            else:
                self._is_mid_request, self._is_new, self._is_waiting = True, False, False
                buffer = data
                end = buffer.find(HEAD_END)
                if end < 0:
                    self.deadline = trio.current_time() + settings.header_timeout
        end += len(HEAD_END)
        if end > settings.max_header_size:
            raise HeadersTooLarge(
                f"the request line and headers have at most {settings.max_header_size} bytes"
            )
        request = self._server.heads.request(buffer[:end])
        behind = end + request.plain_length
        if end <= behind <= len(buffer) and request.plain_length <= settings.max_body:
            request.body = buffer[end:behind]  # usually it arrives with the head
            self._buffer = buffer[behind:]
            self._is_mid_request = False
        else:
            self._buffer = buffer[end:]
            self._is_mid_request = request.has_body
        return request

    async def _receive_beside(self, deferred: DeferredResponse) -> bytes:
        """Return the client's next bytes once the deferred answer is written; empty at EOF."""
        try:
            data = await self.receive()
        except BaseException:
            deferred.abandon()
            raise
        if data:
            await deferred.wait_written()
        else:
            deferred.end_early()
        return data

    async def _finish_deferred(self, deferred: DeferredResponse) -> None:
        """Wait until the last answer is written, or the client cannot read it."""

        async def watch_client() -> None:
            try:
                while await self.receive():
                    pass
                deferred.end_early()
            except (OSError, trio.ClosedResourceError):
                deferred.abandon()
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_client)
            await deferred.wait_written()
            nursery.cancel_scope.cancel()

    async def _hand_over(self, request: Request) -> None:
        """Hand the request over to Hypercorn; its body is read here, with our limits."""
        with self._server.bodies.reserve() as reservation:
            if self._is_mid_request:
                await self._read_body(request, reservation)
            head = request.head_to_hand_over(self._name(request))
            await self._server.hand_over(self, head + request.body)

    async def _read_body(self, request: Request, reservation: BodyReservation) -> None:
        settings = self._server.settings
        check_length(request, settings.max_body)
        self.deadline = trio.current_time() + settings.body_timeout
        self._buffer = await read_body(request, self._buffer, self, settings.max_body, reservation)
        self._is_mid_request = False

    def take_received(self) -> bytes:
        """Return what was received behind the request, and drop it here."""
        received, self._buffer = self._buffer, b""
        return received

    def expire(self) -> bool:
        """Handle a deadline that has passed; return whether the connection was closed.

        A stream decides for itself. A request that was being received is answered 408.
        """
        if self._stream is not None and self._stream.expire():
            return False
        if self._is_mid_request:
            refusal = problem_response(RequestTimeout("the request did not arrive whole in time"), close=True)
            with suppress(OSError):
                self.sock.send(refusal)
        self.close()
        return True
