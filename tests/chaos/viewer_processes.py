"""Publishers and viewers while faults are injected, and what they record for the checker.

An event's `user` is its key: unique, and known to the publisher also where the dispatcher makes the id.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from typing import Literal

import httpx
import msgspec
import trio

from liveserver.client import Disconnected, Event, Gap, Item, Ready, watch
from liveserver.cursor import Cursor
from tests.chaos import history
from tests.chaos.history import Diary, Place, Request

ANSWER = 6.0  # seconds a publisher waits
ORIGIN = "dc1"


class Receipt(msgspec.Struct):
    accepted: int
    duplicates: int
    cursor: str


class Notes:
    """What all of them write down. `tick` orders it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.diaries: list[Diary] = []
        self.complaints: list[str] = []
        self.unconfirmed = 0  # restarts of Redis that not every process may have confirmed: see `History`
        self.reconnects = 0
        self.attempts = 0
        self._tick = 0

    def tick(self) -> int:
        self._tick += 1
        return self._tick

    def send(self, video: str, keys: list[str]) -> Request:
        request = Request(video, keys, self.tick())
        self.requests.append(request)
        return request


def place(cursor: str | None) -> Place | None:
    if not cursor:
        return None
    mark = Cursor.parse(cursor).get(ORIGIN)
    return mark and Place(*mark)


def client(receive_buffer: int = 0) -> httpx.AsyncClient:
    """A client with connections of its own; with a small buffer, one that soon holds the server up."""
    options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)] if receive_buffer else None
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(verify=False, socket_options=options), trust_env=False
    )


class Publisher:
    """Publishes to `videos` at random until `rest` is called: batches and singles, with ids and without."""

    def __init__(
        self, name: str, notes: Notes, urls: Sequence[str], videos: Sequence[str], rng: random.Random
    ) -> None:
        self.name = name
        self.pause = 0.08  # seconds between two requests, at most
        self.padding = 0  # bytes more in each event
        self.most = 20  # events in a batch
        self.impatient = False  # goes away before the answer, now and then
        self._notes = notes
        self._urls = list(urls)
        self._videos = videos
        self._rng = rng
        self._count = 0
        self._resting = False

    def rest(self) -> None:
        """No new requests; those under way are brought to an end."""
        self._resting = True

    async def run(self) -> None:
        rng = self._rng
        async with client() as http:
            while not self._resting:
                size = rng.randint(2, self.most) if rng.random() < 0.5 else 1
                own_ids = self.impatient or rng.random() < 0.7
                await self.publish(http, rng.choice(self._videos), size, own_ids=own_ids)
                await trio.sleep(rng.uniform(0, self.pause))

    async def publish(self, http: httpx.AsyncClient, video: str, size: int, *, own_ids: bool) -> None:
        """One request, repeated until it is answered if it has ids of its own."""
        keys = [f"{self.name}-{self._count + number}" for number in range(size)]
        self._count += size
        events = [{"type": "like", "user": key} for key in keys]
        if own_ids:
            events = [{**event, "id": event["user"]} for event in events]
        if self.padding:
            events = [{**event, "data": "x" * self.padding} for event in events]
        body = msgspec.json.encode(events if size > 1 else events[0])
        request = self._notes.send(video, keys)
        while True:
            patience_left = (
                self._rng.uniform(0, 0.02) if self.impatient and self._rng.random() < 0.5 else ANSWER
            )
            receipt = await self._attempt(http, self._rng.choice(self._urls), video, body, patience_left)
            if receipt is not None:
                request.accepted, request.duplicates = receipt.accepted, receipt.duplicates
                request.end = place(receipt.cursor)
                request.answered = self._notes.tick()
                return
            if not own_ids:
                return  # it may have been accepted or not
            await trio.sleep(self._rng.uniform(0.05, 0.3))

    async def _attempt(
        self, http: httpx.AsyncClient, url: str, video: str, body: bytes, patience: float
    ) -> Receipt | None:
        self._notes.attempts += 1
        with trio.move_on_after(patience):
            try:
                response = await http.post(
                    f"{url}/v1/videos/{video}/events",
                    content=body,
                    headers={"content-type": "application/json"},
                    timeout=None,
                )
            except httpx.TransportError:
                return None
            if response.status_code == 202:
                return msgspec.json.decode(response.content, type=Receipt)
            if response.status_code != 503:
                self._notes.complaints.append(
                    f"{self.name} was answered {response.status_code}: {response.text[:200]}"
                )
        return None


class Viewer:
    """Watches `video` at `urls`, the first of them first.

    With `hops` it goes elsewhere now and then; while it `stalls` it reads nothing on now and then.
    """

    def __init__(
        self,
        name: str,
        notes: Notes,
        urls: Sequence[str],
        video: str,
        transport: Literal["sse", "poll", "ws"],
        rng: random.Random,
        *,
        hops: bool = False,
        stalls: bool = False,
    ) -> None:
        self.diary = Diary(f"{name} ({transport}{', hopping' * hops}{', stalling' * stalls})", video)
        self.ready = trio.Event()
        self.hops = hops
        self.stalls = stalls
        self.away = 0.0  # seconds between two watchings, at most
        self.heard: set[str] = set()
        self.gaps = 0
        self.last_loss = ""
        self._notes = notes
        self._urls = list(urls)
        self._transport = transport
        self._rng = rng
        self._heard_more = trio.Event()
        notes.diaries.append(self.diary)

    async def wait_heard(self, key: str) -> None:
        while key not in self.heard:
            await self._heard_more.wait()

    async def run(self) -> None:
        """Until cancelled."""
        cursor: str | None = None
        async with client(128 * 1024 if self.stalls else 0) as http:
            while True:
                async with watch(
                    self._urls, self.diary.video, cursor=cursor, transport=self._transport, client=http
                ) as items:
                    go_at = trio.current_time() + (self._rng.uniform(0.2, 2) if self.hops else float("inf"))
                    async for item in items:
                        self._note(item)
                        cursor = items.cursor
                        # Inside of what a long-poll or a message brought there is no place to go on from.
                        if trio.current_time() > go_at and isinstance(item, Event) and item.cursor:
                            break
                        if self.stalls and self._rng.random() < 0.004:
                            await trio.sleep(self._rng.uniform(0.5, 2.5))
                self._rng.shuffle(self._urls)
                await trio.sleep(self._rng.uniform(0, self.away))

    def _note(self, item: Item) -> None:
        items = self.diary.items
        if isinstance(item, Event):
            key = item.user or f"without a key: {item.id}"
            items.append(history.Heard(item.video, key, place(item.cursor)))
            self.heard.add(key)
            self._heard_more.set()
            self._heard_more = trio.Event()
        elif isinstance(item, Gap):
            items.append(history.Gap(place(item.cursor)))
            self.gaps += 1
        elif isinstance(item, Ready):
            items.append(history.Ready(self._notes.tick(), place(item.cursor), item.resumed, item.gap))
            self.ready.set()
        elif isinstance(item, Disconnected):
            self._notes.reconnects += 1
            self.last_loss = item.reason
