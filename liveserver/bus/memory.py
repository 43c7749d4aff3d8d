"""The bus of a single process: no Redis, no set-up.

Rules, beside the interface's:

1. `append` is synchronous inside: no task switch, so a parcel is atomic by itself.
2. Memory is bounded without a task: whatever grows is kept in the order in which it ends, and each
   append first lets go what has ended at the front. A video that is quiet for `log.idle` and that
   nobody is subscribed to goes whole, and begins a new epoch should it come back.
3. A row whose node listens to no inbox here is pruned, as over Redis.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain

import msgspec
import trio

from liveserver.bus.interface import Head, Inbox, Parcel, Receipt, Slice
from liveserver.bus.mailbox import Mailbox
from liveserver.config import LogSettings
from liveserver.cursor import Cursor, Mark
from liveserver.event import Batch

TOKENS = 10_000  # parcels that are recognised when they are appended again: the newest
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_NO_DUPLICATES: frozenset[int] = frozenset()


def new_epoch() -> str:
    """A name for a log's new life. Of 60 million, so that no video meets one of its own twice."""
    return "".join(random.choices(_ALPHABET, k=5))


class MemoryStatistics(msgspec.Struct, frozen=True):
    """What the bus holds now; `dropped` counts batches for which an inbox had no room, since the start."""

    videos: int
    ids: int
    tokens: int
    dropped: int


class _Video:
    """One video: its log, what is known by id, and who watches."""

    __slots__ = ("batches", "cursor", "epoch", "ids", "keep_until", "name", "nodes", "offset", "tokens")

    def __init__(self, name: str, origin: str) -> None:
        self.name = name
        self.epoch = new_epoch()
        self.offset = 0
        self.cursor = Cursor(((origin, Mark(self.epoch, 0)),))
        self.keep_until = 0.0
        self.batches: deque[tuple[float, Batch]] = deque()  # each with the time of its append
        self.ids: set[str] = set()
        self.tokens: dict[str, Receipt] = {}
        self.nodes: dict[str, tuple[float, int]] = {}  # node → end of its lease, viewers

    @property
    def head(self) -> Head:
        return Head(self.epoch, self.offset, self.cursor)


