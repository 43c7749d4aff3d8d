"""A channel's log as it was some time ago, for viewers behind live.

Rules:

1. It holds nothing of its own but a tip: items, frames, state and cursors are the log's. So an event that was
   retracted meanwhile is shown as retracted.
2. When an event came is known by this node's monotonic clock. For what was read from the datacenter's log it
   is estimated by the events' own times, and never put later than the reading: clocks that are wrong move
   such events by the delay at most, and drop none.
3. A cursor may be further than the tip, as its viewer stood closer to live before: it waits there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import TypeAlias

from liveserver.cursor import Cursor
from liveserver.frontend.history.frames import FrameLog
from liveserver.frontend.history.items import Item, Marks, ResumePoint
from liveserver.frontend.history.log import ChannelLog
from liveserver.frontend.history.sampling import Ranks
from liveserver.frontend.history.state_history import StateHistory
from liveserver.transport.filter import Filter
from liveserver.transport.form import Form

AudienceLog: TypeAlias = "ChannelLog | DelayedLog"  # what an audience is sent

ROUNDING = 1e-6  # seconds, so that what is due by a sum of floats is


class DelayedLog:
    """The log of `source` as of `delay` seconds ago. Its tip moves by `advance` only."""

    def __init__(self, source: ChannelLog, delay: float, now: float) -> None:
        self.source = source
        self.delay = delay
        self.video = source.video
        self._tip = source.tip_at(now - delay + ROUNDING)
        self._frames: dict[Form, DelayedFrames] = {}

    def advance(self, now: float) -> bool:
        """Move the tip to where the log stood `delay` before `now`; return whether it moved."""
        before = self.tip
        self._tip = max(before, self.source.tip_at(now - self.delay + ROUNDING))
        return self._tip > before

    def next_due(self) -> float:
        """Return when the tip is to move next, in Trio's time; infinity when it has come up with the log."""
        return self.source.arrival_after(self.tip) + self.delay

    @property
    def tip(self) -> int:
        return max(self._tip, self.source.base)

    @property
    def base(self) -> int:
        return self.source.base

    @property
    def kept_from(self) -> int:
        return self.source.kept_from

    @property
    def older_at(self) -> Sequence[int]:
        return self.source.older_at

    @property
    def floor(self) -> Cursor:
        return self.source.floor

    @property
    def cursor(self) -> Cursor:
        """The cursor after the newest event that is shown."""
        return Cursor.parse_trusted(self.cursor_at(self.tip).decode())

    @property
    def items(self) -> Sequence[Item]:
        return self.source.items

    @property
    def state(self) -> ExactStates:
        return ExactStates(self.source.state)

    @property
    def internal(self) -> Set[int]:
        return self.source.internal

    @property
    def redactions(self) -> int:
        return self.source.redactions

    @property
    def event_count(self) -> int:
        return self.source.count_events(self.tip)

    def frames(self, form: Form) -> DelayedFrames:
        """Return this log as frames of one form."""
        found = self._frames.get(form)
        if found is None:
            found = self._frames[form] = DelayedFrames(self, form, self.source.frames(form))
        return found

    @property
    def ranks(self) -> Ranks:
        return self.source.ranks

    def keep_filters(self, used: Set[Filter | None]) -> None:
        """Drop the frames of filters that are not among the `used` ones."""
        for form in [each for each in self._frames if each.filter is not None and each.filter not in used]:
            del self._frames[form]

    def between(self, start: int, end: int) -> Sequence[Item]:
        return self.source.between(start, end)

    def walk(self, start: int, end: int) -> Iterator[tuple[int, Item]]:
        return self.source.walk(start, end)

    def size_between(self, start: int, end: int) -> int:
        return self.source.size_between(start, end)

    def before_gap(self, start: int, end: int) -> int:
        return self.source.before_gap(start, end)

    def after_events(self, start: int, count: int) -> int:
        return min(self.source.after_events(start, count), max(start, self.tip))

    def before_events(self, count: int) -> int:
        return self.source.before_events(count, self.tip)

    def cursor_at(self, position: int) -> bytes:
        return self.source.cursor_at(position)

    def arrived_at(self, position: int) -> float | None:
        """Return when the item was due here: its arrival, and the delay."""
        arrived = self.source.arrived_at(position)
        return None if arrived is None else arrived + self.delay

    def locate(self, cursor: Cursor) -> ResumePoint:
        return self.source.locate(cursor)

    def reaches(self, position: int, cursor: Cursor) -> bool:
        return self.source.reaches(position, cursor)

    def was_seen(self, item: Item, cursor: Marks) -> bool:
        return self.source.was_seen(item, cursor)

    def is_next(self, item: Item, cursor: Marks) -> bool:
        return self.source.is_next(item, cursor)

    def is_cut(self, cursor: Cursor) -> bool:
        return self.source.is_cut(cursor)


class ExactStates:
    """The states of a log, none newer than its position."""

    __slots__ = ("_history",)

    def __init__(self, history: StateHistory) -> None:
        self._history = history

    def rendered(
        self, position: int, *, internal: bool = False, types: frozenset[bytes] | None = None
    ) -> bytes:
        return self._history.rendered_exactly(position, internal=internal, types=types)


class DelayedFrames(FrameLog):
    """Frames of a delayed log: rendered once for all delays, joined for each."""

    __slots__ = ("_delayed", "_redactions", "_shared")

    def __init__(self, log: DelayedLog, form: Form, shared: FrameLog) -> None:
        super().__init__(log, form)
        self._delayed = log
        self._shared = shared
        self._redactions = log.redactions

    def write(self, start: int, limit: int) -> tuple[bytes, int]:
        if self._redactions != self._delayed.redactions:
            self._redactions = self._delayed.redactions
            self._joined.clear()
        return super().write(start, limit)

    def rendered(self, start: int, end: int) -> list[bytes]:
        return self._shared.rendered(start, end)
