"""Yields one exact sequence of events over any number of connections.

1. Nothing is lost or doubled: each connection resumes from the cursor of the last item *received*, and
   received items are yielded before any others.
2. The watcher reconnects at the next URL: after a working connection ended, after the time that the server
   asked for; after a failed attempt, with full-jitter backoff that starts from this time.
3. A silent connection is given up (`sources.SILENCE`).
4. There is no task and no queue: iterating does the reading. A slow consumer therefore reads slowly from the
   server, which handles slow viewers. (Only a WebSocket has a task, which reads one message ahead.)
5. "auto" prefers the stream. If it ends before its first item, because a proxy buffers it for example,
   polls follow; while they work, a stream is tried again at intervals.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import httpx
from anyio.abc import TaskGroup

from .errors import ProtocolError, Refused, TemporaryError, full_jitter
from .items import Bye, Disconnected, Event, Gap, Item, Omitted, Ready, State
from .sources import SILENCE, EventSource, PollSource, StreamSource
from .state import LiveState
from .tokens import Token, Tokens
from .websocket import WebSocketSource

Transport = Literal["sse", "poll", "ws", "auto"]

# Seconds.
RETRY = 1.0  # until a server sends another
RETRY_LEAST = (
    0.1  # whatever a server sends: one that ends every connection is not to be asked without a pause
)
RETRY_MOST = 30.0
READY_WITHIN = 5.0  # a stream's first item, if long-polls are an alternative
STREAM_AGAIN = 60.0  # from one attempt at a stream to the next, while polls work

UNAUTHORIZED = 401


@asynccontextmanager
async def watch(
    urls: str | Sequence[str],
    video: str,
    *,
    cursor: str | None = None,
    transport: Transport = "auto",
    token: Token | None = None,
    client: httpx.AsyncClient | None = None,
    behind: float = 0.0,
    types: Sequence[str] = (),
    rate: int | None = None,
) -> AsyncIterator[Watcher]:
    """Open a watcher of `video` at one or more frontends, `http://host:port` each; iterate over it.

    The first URL is tried first; the others follow in random order, so that the viewers of a lost node
    spread over the other ones.

    `transport`: a transport, or "auto" (rule 5), which does not use WebSockets.
    `cursor`: where to begin: None is now, `"earliest"` the oldest retained event, else a server's cursor.

    `token`: the viewer's token, or a function, asynchronous or not, that returns one and is called again when
    it has expired.

    `types`: only events of these types, and retractions.
    `rate`: at most so many comments a second; an `Omitted` says how many were left out.
    `behind`: seconds behind live; events come when a picture that is so late is there.

    Resource handling: leaving the block closes the connection, and `client` unless it was given.
    Error handling: iterating raises `Refused` (a malformed cursor or video, not allowed) and
    `ProtocolError`. All other errors are yielded as a `Disconnected`, and retried.
    """
    urls = [urls] if isinstance(urls, str) else list(urls)
    if not urls:
        raise ValueError("at least one URL")
    if not 0 <= behind < float("inf"):
        raise ValueError("behind is a number of seconds, 0 or more")
    own = client or httpx.AsyncClient()
    async with _open_tasks() as tasks:
        urls = [url.rstrip("/") for url in urls]
        watcher = Watcher(own, tasks, urls, video, cursor, transport, Tokens(token), behind, types, rate)
        try:
            yield watcher
        finally:
            with anyio.move_on_after(1, shield=True):
                await watcher.aclose()
            if client is None:
                with anyio.move_on_after(1, shield=True):
                    await own.aclose()


@asynccontextmanager
async def _open_tasks() -> AsyncIterator[TaskGroup]:
    """Open a task group that is cancelled at the end of the block.

    The block's own exception leaves it as it is, not in an exception group.
    """
    raised: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except BaseException as error:
            raised = error
        tasks.cancel_scope.cancel()
    if raised is not None:
        raise raised


class Watcher:
    """An asynchronous iterator of `Item`s; it ends after a `Bye` without `reconnect`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        tasks: TaskGroup,
        urls: Sequence[str],
        video: str,
        cursor: str | None,
        transport: Transport,
        tokens: Tokens,
        behind: float = 0.0,
        types: Sequence[str] = (),
        rate: int | None = None,
    ) -> None:
        if isinstance(types, str):
            raise TypeError('types are several, such as ["like", "comment"]')
        self._types = tuple(types)
        self._rate = rate
        self._behind = behind
        self._tokens = tokens
        self._client = client
        self._tasks = tasks
        self._video = video
        # The whole session:
        self._urls = [*urls[:1], *random.sample(urls[1:], len(urls) - 1)]
        self._auto = transport == "auto"
        self._stream: Literal["sse", "ws"] = "ws" if transport == "ws" else "sse"
        self._streaming = transport != "poll"
        self._pending: deque[Item] = deque()
        self._state = LiveState()
        self._handed_on = cursor  # the cursor of the last item that was iterated over
        self._received = cursor  # the cursor of the last item taken from a connection
        self._ended = False
        # Reconnecting:
        self._turn = 0
        self._retry = RETRY
        self._failures = 0  # in a row, without a `Ready`
        self._due = 0.0
        self._stream_again_at = 0.0
        # The present connection:
        self._source: EventSource | None = None
        self._was_ready = False
        self._was_ever_ready = False  # this is a liveserver: malformed data may be temporary
        self._bye: Bye | None = None

    @property
    def cursor(self) -> str | None:
        """The cursor to resume from, after the last item iterated over."""
        return self._handed_on

    @property
    def state(self) -> Mapping[str, Event]:
        """The newest event of each key, as of the last item iterated over."""
        return self._state.events

    @property
    def url(self) -> str:
        """The frontend in use, or the next one to be tried."""
        return self._urls[self._turn]

    @property
    def transport(self) -> Literal["sse", "poll", "ws"]:
        """The transport in use, or the next one to be tried."""
        return self._stream if self._streaming else "poll"

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> Item:
        while not self._pending:
            if self._ended:
                raise StopAsyncIteration
            await self._receive()
        item = self._pending.popleft()
        self._handed_on = _cursor_of(item) or self._handed_on
        self._state.apply(item)
        return item

    async def aclose(self) -> None:
        """Close the connection. Iterating again opens another."""
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()

    async def _receive(self) -> None:
        """Receive the next items, from a new connection if there is none."""
        try:
            if self._source is None:
                await anyio.sleep(max(0.0, self._due - anyio.current_time()))
                self._source = self._open()
            items = await self._source.receive()
        except TemporaryError as error:
            await self._lose(error)
            return
        except ProtocolError as error:
            if not self._was_ever_ready:
                await self.aclose()
                raise
            await self._lose(TemporaryError(str(error)))
            return
        except Refused as error:
            if error.status != UNAUTHORIZED or not self._tokens.drop_refused():
                await self.aclose()
                raise
            await self._lose(TemporaryError("the token has expired"))
            return
        except BaseException:
            # After a cancellation for example: items in transit were not received, and will be sent again.
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise
        for item in items:
            if isinstance(item, Ready):
                self._was_ready = self._was_ever_ready = True
                self._tokens.worked()
                self._failures = 0
            elif isinstance(item, Bye):
                self._bye = item
                if item.reason == "expired":
                    self._tokens.drop_refused()
                self._ended = not item.reconnect
            self._received = _cursor_of(item) or self._received
        if not items and self._source.reached is not None:  # what came was filtered out
            self._received = self._handed_on = self._source.reached
        self._pending.extend(items)
        if self._source.retry is not None:
            self._retry = max(RETRY_LEAST, self._source.retry)
        if self._ended:
            await self.aclose()
        elif self._bye is not None:
            await self._lose(TemporaryError(f"the server said bye: {self._bye.reason}"))
        elif self._auto and not self._streaming and anyio.current_time() >= self._stream_again_at:
            self._streaming = True
            await self.aclose()

    def _open(self) -> EventSource:
        self._was_ready = False
        self._bye = None
        if not self._streaming:
            return PollSource(
                self._client,
                self.url,
                self._video,
                self._received,
                self._tokens,
                self._behind,
                self._types,
                self._rate,
            )
        if self._stream == "ws":
            return WebSocketSource(
                self._tasks,
                self.url,
                self._video,
                self._received,
                self._tokens,
                self._behind,
                self._types,
                self._rate,
            )
        self._stream_again_at = anyio.current_time() + STREAM_AGAIN
        ready_within = READY_WITHIN if self._auto else SILENCE
        return StreamSource(
            self._client,
            self.url,
            self._video,
            self._received,
            self._tokens,
            ready_within,
            self._behind,
            self._types,
            self._rate,
        )

    async def _lose(self, error: TemporaryError) -> None:
        """Close the connection, and choose when, where and how to reconnect."""
        await self.aclose()
        if self._auto:
            self._streaming = self._was_ready or self._bye is not None or not self._streaming
        if error.retry_after is not None:
            wait = error.retry_after + full_jitter(0, self._retry, RETRY_MOST)
        elif self._was_ready:
            wait = self._retry  # the server sends each viewer a different one
        else:
            self._failures += 1
            wait = full_jitter(self._failures - 1, self._retry, RETRY_MOST)
        if self._bye is not None:
            wait = max(wait, self._retry)
        self._turn = (self._turn + 1) % len(self._urls)
        self._due = anyio.current_time() + wait
        self._pending.append(Disconnected(error.reason, self.url, wait))


def _cursor_of(item: Item) -> str | None:
    return item.cursor if isinstance(item, Event | Ready | Gap | State | Omitted) else None
