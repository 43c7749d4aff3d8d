"""Clients over all transports that hop between frontends, read slowly, and resume with the last cursor."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
import trio
from wsproto.events import AcceptConnection

from liveserver.client.sse import SSEParser
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import Client, Stage
from tests.model.history import History
from tests.model.story import Story

TRANSPORTS = ("sse", "sse", "sse", "ndjson", "poll", "ws")


class Viewer:
    """A simulated viewer. `hop` ends its connection; it reconnects to any frontend over any transport."""

    def __init__(
        self, name: str, history: History, places: Sequence[tuple[str, Stage]], chance: random.Random
    ) -> None:
        self.story = Story(name, history)
        self.datacenter = ""
        self.is_paused = False
        self.is_hurried = False  # polls without a rest
        self._resumed = trio.Event()
        self._places = places
        self._chance = chance
        self._cursor = ""
        self._scope = trio.CancelScope()

    def hop(self) -> None:
        self._scope.cancel()

    def pause(self) -> None:
        if not self.is_paused:
            self.is_paused = True
            self._resumed = trio.Event()

    def go_on(self) -> None:
        self.is_paused = False
        self._resumed.set()

    async def run(self) -> None:
        while True:
            self.datacenter, on = self._chance.choice(self._places)
            transport = self._chance.choice(TRANSPORTS)
            what = f"--- {transport} at {on.frontend.node}, from {self._cursor or 'its beginning'}"
            self.story.begin(what, self.datacenter, trio.current_time())
            client = on.connect(
                send_buffer=self._chance.choice((0, 2048)), receive_buffer=self._chance.choice((0, 2048))
            )
            watch: Callable[[Client], Awaitable[None]] = getattr(self, f"_{transport}")
            with (
                trio.CancelScope() as self._scope,
                suppress(ConnectionEnded, BrokenPipeError, ConnectionResetError),
            ):
                await watch(client)
            client.sock.close()
            await trio.sleep(self._chance.choice((0.0, 0.1, 0.1, 2.0)))

    def _query(self) -> str:
        if self._cursor:
            return f"cursor={self._cursor}"
        return self._chance.choice(("cursor=now", "cursor=earliest", "replay=3"))

    async def _read(self, read: Callable[[], Awaitable[bool]]) -> None:
        """Receive more, once this viewer reads. Raises `ConnectionEnded`."""
        if self.is_paused:
            await self._resumed.wait()
        if not await read():
            raise ConnectionEnded

    async def _head(self, client: Client) -> bool:
        """Read the response's head; return whether it is a success."""
        while b"\r\n\r\n" not in client.raw:
            await self._read(client.more)
        return (await client.head()).startswith("HTTP/1.1 200 ")

    async def _chunk(self, client: Client) -> bytes:
        while True:
            size, found, rest = client.raw.partition(b"\r\n")
            if found and len(rest) >= int(size, 16) + 2:
                break
            await self._read(client.more)
        chunk = await client.chunk()
        if not chunk:
            raise ConnectionEnded
        return chunk

    async def _sse(self, client: Client) -> None:
        headers, query = [], self._query()
        if self._cursor and self._chance.random() < 0.5:
            headers, query = [f"Last-Event-ID: {self._cursor}"], "cursor=now"
        await client.get(f"/v1/videos/v/events?{query}", *headers)
        if not await self._head(client):
            return
        parser = SSEParser()
        while True:
            for event in parser.feed(await self._chunk(client)):
                self._frame(event.type, event.id, event.data.encode())

    async def _ndjson(self, client: Client) -> None:
        await client.get(f"/v1/videos/v/events?{self._query()}", "Accept: application/x-ndjson")
        if not await self._head(client):
            return
        while True:
            for line in (await self._chunk(client)).splitlines():
                if line:
                    frame = msgspec.json.decode(line)
                    self._frame(frame["event"], frame["cursor"] or "", msgspec.json.encode(frame["data"]))

    def _frame(self, kind: str, cursor: str, text: bytes) -> None:
        data = msgspec.json.decode(text)
        if kind == "ready":
            self.story.ready(cursor, resumed=data["resumed"], gap=data["gap"])
        elif kind == "gap":
            self.story.gap(cursor, trio.current_time())
        elif kind in ("viewers", "bye", "state"):
            self.story.notice(cursor, kind)
        else:
            self.story.event(data, cursor)
        self._cursor = cursor or self._cursor

    async def _poll(self, client: Client) -> None:
        while True:
            if self.is_paused:
                await self._resumed.wait()
            is_first = not self._cursor
            limit = self._chance.choice((1, 2, 5, 500))
            query = "cursor=now" if is_first else f"cursor={self._cursor}"
            await client.get(
                f"/v1/videos/v/poll?{query}&limit={limit}&wait={self._chance.choice((0, 3, 20))}"
            )
            if not await self._head_and_body(client):
                return
            page = msgspec.json.decode(self._body)
            self.story.page(page["cursor"], page["events"], gap=page["gap"], is_first=is_first)
            self._cursor = page["cursor"]
            await trio.sleep(0.001 if self.is_hurried else self._chance.choice((0.01, 0.3, 2.0)))

    async def _head_and_body(self, client: Client) -> bool:
        while b"\r\n\r\n" not in client.raw:
            await self._read(client.more)
        head = client.raw.partition(b"\r\n\r\n")[0]
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(client.raw) < len(head) + 4 + length:
            await self._read(client.more)
        self._body = client.raw[len(head) + 4 : len(head) + 4 + length]
        client.raw = client.raw[len(head) + 4 + length :]
        return head.startswith(b"HTTP/1.1 200 ")

    async def _ws(self, client: Client) -> None:
        socket = SocketClient(client)
        await socket.upgrade()
        if not isinstance(await socket.event(), AcceptConnection):
            return
        body: dict[str, object] = {"video": "v"}
        key, _, value = self._query().partition("=")
        body[key] = int(value) if key == "replay" else value
        await socket.say(subscribe=body)
        while True:
            if self.is_paused:
                await self._resumed.wait()
            message = await socket.next()
            if not isinstance(message, dict):
                return
            ((kind, value),) = message.items()
            if kind == "ready":
                self.story.ready(value["cursor"], resumed=value["resumed"], gap=value["gap"])
            elif kind == "gap":
                self.story.gap(value["cursor"], trio.current_time())
            elif kind == "events":
                for event in value["events"][:-1]:
                    self.story.event(event)
                self.story.event(value["events"][-1], value["cursor"])
            elif kind in ("bye", "error"):
                return
            if "cursor" in value:
                self._cursor = value["cursor"]


class ConnectionEnded(Exception):
    """The server has ended the connection."""
