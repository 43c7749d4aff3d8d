"""WebSockets under Trio, with the library trio-websocket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from .connection import CLOSE_SECONDS, MAX_MESSAGE, ClosedByServer
from .errors import TemporaryError, failure, unsuccessful
from .sources import CONNECT_TIMEOUT

E = TypeVar("E", bound=BaseException)
PORTS = {"http": 80, "https": 443}


class TrioConnection:
    """A `Connection`."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._connection.get_message()
        except ConnectionClosed as closed:
            raise _closed(closed) from None
        return message


@asynccontextmanager
async def open_connection(url: str, headers: Mapping[str, str]) -> AsyncIterator[TrioConnection]:
    """Open `GET /v1/ws` of `url`. Raises `TemporaryError`, `Refused`."""
    # trio-websocket's reader runs and fails in this nursery; exceptions leave it unwrapped.
    raised: BaseException | None = None
    stream = await _connect(url)
    try:
        async with trio.open_nursery() as nursery:
            try:
                connection = await _handshake(nursery, stream, url, headers)
                try:
                    yield TrioConnection(connection)
                finally:
                    with trio.move_on_after(CLOSE_SECONDS, shield=True):
                        await connection.aclose()
            except BaseException as error:
                raised = error
            nursery.cancel_scope.cancel()
    except* ConnectionRejected as group:
        rejected = _first(group)
        raised = unsuccessful(url, rejected.status_code, rejected.body or b"", "no WebSocket")
    except* (HandshakeError, OSError, trio.BrokenResourceError) as group:
        raised = _temporary(_first(group))
    finally:
        await trio.aclose_forcefully(stream)
    if raised is not None:
        raise raised


async def _connect(url: str) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80)
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            if parts.scheme == "https":
                return await trio.open_ssl_over_tcp_stream(host, port, https_compatible=True)
            return await trio.open_tcp_stream(host, port)
    except (trio.TooSlowError, OSError) as error:
        raise _temporary(error) from None


async def _handshake(
    nursery: trio.Nursery,
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
    url: str,
    headers: Mapping[str, str],
) -> WebSocketConnection:
    parts = urlsplit(url)
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            return await wrap_client_stream(
                nursery,
                stream,
                parts.netloc,
                f"{parts.path}/v1/ws",
                extra_headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                max_message_size=MAX_MESSAGE,
            )
    except (trio.TooSlowError, HandshakeError, OSError, trio.BrokenResourceError) as error:
        raise _temporary(error) from None


def _temporary(error: BaseException) -> TemporaryError:
    if isinstance(error, trio.TooSlowError):
        return TemporaryError("the server did not answer")
    return failure(error)


def _closed(closed: ConnectionClosed) -> ClosedByServer:
    reason = closed.reason
    return ClosedByServer((reason.reason or reason.name) if reason else None)


def _first(group: BaseExceptionGroup[E]) -> E:
    """Return one exception of a group, at any depth."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
