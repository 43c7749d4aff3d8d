"""One video of the memory bus: its log, known ids, and subscribed nodes. No I/O, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from liveserver.bus.interface import AppendResult, Head, ReplicaPosition, ReplicationBatch, Slice
from liveserver.bus.memory.retained import RetainedBatches, merged
from liveserver.bus.memory.video_state import VideoState
from liveserver.bus.memory.viewer_counter import ViewerCounter
from liveserver.config import HistorySettings
from liveserver.cursor import Cursor, Mark
from liveserver.event import SKIPPED, Batch, type_of
from liveserver.ids import new_epoch
from liveserver.state import MARK


class VideoLog:
    """Numbers events, keeps the recent ones, and tracks each origin's position. Times are in seconds."""

    __slots__ = (
        "_ephemeral",
        "_kept",
        "_kept_events",
        "_offsets",
        "_origin",
        "_settings",
        "_types",
        "counting",
        "cursor",
        "epoch",
        "held_until",
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
        self.held_until = 0.0  # see `Bus.hold_back`
        self.ids: set[str] = set()
        self.tokens: dict[str, AppendResult] = {}
        self.nodes: dict[str, tuple[float, int]] = {}  # node → end of its lease, viewers
        self.state = VideoState(settings)
        self.counting = ViewerCounter(name, origin)
        self._origin = origin
        self._settings = settings
        self._kept = self.cursor  # see `Head.kept`
        self._types = frozenset(kind.encode() for kind in (*settings.ephemeral_types, SKIPPED))
        self._kept_events = RetainedBatches(settings.max_events, settings.memory_size, is_dense=True)
        self._ephemeral = RetainedBatches(settings.ephemeral_events, settings.memory_size, is_dense=False)
        self._offsets: dict[str, int] = {}  # other origin → where its last event stands in its own log

    @property
    def head(self) -> Head:
        return Head(self.epoch, self.offset, self.cursor, self._kept)

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
        if position.epoch in ("", batch.epoch) and batch.after <= position.number:
            skip = max(0, position.number + 1 - batch.number)
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
        if position.epoch not in ("", batch.epoch) or batch.after > position.number:  # a jump
            self._kept = self._kept.advanced(batch.origin, batch.epoch, batch.after)
        return self._append(batch.origin, batch.epoch, batch.number + skip, lines, now)

    def position(self, origin: str) -> ReplicaPosition:
        mark = self._number_of(origin)
        return ReplicaPosition(self.epoch, mark.epoch, mark.number, self._offsets.get(origin, 0))

    def read(self, after: int, limit: int, now: float) -> Slice:
        """Return the first `limit` retained events after the offset `after`."""
        self.trim(now)
        stretch = merged(self._kept_events.after(after, limit), self._ephemeral.after(after, limit), limit)
        is_whole = sum(len(batch.lines) for batch in stretch) < limit
        upto = None if is_whole or not stretch else stretch[-1].last
        return Slice(self.head, self._kept_events.lost + 1, stretch, upto)

    def _number_of(self, origin: str) -> Mark:
        return self.cursor.get(origin) or Mark("", 0)

    def _append(self, origin: str, epoch: str, number: int, lines: list[bytes], now: float) -> Batch:
        batch = Batch(self.name, self.epoch, self.offset + 1, origin, epoch, number, lines)
        mark = self._kept.get(origin)
        before = kept = 0 if mark is None else mark.number
        for start, end, is_ephemeral in self._runs(lines):
            first, since = number + start, kept if kept < number + start - 1 else None
            run = Batch(
                self.name, self.epoch, batch.first + start, origin, epoch, first, lines[start:end], since
            )
            (self._ephemeral if is_ephemeral else self._kept_events).append(run, now)
            if not is_ephemeral:
                kept = number + end - 1
        if kept != before or mark is None or mark.epoch != epoch:
            self._kept = self._kept.advanced(origin, epoch, kept)
        self.offset = batch.last
        self.cursor = self.cursor.advanced(origin, epoch, number + len(lines) - 1)
        self.trim(now)
        return batch

    def _runs(self, lines: list[bytes]) -> Iterable[tuple[int, int, bool]]:
        """Return where lines of one kind begin and end, and whether they are ephemeral."""
        if len(lines) == 1:
            return ((0, 1, type_of(lines[0]) in self._types),)
        return self._several_runs(lines)

    def _several_runs(self, lines: list[bytes]) -> Iterator[tuple[int, int, bool]]:
        start = 0
        for is_ephemeral, run in groupby(lines, lambda line: type_of(line) in self._types):
            end = start + sum(1 for _ in run)
            yield start, end, is_ephemeral
            start = end

    def trim(self, now: float) -> None:
        """Drop events older than `history.max_age`."""
        self._kept_events.trim(now - self._settings.max_age)
        self._ephemeral.trim(now - self._settings.max_age)
