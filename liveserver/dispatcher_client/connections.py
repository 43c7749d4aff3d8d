"""One HTTP connection for each server, for who asks it one thing after the other.

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

    One request at a time for each server; whoever asks sets the time it may take.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        """`trust` says whom to believe that they are it, of those with an https URL."""
        self._trust = trust
        self._connections: dict[str, httpcore.AsyncHTTPConnection] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, whole. Raises `httpx.TransportError`."""
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.content,
        )
        try:
            connection = await self._connection(asked.url.origin)
            answer = await connection.handle_async_request(asked)
            try:
                await answer.aread()
            finally:
                await answer.aclose()
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            httpcore.ConnectionNotAvailable,
        ) as error:
            raise httpx.TransportError(str(error) or type(error).__name__) from error
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content)

    async def _connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """One that can carry a request."""
        connection = self._connections.get(str(origin))
        if connection is not None and (connection.is_closed() or connection.has_expired()):
            await connection.aclose()
            connection = None
        if connection is None:
            connection = self._connections[str(origin)] = httpcore.AsyncHTTPConnection(origin, self._trust)
        return connection

    async def aclose(self) -> None:
        with trio.move_on_after(CLOSE, shield=True):
            for connection in self._connections.values():
                await connection.aclose()
