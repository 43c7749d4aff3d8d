"""A WebSocket that watches one video: an `EventSource` like those of `sources.py`.

A task reads one message ahead of `receive`. A silent connection is sent `{"ping":{}}`, since a reader of
messages does not see the protocol's own pongs.

Trio uses trio-websocket, asyncio uses websockets; each is imported when needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import anyio
import msgspec
import sniffio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .connection import ClosedByServer, Connection
from .errors import ClientError, ProtocolError, TemporaryError, bounded, unsuccessful
from .items import (
    Bye,
    Gap,
    Item,
    Omitted,
    Ready,
    State,
    StateMessage,
    Viewers,
    from_page,
    state_events,
)
from .sources import SILENCE
from .tokens import Tokens

QUIET = 15.0  # seconds without a message before a ping is sent


class _Gap(msgspec.Struct):
    cursor: str


class _Bye(msgspec.Struct):
    reason: str = ""
    reconnect: bool = True
    retry: int | None = None  # milliseconds


class _Error(msgspec.Struct):
    status: int
    detail: str = ""


class _Message(msgspec.Struct):
    """A server's message; unknown fields are ignored."""

    ready: Ready | None = None
    events: msgspec.Raw = msgspec.Raw(b"")
    gap: _Gap | None = None
    state: StateMessage | None = None
    viewers: Viewers | None = None
    omitted: Omitted | None = None
    bye: _Bye | None = None
    error: _Error | None = None


_message = msgspec.json.Decoder(_Message)


class WebSocketSource:
    """A connection to `GET /v1/ws`. `tasks` runs the reading task."""

    def __init__(
        self,
        tasks: TaskGroup,
        url: str,
        video: str,
        cursor: str | None,
        tokens: Tokens,
        behind: float = 0.0,
        types: Sequence[str] = (),
        rate: int | None = None,
    ) -> None:
        self.reached: str | None = None
        self._tokens = tokens
        self.retry: float | None = None
        self._tasks = tasks
        self._base = url
        self._subscription: dict[str, Any] = {"video": video}
        if cursor:
            self._subscription["cursor"] = cursor
        if behind:
            self._subscription["behind"] = behind
        if types:
            self._subscription["types"] = list(types)
        if rate is not None:
            self._subscription["rate"] = rate
        self._messages: MemoryObjectReceiveStream[str | bytes] | None = None
        self._failure: Exception = TemporaryError("the connection is closed")
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def receive(self) -> list[Item]:
        if self._messages is None:
            headers = await self._tokens.headers()
            send, self._messages = anyio.create_memory_object_stream[str | bytes](0)
            self._tasks.start_soon(self._run, send, headers)
        try:
            with anyio.fail_after(SILENCE):
                message = await self._messages.receive()
        except TimeoutError:
            raise TemporaryError("nothing was received for too long") from None
        except anyio.EndOfStream:
            raise self._failure from None
        return self._items(message)

    async def aclose(self) -> None:
        if self._messages is not None:
            self._scope.cancel()
            try:
                await self._ended.wait()
            finally:
                self._messages.close()  # also when leaving takes too long, and is cancelled

    async def _run(self, messages: MemoryObjectSendStream[str | bytes], headers: Mapping[str, str]) -> None:
        """Connect, subscribe, and pass messages on until cancelled or closed. Raises nothing."""
        try:
            with messages, self._scope:
                async with _open_connection(self._base, headers) as connection:
                    await _send(connection, "subscribe", self._subscription)
                    while True:
                        await messages.send(await _next(connection))
        except (TemporaryError, ClosedByServer) as error:
            self._failure = error if isinstance(error, TemporaryError) else _closed(error)
        except ClientError as error:
            self._failure = error
        finally:
            self._ended.set()

    def _items(self, text: str | bytes) -> list[Item]:
        """Return the items of one message. Raises `ProtocolError`, `Refused`, `TemporaryError`."""
        try:
            said = _message.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"a message that is not one of liveserver's: {error}") from error
        items: list[Item] = []
        if said.error is not None:
            raise unsuccessful(self._base, said.error.status, b"", said.error.detail)
        if said.ready is not None:
            items += [said.ready, Gap(said.ready.cursor)] if said.ready.gap else [said.ready]
        if bytes(said.events):
            page = from_page(said.events)
            items += page.events
            self.reached = page.cursor
        if said.gap is not None:
            items.append(Gap(said.gap.cursor))
        if said.state is not None:
            items.append(State(said.state.cursor, state_events(said.state.events)))
        if said.viewers is not None:
            items.append(said.viewers)
        if said.omitted is not None:
            items.append(said.omitted)
        if said.bye is not None:
            self.retry = None if said.bye.retry is None else bounded(said.bye.retry / 1000)
            items.append(Bye(said.bye.reason, said.bye.reconnect))
        return items


def _open_connection(url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Connection]:
    """Open a WebSocket with the library of the running event loop.

    Entering raises `TemporaryError` (no connection) and `Refused` (the server's answer is final).
    """
    if sniffio.current_async_library() == "trio":
        from . import websocket_trio

        return websocket_trio.open_connection(url, headers)
    from . import websocket_asyncio

    return websocket_asyncio.open_connection(url, headers)


def _closed(error: ClosedByServer) -> TemporaryError:
    return TemporaryError(f"the server closed: {error.reason or 'without a reason'}")


async def _send(connection: Connection, name: str, content: Mapping[str, Any]) -> None:
    """Send a message, unless the server has closed: what it sent before can still be read."""
    with suppress(ClosedByServer):
        await connection.send(msgspec.json.encode({name: content}).decode())


async def _next(connection: Connection) -> str | bytes:
    """Return the next message; send a ping if none arrives for `QUIET` seconds."""
    with anyio.move_on_after(QUIET):
        return await connection.receive()
    await _send(connection, "ping", {})
    return await connection.receive()
