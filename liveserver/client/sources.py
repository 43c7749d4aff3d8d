"""One connection to one server: an event stream, or a series of long-polls. Neither reconnects by itself.

`receive` returns the next items, or none for a heartbeat. It raises `TemporaryError` if this connection has
ended and another may succeed, `Refused` or `ProtocolError` if not. A source that has raised or was cancelled
has ended: close it, and resume elsewhere from the cursor of the last item received.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Protocol
from urllib.parse import quote

import anyio
import httpx

from .errors import ProtocolError, TemporaryError, bounded, expect_success, failure
from .items import Gap, Item, Omitted, Ready, State, from_page, from_stream
from .sse import SSEError, SSEParser
from .tokens import Tokens

# Heartbeats are sent every 15 s; a connection that is silent for two and a half of them is given up.
SILENCE = 2.5 * 15

# Cursors without a fixed position in the log.
_WORDS = frozenset({"now", "earliest"})

CONNECT_TIMEOUT = 10.0
MAX_EVENT = 16 * 1024**2  # bytes of one event; a video's state is one event
POLL_WAIT = 25


class EventSource(Protocol):
    """Interface of `StreamSource` and `PollSource`. `retry`: seconds before reconnecting, if given.

    `reached`: the newest cursor that came, also without an item.
    """

    retry: float | None
    reached: str | None

    async def receive(self) -> list[Item]: ...

    async def aclose(self) -> None: ...


def filters(behind: float, types: Sequence[str], rate: int | None) -> dict[str, str]:
    """Return the query parameters of a viewer so many seconds behind live, with only these types, and at most
    `rate` comments a second."""
    return (
        ({"behind": f"{behind:.3f}s"} if behind else {})
        | ({"types": ",".join(types)} if types else {})
        | ({"rate": str(rate)} if rate is not None else {})
    )


class StreamSource:
    """`GET …/events` as Server-Sent Events. `ready_within` bounds the wait for the first item, in seconds."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        video: str,
        cursor: str | None,
        tokens: Tokens,
        ready_within: float = SILENCE,
        behind: float = 0.0,
        types: Sequence[str] = (),
        rate: int | None = None,
    ) -> None:
        self.reached: str | None = None
        self._tokens = tokens
        self.retry: float | None = None
        self._client = client
        self._url = f"{url}/v1/videos/{quote(video, safe='')}/events"
        self._params = ({"cursor": cursor} if cursor else {}) | filters(behind, types, rate)
        self._deadline: float | None = anyio.current_time() + ready_within
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._parser = SSEParser(MAX_EVENT)

    async def receive(self) -> list[Item]:
        deadline = anyio.current_time() + SILENCE if self._deadline is None else self._deadline
        try:
            with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
                if self._chunks is None:
                    self._chunks = await self._open()
                chunk = await anext(self._chunks)
        except TimeoutError:
            raise TemporaryError("nothing was received for too long") from None
        except StopAsyncIteration:
            raise TemporaryError("the server ended the stream") from None
        except httpx.TransportError as error:
            raise failure(error) from error
        try:
            parsed = self._parser.feed(chunk)
        except SSEError as error:
            raise TemporaryError(str(error)) from error
        if self._parser.retry is not None:
            self.retry = bounded(self._parser.retry / 1000)
        self.reached = self._parser.last_id or self.reached
        items: list[Item] = []
        for event in parsed:
            try:
                items += from_stream(*event)
            except ProtocolError:
                # Before `ready`, it is another server's stream.
                if self._deadline is not None and not items:
                    raise
                items.append(Gap(event.id))
        if items:
            self._deadline = None
        return items

    async def _open(self) -> AsyncIterator[bytes]:
        request = self._client.build_request(
            "GET",
            self._url,
            params=self._params,
            headers={
                "accept": "text/event-stream",
                "accept-encoding": "identity",  # a compressor would delay events
                "cache-control": "no-store",
                **await self._tokens.headers(),
            },
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
        )
        self._response = await self._client.send(request, stream=True)
        await expect_success(self._response)
        kind = self._response.headers.get("content-type", "nothing").partition(";")[0]
        if kind != "text/event-stream":
            raise TemporaryError(f"the answer is {kind}, not an event stream")
        return self._response.aiter_bytes()

    async def aclose(self) -> None:
        if self._chunks is not None:
            # httpx reads through half a dozen nested generators. Cancelling the innermost read ends all
            # of them in order; closed from outside, they would be left to the garbage collector.
            with anyio.CancelScope() as scope, suppress(httpx.HTTPError):
                scope.cancel()
                async for _ in self._chunks:
                    pass
        if self._response is not None:
            await self._response.aclose()


class PollSource:
    """Repeated `GET …/poll`. The first one is answered at once, and yields a `Ready`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
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
        self._client = client
        self._url = f"{url}/v1/videos/{quote(video, safe='')}/poll"
        self._cursor = cursor
        self._filters = filters(behind, types, rate)
        self._ready = False

    async def receive(self) -> list[Item]:
        params = ({"cursor": self._cursor} if self._cursor else {}) | self._filters
        params["wait"] = str(POLL_WAIT if self._ready else 0)
        headers = await self._tokens.headers()
        try:
            with anyio.fail_after(SILENCE):
                response = await self._client.get(
                    self._url,
                    params=params,
                    headers=headers,
                    timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
                )
        except TimeoutError:
            raise TemporaryError("the long-poll was not answered in time") from None
        except httpx.TransportError as error:
            raise failure(error) from error
        await expect_success(response)
        page = from_page(response.content)
        items: list[Item] = []
        if not self._ready:
            resumes = self._cursor is not None and self._cursor not in _WORDS
            # Before the page's events, the position is still that of the request.
            here = self._cursor if resumes else None if page.events else page.cursor
            items.append(Ready(here, None, resumes and not page.gap, page.gap, page.skipped))
            self._ready = True
        if page.gap:
            items.append(Gap(None if page.events else page.cursor))
        if page.state:
            items.append(State(None if page.events else page.cursor, page.state))
        items += page.events
        if page.omitted:
            items.append(Omitted(page.omitted, page.cursor))
        self._cursor = self.reached = page.cursor
        return items

    async def aclose(self) -> None:
        """Do nothing: between two polls there is only the client's pool."""
