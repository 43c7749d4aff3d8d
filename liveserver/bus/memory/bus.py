"""The bus of a single process: no Redis, no set-up.

Rules, beside the interface's:

1. `append` does not switch tasks, so a request is atomic.
2. Memory is bounded without a background task: everything that grows is kept in order of expiry, and each
   append first removes what has expired. A video that is quiet for `history.idle_ttl` and has no
   subscription is removed, and begins a new epoch if it is used again.
3. The row of a node without an inbox here is removed, as over Redis.
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
from liveserver.bus.memory.audiences import Audiences
from liveserver.bus.memory.hook_queue import MemoryHookQueue
from liveserver.bus.memory.video_log import VideoLog
from liveserver.config import HistorySettings
from liveserver.event import Batch
from liveserver.instruments import gauge, total
from liveserver.viewer_count import AudienceReport, AudienceSize, ViewerCount

HOLDS = 100_000  # names that are held at once; beyond it, those that end first are dropped
TOKENS = 10_000  # the latest requests, which are recognised when they are appended again
_NONE: frozenset[int] = frozenset()


class MemoryStatistics(msgspec.Struct, frozen=True):
    """What the bus holds at the moment, and the batches it has dropped."""

    videos: Annotated[int, gauge("Videos in the bus' memory.")]
    ids: Annotated[int, gauge("Publishers' ids remembered for deduplication (history.dedup_window).")]
    tokens: Annotated[int, gauge("Append requests remembered for deduplication.")]
    dropped: Annotated[int, total("Batches dropped as an inbox was full; read from the log instead.")]


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
        self._videos: OrderedDict[str, VideoLog] = OrderedDict()  # least recently active first
        self._ids: deque[tuple[float, set[str], str]] = deque()  # with the end of their window
        self._tokens: deque[tuple[dict[str, AppendResult], str]] = deque()
        self._inboxes: dict[str, list[Mailbox]] = {}
        self._feeds: list[Mailbox] = []
        self._answers: dict[
            tuple[str, str], tuple[float, dict[str, bytes]]
        ] = {}  # with the end of their time
        self._audiences = Audiences()
        self._active: OrderedDict[str, float] = OrderedDict()  # video → last append, least recent first
        self._relayed: OrderedDict[str, float] = OrderedDict()  # the same of what was relayed here
        # The same of all whose logs may hold events that are to be dropped.
        self._untrimmed: OrderedDict[str, float] = OrderedDict()
        self._watched: OrderedDict[str, float] = OrderedDict()  # the same of reports of viewers
        self._left: OrderedDict[str, float] = OrderedDict()  # and of reports that there are none any more
        self._groups: dict[str, dict[str, float]] = {}  # group → node → end of its lease
        self._holds: dict[tuple[str, str], tuple[float, str]] = {}  # (video, name) → its end, and the token
        self._dropped = 0  # by inboxes that are closed

    async def append(self, requests: Sequence[AppendRequest]) -> list[AppendResult]:
        now = self._clock()
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
            self._note_watched(name, viewers, now)
            is_announced = self._announce(video, now, lease)
            state = video.state.lines() if name in opening else []
            leases[name] = Lease(video.head, video.counting.announced, is_announced, state)
        return leases

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        await trio.lowlevel.checkpoint()
        for name in videos:
            if video := self._videos.get(name):
                video.nodes.pop(node, None)
            self._note_watched(name, 0, self._clock())

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
                self._relayed[batch.video] = now
                self._relayed.move_to_end(batch.video)
                self._note_appended(batch.video, now)
            positions.append(video.position(batch.origin))
        return positions

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        return self._moved_since(self._relayed if relayed else self._active, since, limit, now)

    async def watched_since(self, since: int, limit: int, *, left: bool = False) -> ActiveVideos:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._expire(now)
        return self._moved_since(self._left if left else self._watched, since, limit, now)

    def _note_appended(self, video: str, now: float) -> None:
        self._untrimmed[video] = now
        self._untrimmed.move_to_end(video)

    def _note_watched(self, video: str, viewers: int, now: float) -> None:
        reports = self._watched if viewers else self._left
        reports[video] = now
        reports.move_to_end(video)

    @staticmethod
    def _moved_since(moved: Mapping[str, float], since: int, limit: int, now: float) -> ActiveVideos:
        active = [(name, _ms(at)) for name, at in moved.items() if _ms(at) >= since]
        upto = active[min(limit, len(active)) - 1][1] if active else since
        if len(active) > limit:
            active = [(name, at) for name, at in active if at <= upto]
        return ActiveVideos([name for name, _ in active], upto, _ms(now))

    async def join_group(self, group: str, node: str, lease: float) -> list[str]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        living = {name: end for name, end in self._groups.get(group, {}).items() if end > now}
        self._groups[group] = living | {node: now + lease}
        return sorted(self._groups[group])

    async def group(self, group: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        return sorted(name for name, end in self._groups.get(group, {}).items() if end > now)

    async def leave_group(self, group: str, node: str) -> None:
        await trio.lowlevel.checkpoint()
        self._groups.get(group, {}).pop(node, None)

    async def state(self, video: str) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        known = self._videos.get(video)
        return known.state.lines() if known and known.keep_until > self._clock() else []

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        return {video: await self.state(video) for video in videos}

    async def acquire(self, video: str, name: str, token: str, seconds: float) -> float:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        end, holder = self._holds.get((video, name), (now, ""))
        if end <= now:
            if len(self._holds) >= HOLDS:
                self._expire_holds(now)
            self._holds[video, name] = now + seconds, token
            return 0.0
        if holder == token:
            return 0.0
        if end > now + seconds:
            self._holds[video, name] = now + seconds, holder
            return seconds
        return end - now

    def _expire_holds(self, now: float) -> None:
        kept = sorted((end, each, token) for each, (end, token) in self._holds.items() if end > now)
        self._holds = {each: (end, token) for end, each, token in kept[-HOLDS // 2 :]}

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

    async def answer(self, video: str, question: str, node: str, content: bytes, ttl: float) -> None:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        for key, (until, _) in list(self._answers.items()):
            if until <= now:
                del self._answers[key]
        _, found = self._answers.setdefault((video, question), (now + ttl, {}))
        found[node] = content

    async def answers(self, video: str, question: str) -> tuple[dict[str, bytes], frozenset[str]]:
        await trio.lowlevel.checkpoint()
        now, known = self._clock(), self._videos.get(video)
        until, found = self._answers.get((video, question), (0.0, {}))
        nodes = known.nodes if known is not None else {}
        alive = frozenset(node for node, (lease_end, _) in nodes.items() if lease_end > now)
        return (dict(found) if until > now else {}), alive

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
            self._note_watched(count.video, count.datacenter, now)
            announced.append(self._announce(video, now, count.hold))
        return announced

    async def add_audiences(self, reports: Sequence[AudienceReport], ttl: float) -> None:
        await trio.lowlevel.checkpoint()
        for report in reports:
            self._audiences.add(report, self._clock(), ttl)

    async def audience(self, video: str) -> AudienceSize:
        await trio.lowlevel.checkpoint()
        return self._audiences.size(video, self._clock())

    @asynccontextmanager
    async def inbox(
        self, node: str, on_viewer_count: Callable[[ViewerCount], None] = ignore
    ) -> AsyncIterator[Inbox]:
        listeners = self._inboxes.setdefault(node, [])
        try:
            async with self._listening(listeners, on_viewer_count) as mailbox:
                yield mailbox
        finally:
            if not listeners:
                self._inboxes.pop(node, None)

    @asynccontextmanager
    async def feed(self, on_viewer_count: Callable[[ViewerCount], None] = ignore) -> AsyncIterator[Inbox]:
        async with self._listening(self._feeds, on_viewer_count) as mailbox:
            yield mailbox

    def hook_queue(self, ttl: float, limit: int) -> MemoryHookQueue:
        """Return new queues of hooks, which end with the process: `limit` messages for an endpoint."""
        return MemoryHookQueue(self._clock, limit)

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    def statistics(self) -> MemoryStatistics:
        listening = chain(self._feeds, *self._inboxes.values())
        dropped = self._dropped + sum(mailbox.statistics().dropped for mailbox in listening)
        return MemoryStatistics(len(self._videos), len(self._ids), len(self._tokens), dropped)

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
            for mailbox in self._feeds:
                mailbox.put((batch,))
            self._forward(video, batch, now)
            self._active[request.video] = now
            self._active.move_to_end(request.video)
            self._note_appended(request.video, now)
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
        """Announce the viewer count if it has changed; return False if it is too early."""
        if video.counting.is_early(now):
            return False
        count, is_new, for_feed = video.counting.announce(video.nodes, now, hold)
        receivers = [self._feeds] if for_feed else []
        if is_new:
            alive = (node for node, (lease_end, _) in video.nodes.items() if lease_end > now)
            receivers += [self._inboxes.get(node, []) for node in alive]
        for mailbox in chain(*receivers):
            mailbox.put_counts((count,))
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
        while self._untrimmed:  # a quiet video's events go by the clock, too
            name, at = next(iter(self._untrimmed.items()))
            if at > now - self._settings.max_age:
                break
            del self._untrimmed[name]
            if name in self._videos:
                self._videos[name].trim(now)
        for moved in (self._active, self._relayed, self._watched, self._left):
            while moved and next(iter(moved.values())) <= now - self._settings.idle_ttl:
                moved.popitem(last=False)

    @asynccontextmanager
    async def _listening(
        self, listeners: list[Mailbox], on_viewer_count: Callable[[ViewerCount], None]
    ) -> AsyncIterator[Mailbox]:
        mailbox = Mailbox(self._inbox_batches, on_viewer_count=on_viewer_count)
        listeners.append(mailbox)
        try:
            yield mailbox
        finally:
            listeners.remove(mailbox)
            mailbox.close()
            self._dropped += mailbox.statistics().dropped


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
