"""One WebSocket to one server, on which one video is watched: a `Source` like those of `sources.py`.

trio-websocket reads in a task, and so does this, a message ahead of the receiver. What shows that the
line is alive is asked for in words, `{"ping":{}}`: answers to the protocol's own pings are not shown to those
who wait for messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from liveserver.client.errors import ProtocolError, TemporaryError, bounded, unsuccessful
from liveserver.client.items import (
    Bye,
    Gap,
    Item,
    Ready,
    State,
    StateMessage,
    Viewers,
    from_page,
    state_events,
)
from liveserver.client.sources import CONNECT_TIMEOUT, SILENCE
from liveserver.client.tokens import Tokens

QUIET = 15.0  # seconds without a message, after which one is asked for
CLOSE_SECONDS = 0.5
MAX_MESSAGE = 16 * 1024**2  # bytes; servers join events up to their `frontend.max_write`
E = TypeVar("E", bound=BaseException)
PORTS = {"http": 80, "https": 443}


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
    """What a server says; of a later version, perhaps something else."""

    ready: Ready | None = None
    events: msgspec.Raw = msgspec.Raw(b"")
    gap: _Gap | None = None
    state: StateMessage | None = None
    viewers: Viewers | None = None
    bye: _Bye | None = None
    error: _Error | None = None


_message = msgspec.json.Decoder(_Message)


class Socket:
    """`GET /v1/ws`. `nursery` has the task that reads."""

    def __init__(
        self, nursery: trio.Nursery, url: str, video: str, cursor: str | None, tokens: Tokens
    ) -> None:
        self._tokens = tokens
        self.retry: float | None = None
        self._nursery = nursery
        self._base = url
        self._wish = {"video": video} | ({"cursor": cursor} if cursor else {})
        self._messages: trio.MemoryReceiveChannel[str | bytes] | None = None
        self._failure: Exception = TemporaryError("the connection is closed")
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def receive(self) -> list[Item]:
        if self._messages is None:
            headers = await self._tokens.headers()
            messages, self._messages = trio.open_memory_channel[str | bytes](0)
            self._nursery.start_soon(self._run, messages, headers)
        try:
            with trio.fail_after(SILENCE):
                message = await self._messages.receive()
        except trio.TooSlowError:
            raise TemporaryError("nothing was heard for too long") from None
        except trio.EndOfChannel:
            raise self._failure from None
        return self._items(message)

    async def aclose(self) -> None:
        if self._messages is not None:
            self._scope.cancel()
            await self._ended.wait()

    async def _run(self, messages: trio.MemorySendChannel[str | bytes], headers: Mapping[str, str]) -> None:
        """Connect, subscribe, and hand on what comes. Raises nothing."""
        try:
            with messages, self._scope:
                await self._converse(messages, headers)
        except* ConnectionRejected as rejected:
            error = _first(rejected)
            self._failure = unsuccessful(self._base, error.status_code, error.body or b"", "no WebSocket")
        except* ConnectionClosed as closed:
            reason = _first(closed).reason
            said = reason and (reason.reason or reason.name)
            self._failure = TemporaryError(f"the server closed: {said or 'without a word'}")
        except* (HandshakeError, OSError, trio.BrokenResourceError) as broken:
            self._failure = TemporaryError(str(_first(broken)) or type(_first(broken)).__name__)
        except* trio.TooSlowError:
            self._failure = TemporaryError("the server did not answer")
        finally:
            self._ended.set()

    async def _converse(
        self, messages: trio.MemorySendChannel[str | bytes], headers: Mapping[str, str]
    ) -> None:
        parts = urlsplit(self._base)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80)
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
        with trio.fail_after(CONNECT_TIMEOUT):
            if parts.scheme == "https":
                stream = await trio.open_ssl_over_tcp_stream(host, port, https_compatible=True)
            else:
                stream = await trio.open_tcp_stream(host, port)
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(CONNECT_TIMEOUT):
                    connection = await wrap_client_stream(
                        nursery,
                        stream,
                        parts.netloc,
                        f"{parts.path}/v1/ws",
                        extra_headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                        max_message_size=MAX_MESSAGE,
                    )
                try:
                    await _say(connection, "subscribe", self._wish)
                    while True:
                        await messages.send(await _next(connection))
                finally:
                    with trio.move_on_after(CLOSE_SECONDS, shield=True):
                        await connection.aclose()
                    nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)

    def _items(self, text: str | bytes) -> list[Item]:
        """The items in one message. Raises `ProtocolError`, `Refused`, `TemporaryError`."""
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
            items += from_page(said.events).events
        if said.gap is not None:
            items.append(Gap(said.gap.cursor))
        if said.state is not None:
            items.append(State(said.state.cursor, state_events(said.state.events)))
        if said.viewers is not None:
            items.append(said.viewers)
        if said.bye is not None:
            self.retry = None if said.bye.retry is None else bounded(said.bye.retry / 1000)
            items.append(Bye(said.bye.reason, said.bye.reconnect))
        return items


async def _say(connection: WebSocketConnection, word: str, what: dict[str, str]) -> None:
    """Say something, unless the server has closed: what it said before can still be read."""
    with suppress(ConnectionClosed):
        await connection.send_message(msgspec.json.encode({word: what}).decode())


async def _next(connection: WebSocketConnection) -> str | bytes:
    """The next message; one is asked for when none comes."""
    with trio.move_on_after(QUIET):
        return await connection.get_message()
    await _say(connection, "ping", {})
    return await connection.get_message()


def _first(group: BaseExceptionGroup[E]) -> E:
    """One exception of a group, however deep."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
