"""The bus of a single process: no Redis, no set-up.

Rules, beside the interface's:

1. `append` does not switch tasks, so a request is atomic.
2. Memory is bounded without a background task: everything that grows is kept in order of expiry, and each
   append first removes what has expired, at most once in `EXPIRY`. A video that is quiet for
   `history.idle_ttl` and has no subscription is removed, and begins a new epoch if it is used again.
3. The row of a node without an inbox here is removed, as over Redis.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
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
from liveserver.bus.memory.activity import Activity
from liveserver.bus.memory.coordination import MemoryCoordination
from liveserver.bus.memory.hook_queue import MemoryHookQueue
from liveserver.bus.memory.mailboxes import Mailboxes
from liveserver.bus.memory.video_log import VideoLog
from liveserver.config import HistorySettings
from liveserver.event import Batch
from liveserver.instruments import gauge, total
from liveserver.viewer_count import ViewerCount

EXPIRY = 0.01  # seconds between two removals of expired entries, when appends follow each other closely
TOKENS = 10_000  # the latest requests, which are recognised when they are appended again
_NONE: frozenset[int] = frozenset()


class MemoryStatistics(msgspec.Struct, frozen=True):
    """What the bus holds at the moment, and the batches it has dropped."""

    videos: Annotated[int, gauge("Videos in the bus' memory.")]
    ids: Annotated[int, gauge("Publishers' ids remembered for deduplication (history.dedup_window).")]
    tokens: Annotated[int, gauge("Append requests remembered for deduplication.")]
    dropped: Annotated[int, total("Batches dropped as an inbox was full; read from the log instead.")]


class MemoryBus(MemoryCoordination):
    """A `Bus` within one process. `clock` gives seconds; Trio's own by default, virtual in tests."""

    def __init__(
        self,
        datacenter: str,
        history: HistorySettings,
        inbox_batches: int,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        super().__init__(clock)
        self.datacenter = datacenter
        self._settings = history
        self._videos: OrderedDict[str, VideoLog] = OrderedDict()  # least recently active first
        self._ids: deque[tuple[float, set[str], str]] = deque()  # with the end of their window
        self._tokens: deque[tuple[dict[str, AppendResult], str]] = deque()
        self._expired_at = -math.inf
        self._mailboxes = Mailboxes(inbox_batches)
        self._active = Activity()  # videos by their last append
        self._relayed = Activity()  # the same of what was relayed here
        self._untrimmed = Activity()  # the same of all whose logs may hold events that are to be dropped
        self._watched = Activity()  # videos by the last report of viewers
        self._left = Activity()  # and by the last report that there are none any more
        self._hook_queue: MemoryHookQueue | None = None

    async def append(self, requests: Sequence[AppendRequest]) -> list[AppendResult]:
        now = self._clock()
        self._expire_tokens()
        if not self._expired_at <= now < self._expired_at + EXPIRY:
            self._expire(now)
        return [self._append(request, now) for request in requests]

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
            (self._watched if viewers else self._left).note(name, now)
            is_announced = self._announce(video, now, lease)
            state = video.state.lines() if name in opening else []
            leases[name] = Lease(video.head, video.counting.announced, is_announced, state)
        return leases

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        await trio.lowlevel.checkpoint()
        for name in videos:
            if video := self._videos.get(name):
                video.nodes.pop(node, None)
            self._left.note(name, self._clock())

    async def read(self, video: str, after: int, limit: int) -> Slice:
        return (await self.read_several({video: after}, limit))[video]

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        return {
            name: self._open(name, now, quiet=True).read(last, limit, now) for name, last in after.items()
        }

    async def relay(self, batches: Sequence[ReplicationBatch]) -> list[ReplicaPosition]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        positions = []
        for batch in batches:
            video = self._open(batch.video, now, quiet=not batch.lines)
            if (appended := video.replicate(batch, now)) is not None:
                self._forward(video, appended, now)
                self._relayed.note(batch.video, now)
                self._untrimmed.note(batch.video, now)
            positions.append(video.position(batch.origin))
        return positions

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        return (self._relayed if relayed else self._active).since(since, limit, now)

    async def watched_since(self, since: int, limit: int, *, left: bool = False) -> ActiveVideos:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        return (self._left if left else self._watched).since(since, limit, now)

    async def state(self, video: str) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        known = self._videos.get(video)
        return known.state.lines() if known and known.keep_until > self._clock() else []

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        return {video: await self.state(video) for video in videos}

    async def hold_back(self, videos: Collection[str], seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        until = self._clock() + seconds
        for name in videos:
            if (video := self._videos.get(name)) is not None:
                video.held_until = max(video.held_until, until)

    async def merge_states(self, states: Mapping[str, Sequence[bytes]]) -> None:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        for video, lines in states.items():
            for line in lines:
                self._open(video, now).state.fold_relayed(line)

    async def answers(self, video: str, question: str) -> tuple[dict[str, bytes], frozenset[str]]:
        await trio.lowlevel.checkpoint()
        now, known = self._clock(), self._videos.get(video)
        nodes = known.nodes if known is not None else {}
        alive = frozenset(node for node, (lease_end, _) in nodes.items() if lease_end > now)
        return self.answers_of_nodes(video, question), alive

    async def count(self, video: str) -> ViewerCount:
        await trio.lowlevel.checkpoint()
        known = self._videos.get(video)
        return (
            known.counting.count(known.nodes, self._clock()) if known else ViewerCount(video, self.datacenter)
        )

    async def counts(self, videos: Collection[str]) -> dict[str, ViewerCount]:
        return {video: await self.count(video) for video in videos}

    async def note_peer_counts(self, counts: Sequence[ViewerCount]) -> list[bool]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        announced = []
        for count in counts:
            video = self._open(count.video, now)
            video.counting.note_peer_count(count, now)
            (self._watched if count.datacenter else self._left).note(count.video, now)
            announced.append(self._announce(video, now, count.hold))
        return announced

    def inbox(
        self, node: str, on_viewer_count: Callable[[ViewerCount], None] = ignore
    ) -> AbstractAsyncContextManager[Inbox]:
        return self._mailboxes.inbox(node, on_viewer_count)

    def feed(
        self, on_viewer_count: Callable[[ViewerCount], None] = ignore
    ) -> AbstractAsyncContextManager[Inbox]:
        return self._mailboxes.feed(on_viewer_count)

    def hook_queue(self, ttl: float, limit: int) -> MemoryHookQueue:
        """Return the queues of hooks, which end with the process: `limit` messages for an endpoint."""
        if self._hook_queue is None:
            self._hook_queue = MemoryHookQueue(self._clock, limit)
        self._hook_queue.limit = limit
        return self._hook_queue

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    def statistics(self) -> MemoryStatistics:
        return MemoryStatistics(len(self._videos), len(self._ids), len(self._tokens), self._mailboxes.dropped)

    def _append(self, request: AppendRequest, now: float) -> AppendResult:
        video = self._open(request.video, now)
        if answered := video.tokens.get(request.token):
            return answered
        lines, duplicates, stale = request.lines, _NONE, _NONE
        first, number = video.offset + 1, video.next_number
        if request.is_keyed and not video.state.has_room(lines, now):
            return AppendResult(video.epoch, first, number, _NONE, video.cursor, is_full=True)
        if request.is_keyed or any(request.ids):
            lines, duplicates, stale = self._without_repeats(video, request, now)
        if lines:
            batch = video.append(lines, now)
            self._mailboxes.put_into_feeds(batch)
            self._forward(video, batch, now)
            self._active.note(request.video, now)
            self._untrimmed.note(request.video, now)
        held = video.held_until and max(video.held_until - now, 0.0)
        result = AppendResult(video.epoch, first, number, duplicates, video.cursor, stale, held=held)
        video.tokens[request.token] = result
        self._tokens.append((video.tokens, request.token))
        return result

    def _without_repeats(
        self, video: VideoLog, request: AppendRequest, now: float
    ) -> tuple[list[bytes], frozenset[int], frozenset[int]]:
        """Fold the keyed events; return the lines to append, and the indexes of duplicates and stale
        events.
        """
        lines, duplicates, stale = [], [], []
        for index, name in enumerate(request.ids):
            if name and name in video.ids:
                duplicates.append(index)
                continue
            if name:
                video.ids.add(name)
                self._ids.append((now + self._settings.dedup_window, video.ids, name))
            line = request.lines[index]
            if request.is_keyed and not video.state.fold(line):
                stale.append(index)
                continue
            lines.append(line)
        return lines, frozenset(duplicates), frozenset(stale)

    def _forward(self, video: VideoLog, batch: Batch, now: float) -> None:
        dead = [
            node
            for node, (lease_end, _) in video.nodes.items()
            if lease_end <= now or not self._mailboxes.put(node, batch)
        ]
        for node in dead:
            del video.nodes[node]

    def _announce(self, video: VideoLog, now: float, hold: float) -> bool:
        """Announce the viewer count if it has changed; return False if it is too early."""
        if video.counting.is_early(now):
            return False
        count, is_new, for_feed = video.counting.announce(video.nodes, now, hold)
        alive = [node for node, (lease_end, _) in video.nodes.items() if lease_end > now] if is_new else []
        self._mailboxes.put_count(alive, count, into_feeds=for_feed)
        return True

    def _open(self, name: str, now: float, *, quiet: bool = False) -> VideoLog:
        """Return the video; a new one if there is none or it has expired.

        This extends its life, unless `quiet`.
        """
        video = self._videos.get(name)
        if video is None or video.keep_until <= now:
            video = self._videos[name] = VideoLog(name, self.datacenter, self._settings)
        elif quiet:
            return video
        self._videos.move_to_end(name)
        video.keep_until = max(video.keep_until, now + self._settings.idle_ttl)
        return video

    def _expire_tokens(self) -> None:
        while len(self._tokens) > TOKENS:
            tokens, token = self._tokens.popleft()
            tokens.pop(token, None)

    def _expire(self, now: float) -> None:
        self._expired_at = now
        self._expire_tokens()
        while self._ids and self._ids[0][0] <= now:
            _, ids, name = self._ids.popleft()
            ids.discard(name)
        while self._videos:
            name, video = next(iter(self._videos.items()))
            if video.keep_until > now:
                break
            del self._videos[name]
        for name in self._untrimmed.expire(now - self._settings.max_age):  # of quiet videos, too
            if name in self._videos:
                self._videos[name].trim(now)
        for moved in (self._active, self._relayed, self._watched, self._left):
            moved.expire(now - self._settings.idle_ttl)
