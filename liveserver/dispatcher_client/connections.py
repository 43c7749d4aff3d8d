"""A transport for httpx with few persistent connections per server.

httpx's own pool scans all its connections at each request, and its client all its options: two thirds of
the cost of sending a like to a dispatcher. Requests, responses and errors are httpx's.
"""

from __future__ import annotations

import ssl

import httpcore
import httpx
import trio

from liveserver.errors import connection_fault

CLOSE = 1.0  # seconds to end all connections


class KeepAliveTransport(httpx.AsyncBaseTransport):
    """Connects on demand, and again after a connection has ended.

    The number of connections to a server is that of concurrent requests. Timeouts are the caller's.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        """Create a transport that verifies https servers by `trust`."""
        self._trust = trust
        self._idle: dict[str, list[httpcore.AsyncHTTPConnection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the complete response. Raises `httpx.TransportError`."""
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.content,
            extensions={name: value for name, value in request.extensions.items() if name == "sni_hostname"},
        )
        origin = asked.url.origin
        try:
            connection = await self._acquire(origin)
            try:
                answer = await connection.handle_async_request(asked)
                await answer.aread()
                await answer.aclose()
            except BaseException:  # cancelled at some points, it would be neither closed nor usable
                with trio.move_on_after(CLOSE, shield=True):
                    await connection.aclose()
                raise
            self._idle.setdefault(str(origin), []).append(connection)
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            httpcore.ConnectionNotAvailable,
        ) as error:
            raise httpx.TransportError(connection_fault(error)) from error
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content)

    async def _acquire(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """Return an idle or new connection."""
        idle = self._idle.get(str(origin))
        while idle:
            connection = idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(origin, self._trust)

    async def aclose(self) -> None:
        with trio.move_on_after(CLOSE, shield=True):
            for idle in self._idle.values():
                for connection in idle:
                    await connection.aclose()
