"""The bus of a single process: no Redis, no set-up.

Rules, beside the interface's:

1. `append` is synchronous inside: no task switch, so a parcel is atomic by itself.
2. Memory is bounded without a task: whatever grows is kept in the order in which it ends, and each
   append first lets go what has ended at the front. A video that is quiet for `history.idle_ttl` and that
   nobody is subscribed to goes whole, and begins a new epoch should it come back.
3. A row whose node listens to no inbox here is pruned, as over Redis.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Annotated

import msgspec
import trio

from liveserver.bus.interface import (
    ActiveVideos,
    AppendRequest,
    AppendResult,
    Inbox,
    Lease,
    ReplicaPosition,
    ReplicationBatch,
    Slice,
    ignore,
)
from liveserver.bus.mailbox import Mailbox
from liveserver.bus.memory.video_log import VideoLog
from liveserver.config import HistorySettings
from liveserver.event import Batch
from liveserver.instruments import gauge, total
from liveserver.viewer_count import ViewerCount

TOKENS = 10_000  # parcels that are recognised when they are appended again: the newest
_NONE: frozenset[int] = frozenset()


class MemoryStatistics(msgspec.Struct, frozen=True):
    """What the bus holds now, and what it dropped since the start."""

    videos: Annotated[int, gauge("Videos the bus remembers.")]
    ids: Annotated[int, gauge("Publishers' ids it remembers (history.dedup_window).")]
    tokens: Annotated[int, gauge("Parcels it remembers.")]
    dropped: Annotated[int, total("Batches for which an inbox had no room; read from the log instead.")]


class MemoryBus:
    """A `Bus` within one process. `clock` gives seconds; Trio's own by default, virtual in tests."""

    def __init__(
        self,
        datacenter: str,
        history: HistorySettings,
        inbox_batches: int,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.datacenter = datacenter
        self._settings = history
        self._inbox_batches = inbox_batches
        self._clock = clock
        self._videos: OrderedDict[str, VideoLog] = OrderedDict()  # the longest quiet first
        self._ids: deque[tuple[float, set[str], str]] = deque()  # with the end of their window
        self._tokens: deque[tuple[dict[str, AppendResult], str]] = deque()
        self._inboxes: dict[str, list[Mailbox]] = {}
        self._feeds: list[Mailbox] = []
        self._active: OrderedDict[str, float] = OrderedDict()  # video → last append, the longest ago first
        self._groups: dict[str, dict[str, float]] = {}  # group → node → end of its lease
        self._dropped = 0  # by inboxes that are closed

    async def append(self, parcels: Sequence[AppendRequest]) -> list[AppendResult]:
        now = self._clock()
        self._expire(now)
        return [self._append(parcel, now) for parcel in parcels]

    async def subscribe(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        leases = {}
        for name, viewers in videos.items():
            video = self._open(name, now)
            video.nodes[node] = (now + lease, viewers)
            video.keep_until = max(video.keep_until, now + lease)
            is_announced = self._announce(video, now, lease)
            state = video.state.lines() if name in opening else []
            leases[name] = Lease(video.head, video.counting.said, is_announced, state)
        return leases

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        await trio.lowlevel.checkpoint()
        for name in videos:
            if video := self._videos.get(name):
                video.nodes.pop(node, None)

    async def read(self, video: str, after: int, limit: int) -> Slice:
        return (await self.read_several({video: after}, limit))[video]

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        return {
            name: self._open(name, now, quiet=True).read(last, limit, now) for name, last in after.items()
        }

    async def relay(self, parcels: Sequence[ReplicationBatch]) -> list[ReplicaPosition]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        standings = []
        for parcel in parcels:
            video = self._open(parcel.video, now, quiet=not parcel.lines)
            if (batch := video.take(parcel, now)) is not None:
                self._forward(video, batch, now)
            standings.append(video.standing(parcel.origin))
        return standings

    async def active_since(self, since: int, limit: int) -> ActiveVideos:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        active = [(name, _ms(at)) for name, at in self._active.items() if _ms(at) >= since]
        upto = active[min(limit, len(active)) - 1][1] if active else since
        if len(active) > limit:
            active = [(name, at) for name, at in active if at <= upto]
        return ActiveVideos([name for name, _ in active], upto, _ms(now))

    async def enlist(self, group: str, node: str, lease: float) -> list[str]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        living = {name: end for name, end in self._groups.get(group, {}).items() if end > now}
        self._groups[group] = living | {node: now + lease}
        return sorted(self._groups[group])

    async def resign(self, group: str, node: str) -> None:
        await trio.lowlevel.checkpoint()
        self._groups.get(group, {}).pop(node, None)

    async def state(self, video: str) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        known = self._videos.get(video)
        return known.state.lines() if known and known.keep_until > self._clock() else []

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        return {video: await self.state(video) for video in videos}

    async def merge_states(self, states: Mapping[str, Sequence[bytes]]) -> None:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        for video, lines in states.items():
            for line in lines:
                self._open(video, now).state.fold_relayed(line)

    async def count(self, video: str) -> ViewerCount:
        await trio.lowlevel.checkpoint()
        known = self._videos.get(video)
        return (
            known.counting.count(known.nodes, self._clock()) if known else ViewerCount(video, self.datacenter)
        )

    async def note(self, tallies: Sequence[ViewerCount]) -> list[bool]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        announced = []
        for tally in tallies:
            video = self._open(tally.video, now)
            video.counting.note(tally, now)
            announced.append(self._announce(video, now, tally.hold))
        return announced

    @asynccontextmanager
    async def inbox(self, node: str, hear: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        listeners = self._inboxes.setdefault(node, [])
        try:
            async with self._listening(listeners, hear) as mailbox:
                yield mailbox
        finally:
            if not listeners:
                self._inboxes.pop(node, None)

    @asynccontextmanager
    async def feed(self, hear: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        async with self._listening(self._feeds, hear) as mailbox:
            yield mailbox

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    def statistics(self) -> MemoryStatistics:
        listening = chain(self._feeds, *self._inboxes.values())
        dropped = self._dropped + sum(mailbox.statistics().dropped for mailbox in listening)
        return MemoryStatistics(len(self._videos), len(self._ids), len(self._tokens), dropped)

    def _append(self, parcel: AppendRequest, now: float) -> AppendResult:
        video = self._open(parcel.video, now)
        if answered := video.tokens.get(parcel.token):
            return answered
        lines, duplicates, stale = parcel.lines, _NONE, _NONE
        first, number = video.offset + 1, video.next_number
        if parcel.is_keyed and not video.state.has_room(lines, now):
            return AppendResult(video.epoch, first, number, _NONE, video.cursor, is_full=True)
        if parcel.is_keyed or any(parcel.ids):
            lines, duplicates, stale = self._without_repeats(video, parcel, now)
        if lines:
            batch = video.append(lines, now)
            for mailbox in self._feeds:
                mailbox.put((batch,))
            self._forward(video, batch, now)
            self._active[parcel.video] = now
            self._active.move_to_end(parcel.video)
        receipt = AppendResult(video.epoch, first, number, duplicates, video.cursor, stale)
        video.tokens[parcel.token] = receipt
        self._tokens.append((video.tokens, parcel.token))
        return receipt

    def _without_repeats(
        self, video: VideoLog, parcel: AppendRequest, now: float
    ) -> tuple[list[bytes], frozenset[int], frozenset[int]]:
        """Fold the keyed events; return the lines to append, the duplicates and what is stale."""
        lines, duplicates, stale = [], [], []
        for index, name in enumerate(parcel.ids):
            if name and name in video.ids:
                duplicates.append(index)
                continue
            if name:
                video.ids.add(name)
                self._ids.append((now + self._settings.dedup_window, video.ids, name))
            line = parcel.lines[index]
            if parcel.is_keyed and not video.state.fold(line):
                stale.append(index)
                continue
            lines.append(line)
        return lines, frozenset(duplicates), frozenset(stale)

    def _forward(self, video: VideoLog, batch: Batch, now: float) -> None:
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

    def _announce(self, video: VideoLog, now: float, hold: float) -> bool:
        """Tell who watches, if that is news; False when it is too early to say."""
        if video.counting.is_early(now):
            return False
        tally, is_new, for_feed = video.counting.announce(video.nodes, now, hold)
        heard = [self._feeds] if for_feed else []
        if is_new:
            alive = (node for node, (lease_end, _) in video.nodes.items() if lease_end > now)
            heard += [self._inboxes.get(node, []) for node in alive]
        for mailbox in chain(*heard):
            mailbox.pin((tally,))
        return True

    def _open(self, name: str, now: float, *, quiet: bool = False) -> VideoLog:
        """The video, made anew if it is not there or has been quiet for too long.

        This counts as a sign of life, unless `quiet`.
        """
        video = self._videos.get(name)
        if video is None or video.keep_until <= now:
            video = self._videos[name] = VideoLog(name, self.datacenter, self._settings)
        elif quiet:
            return video
        self._videos.move_to_end(name)
        video.keep_until = max(video.keep_until, now + self._settings.idle_ttl)
        return video

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
        while self._active and next(iter(self._active.values())) <= now - self._settings.idle_ttl:
            self._active.popitem(last=False)

    @asynccontextmanager
    async def _listening(
        self, listeners: list[Mailbox], hear: Callable[[ViewerCount], None]
    ) -> AsyncIterator[Mailbox]:
        mailbox = Mailbox(self._inbox_batches, hear=hear)
        listeners.append(mailbox)
        try:
            yield mailbox
        finally:
            listeners.remove(mailbox)
            mailbox.close()
            self._dropped += mailbox.statistics().dropped


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
