"""Missing events, read from the peer's log: several videos in one round trip.

Rules:

1. The position of our log is read before the peer's log. An apparent jump in the numbers is then a real one:
   the peer's log has lost events, or has begun a new epoch (`ReplicationBatch.instead`). Our viewers receive
   `gap` with the first event after it.
2. If another dispatcher relays the same video concurrently, the jump is refused; the position is read again.
3. Events that the peer's log has lost may have been keyed. So when it has lost some, and when the log is new
   here, the peer's state is folded into ours first, and viewers receive our state after the gap.
4. A video has caught up once the peer's log has been read to its head.
5. Ephemeral events that the peer's log no longer holds are not a jump: the relayed batches say so (`since`).
   If they are the last ones, an event is relayed in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import msgspec
import trio

from liveserver.bus.interface import Bus, PeerBus, ReplicaPosition, ReplicationBatch, Slice
from liveserver.cursor import Mark
from liveserver.dispatcher.relay.buffer import joined
from liveserver.event import Batch, skipped_line
from liveserver.wakeup import Wakeup

BATCH_SIZE = 200  # videos backfilled at once
MAX_BACKLOG = 20_000  # videos; the others are found by the next sweep


class Backlog:
    """The videos to backfill, at most `MAX_BACKLOG`. `since` is when it was last empty; None while it is.

    Calls `on_added` and `on_caught_up` with each video, and `on_full` when it has no room.
    """

    def __init__(
        self,
        on_added: Callable[[str], None],
        on_caught_up: Callable[[str], None],
        on_full: Callable[[], None],
    ) -> None:
        self.since: float | None = None
        self._on_added = on_added
        self._on_caught_up = on_caught_up
        self._on_full = on_full
        self._videos: dict[str, None] = {}
        self._added = Wakeup()
        self._emptied = trio.Event()

    def __contains__(self, video: str) -> bool:
        return video in self._videos

    def add(self, videos: Iterable[str]) -> None:
        for video in videos:
            if len(self._videos) >= MAX_BACKLOG:
                self._on_full()
                break
            self.since = self.since or trio.current_time()
            self._videos[video] = None
            self._on_added(video)
        self._added.set()

    async def next_videos(self) -> list[str]:
        """Wait for videos; return the first `BATCH_SIZE`, which stay in the backlog until they are
        `removed`.
        """
        while not self._videos:
            await self._added.wait()
        return list(islice(self._videos, BATCH_SIZE))

    def remove(self, video: str) -> None:
        """Remove a video that has caught up."""
        self._videos.pop(video, None)
        self._on_caught_up(video)
        if not self._videos:
            self.since = None
            self._emptied.set()
            self._emptied = trio.Event()

    async def wait_empty(self) -> None:
        while self._videos:
            await self._emptied.wait()


class _Reading(msgspec.Struct):
    """The progress of one video: the peer's log is to be read after the offset `after` of its `epoch`."""

    position: ReplicaPosition
    epoch: str
    after: int

    @classmethod
    def start(cls, position: ReplicaPosition) -> _Reading:
        return cls(position, position.epoch, position.offset)


