"""WebSockets under asyncio, with the library websockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from .connection import CLOSE_SECONDS, MAX_MESSAGE, ClosedByServer
from .errors import failure, unsuccessful
from .sources import CONNECT_TIMEOUT


class AsyncioConnection:
    """A `Connection`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _closed(closed) from None


@asynccontextmanager
async def open_connection(url: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncioConnection]:
    """Open `GET /v1/ws` of `url`. Raises `TemporaryError`, `Refused`."""
    opening = connect(
        f"ws{url.removeprefix('http')}/v1/ws",
        additional_headers=dict(headers),
        max_size=MAX_MESSAGE,
        open_timeout=CONNECT_TIMEOUT,
        close_timeout=CLOSE_SECONDS,
        ping_interval=None,  # the caller sends `ping` messages instead
        user_agent_header=None,
        proxy=None,
    )
    opening.process_exception = lambda error: error  # one attempt; the caller retries
    try:
        connection = await opening
    except InvalidStatus as error:
        response = error.response
        raise unsuccessful(url, response.status_code, bytes(response.body or b""), "no WebSocket") from None
    except (InvalidHandshake, InvalidURI, OSError, TimeoutError) as error:
        raise failure(error) from None
    try:
        yield AsyncioConnection(connection)
    finally:
        with anyio.move_on_after(2 * CLOSE_SECONDS, shield=True):
            await connection.close()


def _closed(closed: ConnectionClosed) -> ClosedByServer:
    frame = closed.rcvd
    return ClosedByServer((frame.reason or str(frame.code)) if frame else None)