class MemoryBus:
    """A `Bus` within one process. `clock` gives seconds; Trio's own by default, virtual in tests."""

    def __init__(
        self,
        datacenter: str,
        log: LogSettings,
        inbox_batches: int,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._datacenter = datacenter
        self._settings = log
        self._inbox_batches = inbox_batches
        self._clock = clock
        self._videos: OrderedDict[str, _Video] = OrderedDict()  # the longest quiet first
        self._ids: deque[tuple[float, set[str], str]] = deque()  # with the end of their window
        self._tokens: deque[tuple[dict[str, Receipt], str]] = deque()
        self._inboxes: dict[str, list[Mailbox]] = {}
        self._feeds: list[Mailbox] = []
        self._dropped = 0  # by inboxes that are closed

    async def append(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        now = self._clock()
        self._expire(now)
        return [self._append(parcel, now) for parcel in parcels]

    async def subscribe(self, node: str, videos: Mapping[str, int], lease: float) -> dict[str, Head]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        heads = {}
        for name, viewers in videos.items():
            video = self._open(name, now)
            video.nodes[node] = (now + lease, viewers)
            video.keep_until = max(video.keep_until, now + lease)
            heads[name] = video.head
        return heads

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        await trio.lowlevel.checkpoint()
        for name in videos:
            if video := self._videos.get(name):
                video.nodes.pop(node, None)

    async def read(self, video: str, after: int, limit: int) -> Slice:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        log = self._open(video, now, quiet=True)
        self._trim(log, now)
        oldest = log.offset + 1
        if log.batches:
            oldest = max(log.batches[0][1].first, log.offset - self._settings.events + 1)
        first, last = max(after + 1, oldest), min(after + limit, log.offset)
        stretch: list[Batch] = []
        for _, batch in log.batches:
            if batch.last < first or batch.first > last:
                continue
            skip = max(0, first - batch.first)
            lines = batch.lines[skip : last - batch.first + 1]
            number = batch.number + skip
            if stretch and _goes_on(stretch[-1], batch, number):
                stretch[-1].lines.extend(lines)
            else:
                stretch.append(
                    msgspec.structs.replace(batch, first=batch.first + skip, number=number, lines=list(lines))
                )
        return Slice(log.head, oldest, stretch)

    @asynccontextmanager
    async def inbox(self, node: str) -> AsyncIterator[Inbox]:
        listeners = self._inboxes.setdefault(node, [])
        try:
            async with self._listening(listeners) as mailbox:
                yield mailbox
        finally:
            if not listeners:
                self._inboxes.pop(node, None)

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[Inbox]:
        async with self._listening(self._feeds) as mailbox:
            yield mailbox

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    def statistics(self) -> MemoryStatistics:
        listening = chain(self._feeds, *self._inboxes.values())
        dropped = self._dropped + sum(mailbox.statistics().dropped for mailbox in listening)
        return MemoryStatistics(len(self._videos), len(self._ids), len(self._tokens), dropped)

    def _append(self, parcel: Parcel, now: float) -> Receipt:
        video = self._open(parcel.video, now)
        if answered := video.tokens.get(parcel.token):
            return answered
        lines, duplicates = parcel.lines, _NO_DUPLICATES
        if any(parcel.ids):
            lines, duplicates = self._without_duplicates(video, parcel, now)
        mark = video.cursor.get(self._datacenter)
        first, number = video.offset + 1, (mark.number if mark else 0) + 1
        if lines:
            batch = Batch(parcel.video, video.epoch, first, self._datacenter, video.epoch, number, lines)
            video.batches.append((now, batch))
            video.offset += len(lines)
            video.cursor = video.cursor.advanced(self._datacenter, video.epoch, number + len(lines) - 1)
            self._trim(video, now)
            self._forward(video, batch, now)
        receipt = Receipt(video.epoch, first, number, duplicates, video.cursor)
        video.tokens[parcel.token] = receipt
        self._tokens.append((video.tokens, parcel.token))
        return receipt

    def _without_duplicates(
        self, video: _Video, parcel: Parcel, now: float
    ) -> tuple[list[bytes], frozenset[int]]:
        lines, duplicates = [], []
        for index, name in enumerate(parcel.ids):
            if name and name in video.ids:
                duplicates.append(index)
                continue
            if name:
                video.ids.add(name)
                self._ids.append((now + self._settings.ids, video.ids, name))
            lines.append(parcel.lines[index])
        return lines, frozenset(duplicates)

    def _forward(self, video: _Video, batch: Batch, now: float) -> None:
        for mailbox in self._feeds:
            mailbox.put((batch,))
        dead = []
        for node, (lease_end, _) in video.nodes.items():
            listeners = self._inboxes.get(node)
            if listeners is None or lease_end <= now:
                dead.append(node)
                continue
            for mailbox in listeners:
                mailbox.put((batch,))
        for node in dead:
            del video.nodes[node]

    def _open(self, name: str, now: float, *, quiet: bool = False) -> _Video:
        """The video, made anew if it is not there or has been quiet for too long.

        This counts as a sign of life, unless `quiet`.
        """
        video = self._videos.get(name)
        if video is None or video.keep_until <= now:
            video = self._videos[name] = _Video(name, self._datacenter)
        elif quiet:
            return video
        self._videos.move_to_end(name)
        video.keep_until = max(video.keep_until, now + self._settings.idle)
        return video

    def _trim(self, video: _Video, now: float) -> None:
        """By whole batches: what length cuts inside of one, `read` leaves out."""
        batches, last_gone = video.batches, video.offset - self._settings.events
        while batches and (batches[0][1].last <= last_gone or batches[0][0] <= now - self._settings.age):
            batches.popleft()

    def _expire(self, now: float) -> None:
        while len(self._tokens) > TOKENS:
            tokens, token = self._tokens.popleft()
            tokens.pop(token, None)
        while self._ids and self._ids[0][0] <= now:
            _, ids, name = self._ids.popleft()
            ids.discard(name)
        while self._videos:
            name, video = next(iter(self._videos.items()))
            if video.keep_until > now:
                break
            del self._videos[name]

    @asynccontextmanager
    async def _listening(self, listeners: list[Mailbox]) -> AsyncIterator[Mailbox]:
        mailbox = Mailbox(self._inbox_batches)
        listeners.append(mailbox)
        try:
            yield mailbox
        finally:
            listeners.remove(mailbox)
            mailbox.close()
            self._dropped += mailbox.statistics().dropped


def _goes_on(before: Batch, batch: Batch, number: int) -> bool:
    """Whether `batch`, from the origin's `number` on, continues the batch before it."""
    return (
        before.origin == batch.origin
        and before.origin_epoch == batch.origin_epoch
        and before.number + len(before.lines) == number
    )
