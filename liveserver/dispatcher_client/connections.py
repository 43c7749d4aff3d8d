"""Few HTTP connections for each server, which last.

httpx's own pool looks over all its connections at each request, and its client at all its options: that is
two thirds of what a like's way to a dispatcher costs. The requests, the answers and the errors are httpx's.
"""

from __future__ import annotations

import ssl

import httpcore
import httpx
import trio

CLOSE = 1.0  # seconds to end all connections


class KeepAliveTransport(httpx.AsyncBaseTransport):
    """A transport that connects when it is asked something, and again when a connection has ended.

    A server has as many connections as requests were under way at once. The caller sets the time that a
    request may take.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        """Verify servers with an https URL by `trust`."""
        self._trust = trust
        self._idle: dict[str, list[httpcore.AsyncHTTPConnection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, whole. Raises `httpx.TransportError`."""
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.content,
        )
        origin = asked.url.origin
        try:
            connection = await self._take(origin)
            try:
                answer = await connection.handle_async_request(asked)
                try:
                    await answer.aread()
                finally:
                    await answer.aclose()
            finally:
                # One that broke, or whose request was cancelled, has closed itself, and is not taken again.
                self._idle.setdefault(str(origin), []).append(connection)
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            httpcore.ConnectionNotAvailable,
        ) as error:
            raise httpx.TransportError(str(error) or type(error).__name__) from error
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content)

    async def _take(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """Return one that can carry a request."""
        idle = self._idle.get(str(origin))
        while idle:
            connection = idle.pop()
            if not (connection.is_closed() or connection.has_expired()):
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(origin, self._trust)

    async def aclose(self) -> None:
        with trio.move_on_after(CLOSE, shield=True):
            for idle in self._idle.values():
                for connection in idle:
                    await connection.aclose()
