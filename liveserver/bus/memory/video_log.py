"""One video of the memory bus: its log, known ids, and subscribed nodes. No I/O, no clock of its own."""

from __future__ import annotations

from collections import deque

import msgspec

from liveserver.bus.interface import AppendResult, Head, ReplicaPosition, ReplicationBatch, Slice
from liveserver.bus.memory.video_state import VideoState
from liveserver.bus.memory.viewer_counter import ViewerCounter
from liveserver.config import HistorySettings
from liveserver.cursor import Cursor, Mark
from liveserver.event import Batch
from liveserver.ids import new_epoch
from liveserver.state import MARK


class VideoLog:
    """Numbers events, keeps the recent ones, and tracks each origin's position. Times are in seconds."""

    __slots__ = (
        "_batches",
        "_offsets",
        "_origin",
        "_settings",
        "counting",
        "cursor",
        "epoch",
        "ids",
        "keep_until",
        "name",
        "nodes",
        "offset",
        "state",
        "tokens",
    )  # fmt: skip

    def __init__(self, name: str, origin: str, settings: HistorySettings) -> None:
        self.name = name
        self.epoch = new_epoch()
        self.offset = 0
        self.cursor = Cursor(((origin, Mark(self.epoch, 0)),))
        self.keep_until = 0.0
        self.ids: set[str] = set()
        self.tokens: dict[str, AppendResult] = {}
        self.nodes: dict[str, tuple[float, int]] = {}  # node → end of its lease, viewers
        self.state = VideoState(settings)
        self.counting = ViewerCounter(name, origin)
        self._origin = origin
        self._settings = settings
        self._batches: deque[tuple[float, Batch]] = deque()  # each with the time of its append
        self._offsets: dict[str, int] = {}  # other origin → where its last event stands in its own log

    @property
    def head(self) -> Head:
        return Head(self.epoch, self.offset, self.cursor)

    @property
    def next_number(self) -> int:
        """The number of the next event that originates here."""
        return self._number_of(self._origin).number + 1

    def append(self, lines: list[bytes], now: float) -> Batch:
        """Append events that originate here."""
        return self._append(self._origin, self.epoch, self.next_number, lines, now)

    def replicate(self, batch: ReplicationBatch, now: float) -> Batch | None:
        """Append the new events of another origin; return them, or None. See `Bus.relay`."""
        position = self.position(batch.origin)
        if position.epoch in ("", batch.epoch) and batch.number <= position.number + 1:
            skip = position.number + 1 - batch.number
        elif batch.instead == position:
            skip = 0
        else:
            return None
        if skip >= len(batch.lines):
            return None
        self._offsets[batch.origin] = batch.offset
        lines = batch.lines[skip:]
        for line in lines:
            if line.startswith(MARK):
                self.state.fold_relayed(line)
        return self._append(batch.origin, batch.epoch, batch.number + skip, lines, now)

    def position(self, origin: str) -> ReplicaPosition:
        mark = self._number_of(origin)
        return ReplicaPosition(self.epoch, mark.epoch, mark.number, self._offsets.get(origin, 0))

    def read(self, after: int, limit: int, now: float) -> Slice:
        """Return the retained events `after + 1` to `after + limit`."""
        self._trim(now)
        oldest = self.offset + 1
        if self._batches:
            oldest = max(self._batches[0][1].first, self.offset - self._settings.max_events + 1)
        first, last = max(after + 1, oldest), min(after + limit, self.offset)
        stretch: list[Batch] = []
        for _, batch in self._batches:
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
        return Slice(self.head, oldest, stretch)

    def _number_of(self, origin: str) -> Mark:
        return self.cursor.get(origin) or Mark("", 0)

    def _append(self, origin: str, epoch: str, number: int, lines: list[bytes], now: float) -> Batch:
        batch = Batch(self.name, self.epoch, self.offset + 1, origin, epoch, number, lines)
        self._batches.append((now, batch))
        self.offset = batch.last
        self.cursor = self.cursor.advanced(origin, epoch, number + len(lines) - 1)
        self._trim(now)
        return batch

    def _trim(self, now: float) -> None:
        """Remove old batches. `read` omits events beyond the length limit within a batch."""
        batches, last_gone = self._batches, self.offset - self._settings.max_events
        while batches and (batches[0][1].last <= last_gone or batches[0][0] <= now - self._settings.max_age):
            batches.popleft()


def _goes_on(before: Batch, batch: Batch, number: int) -> bool:
    """Return whether `batch`, from the origin's `number` on, continues the batch before it."""
    return (
        before.origin == batch.origin
        and before.origin_epoch == batch.origin_epoch
        and before.number + len(before.lines) == number
    )