class Backfiller:
    """Reads one peer's logs up to their heads, and appends the missing events to ours."""

    def __init__(self, peer: str, theirs: PeerBus, ours: Bus, batch_events: int) -> None:
        self.missing: dict[str, int] = {}  # videos in progress → events known to be missing
        self.backfills = 0
        self.relayed = 0
        self.gaps = 0
        self._peer = peer
        self._theirs = theirs
        self._ours = ours
        self._batch_events = batch_events

    async def backfill(self, backlog: Backlog) -> None:
        """Wait for videos in the backlog, and let some catch up. Raises `BusError`; progress is kept."""
        videos = await backlog.next_videos()
        self.backfills += len(videos)
        try:
            readings = {
                video: _Reading.start(position) for video, position in (await self.positions(videos)).items()
            }
            self.missing = dict.fromkeys(readings, 0)
            while readings:
                each = max(1, self._batch_events // len(readings))
                after = {video: reading.after for video, reading in readings.items()}
                slices = await self._theirs.read_several(after, each)
                await self._merge_states(readings, slices)
                batches = [
                    batch
                    for video, part in slices.items()
                    for batch in self._batches(video, readings[video], part)
                ]
                await self._relay(batches, readings)
                for video, part in slices.items():
                    reading = readings[video]
                    if reading.epoch == part.head.epoch and reading.after >= part.head.offset:
                        del readings[video], self.missing[video]
                        backlog.remove(video)
                    else:
                        peers_end = part.head.cursor.get(self._peer)
                        self.missing[video] = missing_events(reading.position, peers_end)
        finally:
            self.missing = {}

    async def _merge_states(self, readings: dict[str, _Reading], slices: dict[str, Slice]) -> None:
        """Merge the states of videos of which the peer's log may have lost events."""
        lossy = [video for video, part in slices.items() if self._is_lossy(readings[video], part)]
        if lossy:
            await self._ours.merge_states(await self._theirs.states(lossy))

    def _is_lossy(self, reading: _Reading, part: Slice) -> bool:
        if part.head.epoch != reading.epoch:
            return True
        number = reading.position.number
        for batch in part.batches:
            if batch.origin == self._peer:
                if batch.number > number + 1:
                    return True
                number = batch.number + len(batch.lines) - 1
        return part.end >= part.head.offset and self._last(part) > number

    def _last(self, part: Slice) -> int:
        """Return the peer's own number of its newest event."""
        mark = part.head.cursor.get(self._peer)
        return 0 if mark is None else mark.number

    async def positions(self, videos: Iterable[str]) -> dict[str, ReplicaPosition]:
        """Return our logs' positions in the peer's. Raises `BusError`."""
        empty = [ReplicationBatch(video, self._peer, "", 0, 0, []) for video in videos]
        positions = await self._ours.relay(empty)
        return {batch.video: position for batch, position in zip(empty, positions, strict=True)}

    def _batches(self, video: str, reading: _Reading, part: Slice) -> list[ReplicationBatch]:
        """Return the peer's own events in this part of its log, and advance the reading beyond it."""
        if reading.epoch != part.head.epoch:
            was_older_epoch = reading.after > 0
            reading.epoch, reading.after = part.head.epoch, 0
            if was_older_epoch:
                return []
        reading.after = max(reading.after, part.end)
        own = [batch for batch in part.batches if batch.origin == self._peer]
        if (last := self._replacement(video, reading, part, own)) is not None:
            own.append(last)
        return [msgspec.structs.replace(batch, instead=reading.position) for batch in joined(own)]

    def _replacement(self, video: str, reading: _Reading, part: Slice, own: list[Batch]) -> Batch | None:
        """Return an event in the place of the peer's last ones, if they were ephemeral and are gone."""
        head, position = part.head, reading.position
        mark, kept = head.cursor.get(self._peer), head.kept and head.kept.get(self._peer)
        if mark is None or not kept or reading.after < head.offset:
            return None
        number = own[-1].number + len(own[-1].lines) - 1 if own else position.number
        if (not own and position.epoch not in ("", mark.epoch)) or not kept.number <= number < mark.number:
            return None
        line = skipped_line(video, mark.number)
        return Batch(video, head.epoch, head.offset, self._peer, mark.epoch, mark.number, [line], kept.number)

    async def _relay(self, batches: list[ReplicationBatch], readings: dict[str, _Reading]) -> None:
        if not batches:
            await trio.lowlevel.checkpoint()
            return
        for batch, position in zip(batches, await self._ours.relay(batches), strict=True):
            reading = readings[batch.video]
            before = reading.position
            if not contains(position, batch):  # another dispatcher has appended events meanwhile
                readings[batch.video] = _Reading.start(position)
                continue
            reading.position = position
            if position == before:
                continue
            next_number = before.number + 1 if before.epoch == batch.epoch else 1
            self.relayed += batch.last + 1 - max(batch.number, next_number)
            if batch.after >= next_number or before.epoch not in ("", batch.epoch):
                self.gaps += 1


def contains(position: ReplicaPosition, batch: ReplicationBatch) -> bool:
    """Return whether a log with this position has all events of the batch."""
    return position.epoch == batch.epoch and position.number >= batch.last


def missing_events(position: ReplicaPosition, head: Mark | None) -> int:
    """Return how many of an origin's events up to `head` a log with this position lacks."""
    if head is None:
        return 0
    return max(0, head.number - position.number if position.epoch == head.epoch else head.number)
