"""A channel's recent log: the received events of one video, in order.

Rules:

1. A *position* counts items on this node. Positions are contiguous and continue across the epochs of the
   datacenter's log. `base` is the oldest item held, `tip` the position of the next.
2. A gap is an item like any other: viewers that pass it are sent it, without a test per viewer. It has the
   origin, and the number up to which that origin's events are missing.
3. An item has the cursor after it. All viewers that are level share it, so it is rendered once.
4. Keyed events are folded into the state at their positions. A gap may hide such events, so the state of the
   bus is folded in there, and viewers that pass the gap are sent the state.
5. A cursor's marks are compared by epoch, then by number. Which of two epochs is newer is known from the log
   if it has both, otherwise from their names.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import inf
from operator import itemgetter

import msgspec

from liveserver.cursor import Cursor, Mark
from liveserver.event import CONTROL_WORDS, Batch
from liveserver.frontend.history.frames import GAP, FrameLog
from liveserver.frontend.history.items import Item, LogItems, ResumePoint, cursor_before
from liveserver.frontend.history.origin_index import OriginIndex
from liveserver.frontend.history.redaction import COMMENT, RETRACT_TYPE, RetractedIds, redacted, was_cleared
from liveserver.frontend.history.state_history import StateHistory
from liveserver.frontend.history.times import accepted_at
from liveserver.state import MARK, Keyed, MalformedKeyed, read
from liveserver.transport.form import Form, Gap, encode

_CONTROL_WORDS = frozenset(word.encode() for word in CONTROL_WORDS)
MAX_TYPES = 100  # cached event types of a channel
_TIME, _TIP = itemgetter(0), itemgetter(1)
NO_POSITION = -(1 << 62)

__all__ = ["GAP", "ChannelLog", "Item", "ResumePoint", "cursor_before"]


class ChannelLog(LogItems):
    """The items of one video, bounded by `capacity` items and `age` seconds."""

    def __init__(self, video: str, capacity: int, age: float, cursor: Cursor | None = None) -> None:
        super().__init__(cursor or Cursor())
        self.video = video
        self.capacity = capacity
        self.age = age
        self._arrivals: deque[tuple[float, int]] = deque()  # (time, the tip then)
        self._live_from = 0  # the first position with a known arrival time
        self._prepended: tuple[float, int] | None = None  # when, and the position behind them
        self._expired = NO_POSITION  # before it, all is older than `age`
        self._estimates: list[float] | None = None  # when what was prepended came; made when needed
        self._cut_at = -inf  # when the newest item came that the capacity has cost
        self.delay = 0.0  # see DelayedLog
        self.reach = 0  # items that may be held for viewers behind live, beyond the capacity
        self._frames: dict[Form, FrameLog] = {}
        self._retracted = RetractedIds(capacity)
        self.state = StateHistory()
        self._plain_types: set[bytes] = set()  # types that need no special handling
        self.internal: set[int] = set()  # positions of events that only moderators are sent
        self._reloaded: list[Keyed] = []  # the bus' state, to be folded in at the next gap
        self.redactions = 0  # so far; bytes rendered before one may contain the retracted event

    def start_at(self, cursor: Cursor, state: Sequence[bytes] = ()) -> None:
        """Begin an empty log at `cursor`, with the lines of the state there."""
        self.floor = self.cursor = cursor
        self.state.start_at(event for event in map(parse_state, state) if event is not None)

    def clear(self) -> None:
        """Release all items; the log is no longer used."""
        self.base = self.tip
        self.floor = self.cursor
        self.items.clear()
        self._arrivals.clear()
        self._gaps.clear()
        self._origins.clear()
        self._frames.clear()
        self.state.clear()
        self.internal.clear()

    def frames(self, form: Form) -> FrameLog:
        """Return this log as frames of one form."""
        found = self._frames.get(form)
        if found is None:
            found = self._frames[form] = FrameLog(self, form)
        return found

    def arrived_at(self, position: int) -> float | None:
        """Return when the item at `position` arrived, in Trio's time. Fast for the latest ones.

        None if it was read from the datacenter's log, or is not held.
        """
        arrived = None
        for when, tip in reversed(self._arrivals):
            if tip <= position:
                break
            arrived = when
        return arrived if self.base <= position and self._live_from <= position < self.tip else None

    def tip_at(self, when: float) -> int:
        """Return where the log ended at that time (Trio's), as far as it is held (see `delayed.py`)."""
        known = bisect_right(self._arrivals, when, key=_TIME)
        if known:
            return max(self._arrivals[known - 1][1], self.base)
        if self._prepended is None or when >= self._prepended[0]:
            return max(self._live_from, self.base)
        estimates, end = self._estimated(), self._prepended[1]
        return max(end - len(estimates) + bisect_right(estimates, when), self.base)

    def arrival_after(self, tip: int) -> float:
        """Return when the item at `tip`, or one behind it, came; infinity when nothing is there yet."""
        if tip >= self.tip:
            return inf
        if self._prepended is not None and tip < self._prepended[1]:
            estimates = self._estimated()
            return estimates[max(0, tip - self._prepended[1] + len(estimates))]
        known = bisect_right(self._arrivals, tip, key=_TIP)
        return self._arrivals[known][0] if known < len(self._arrivals) else -inf

    def is_lost_since(self, when: float) -> bool:
        """Return whether events that came after that time are not held any more."""
        if when < self._cut_at:
            return True
        if self._prepended is None or len(self._estimated()) < self.capacity:
            return False
        return when < self._estimated()[0]

    def _estimated(self) -> list[float]:
        """Return when each item came that was prepended, ascending: as it says itself, but not later than it
        was read. An item that says a later time than those behind it holds them up: none is shown early."""
        assert self._prepended is not None
        if self._estimates is None:
            read_at, end = self._prepended
            offset = read_at - time.time()  # of Trio's clock to the wall's, as of about then
            times = (accepted_at(item.data) for item in self.items[: max(0, end - self.base)])
            stated = (-inf if at is None else min(read_at, at / 1000 + offset) for at in times)
            self._estimates = list(accumulate(stated, max))
        return self._estimates

    def append(self, batch: Batch, skip: int, now: float) -> None:
        """Append the batch's lines from the `skip`th on. A jump in its origin's numbers is a gap."""
        origin, epoch, first = batch.origin, batch.origin_epoch, batch.number + skip
        if (self.cursor.get(origin) or Mark(epoch, 0)) != (epoch, first - 1):
            self.append_gap(origin, Mark(epoch, first - 1), now)
        lines = batch.lines[skip:] if skip else batch.lines
        before, after = (text.encode() for text in self.cursor.around(origin, epoch))
        retracting: list[bytes] = []  # prefixes of the events that these lines retract
        for number, line in enumerate(lines, first):
            event, _, data = line.partition(b" ")
            if event not in self._plain_types:  # one look-up for what is usual
                event = self._type_of(event, line, self.tip + number - first)
            self.items.append(Item(event, data, b"%b%d%b" % (before, number, after), origin, epoch, number))
            if event == RETRACT_TYPE and (prefix := self._retracted.add(data)) is not None:
                retracting.append(prefix)
        index = self._origins.get(origin)
        if index is None:
            index = self._origins[origin] = OriginIndex()
        index.extend(epoch, first, self.tip, len(lines))
        self.cursor = self.cursor.advanced(origin, epoch, first + len(lines) - 1)
        self.tip += len(lines)
        self._arrivals.append((now, self.tip))
        if retracting:
            self._redact(self.base, self._retracted.matcher(retracting))
        if self._retracted:
            self._redact(self.tip - len(lines), self._retracted.has_target)
        if self.state.rules.cleared:
            self._redact_cleared(self.tip - len(lines))

    def has_jump(self, batch: Batch) -> bool:
        """Return whether there would be a gap before the batch, or before what of it is new."""
        mark = self.cursor.get(batch.origin)
        if mark is None:
            return batch.number > 1
        if mark.epoch != batch.origin_epoch:
            return not self.is_newer(batch.origin, mark.epoch, batch.origin_epoch)
        return batch.number > mark.number + 1

    def _type_of(self, event: bytes, line: bytes, position: int) -> bytes:
        """Return the type of a line whose head this is; take a keyed event into the state."""
        is_keyed = event[:1] == MARK
        if is_keyed:
            event = self._fold(line, position)
        if event in _CONTROL_WORDS:  # a dispatcher that accepted it is not ours, or is older
            return b"x-" + event
        if not is_keyed and len(self._plain_types) < MAX_TYPES:
            self._plain_types.add(event)
        return event

    def _fold(self, line: bytes, position: int) -> bytes:
        """Take a keyed event into the state; return its type."""
        try:
            event = read(line)
        except MalformedKeyed:
            return line.split(b";", 2)[1]
        if event.is_internal:
            self.internal.add(position)
        self.state.fold(event, position)
        return event.type

    def reload_state(self, lines: Sequence[bytes]) -> None:
        """Have what the bus has folded in at the next gap, or by `end_reload`."""
        self._reloaded = [event for event in map(parse_state, lines) if event is not None]

    def end_reload(self) -> None:
        """Fold in what is left of `reload_state`: there was no gap."""
        for event in self._reloaded:
            self.state.fold(event, self.tip - 1)
        self._reloaded = []
        self._redact_cleared(self.tip)

    def append_gap(self, origin: str, upto: Mark, now: float) -> None:
        """Note that the origin's events up to `upto` are missing here, as far as they were not held."""
        self.cursor = self.cursor.advanced(origin, *upto)
        text = str(self.cursor)
        self.items.append(Item(GAP, encode(Gap(self.video, text)), text.encode(), origin, *upto))
        self._gaps.append(self.tip)
        for event in self._reloaded:
            self.state.fold(event, self.tip)
        self._reloaded = []
        self._redact_cleared(self.tip)
        self.tip += 1
        self._arrivals.append((now, self.tip))

    def prepend(self, batches: Sequence[Batch], now: float) -> None:
        """Put older events before the oldest item; the last of them is the one just before it."""
        older = ChannelLog(self.video, self.capacity, self.age, cursor_before(self.floor, batches))
        for batch in batches:
            older.append(batch, 0, now)
        self._prepended, self._estimates = (now, self.base), None
        self.base -= older.tip
        self._gaps[:0] = [position + self.base for position in older._gaps]
        self.state.prepend([(position + self.base, event) for position, event in older.state.changes])
        self.items[:0] = older.items
        self.internal.update(position + self.base for position in older.internal)
        self.floor = older.floor
        for origin, index in older._origins.items():
            index.shift(self.base)
            if origin in self._origins:
                self._origins[origin].prepend(index)
            else:
                self._origins[origin] = index
        if older._retracted or self._retracted:
            self._retracted.update(older._retracted)
            self._redact(self.base, self._retracted.has_target)
        if self.state.rules.cleared:
            self._redact_cleared(self.base)

    def _redact_cleared(self, start: int) -> None:
        """Redact comments of cleared users from `start` on; all, if one was cleared just now."""
        if self.state.cleared:
            self.state.cleared, start = False, self.base
        rules = self.state.rules
        for at in range(start - self.base, len(self.items)):
            if self.items[at].event == COMMENT and was_cleared(rules, self.items[at].data):
                self._redact_item(at)

    def _redact(self, start: int, is_retracted: Callable[[bytes], bool]) -> None:
        """Redact the retracted events from the position `start` on."""
        for at in range(start - self.base, len(self.items)):
            item = self.items[at]
            if is_retracted(item.data) and item.event != RETRACT_TYPE:
                self._redact_item(at)

    def _redact_item(self, at: int) -> None:
        item = self.items[at]
        if (data := redacted(item.data)) is not None:
            self.redactions += 1
            self.items[at] = msgspec.structs.replace(item, event=RETRACT_TYPE, data=data)
            for frames in self._frames.values():
                frames.render_again(self.base + at)

    def trim(self, now: float, needed: int, least: int = 1) -> None:
        """Drop items beyond the limits, but none from `needed` on unless twice the capacity is exceeded.

        Fewer than `least` items are not dropped, as each time the rest of the list is moved.
        """
        if self._prepended is not None and self._prepended[0] < now - self.age:
            self._expired = max(self._expired, self._prepended[1])
            self._prepended = None
        while self._arrivals and self._arrivals[0][0] < now - self.age:
            self._expired = self._live_from = self._arrivals.popleft()[1]
        over = max(len(self.items) - self.capacity, self._expired - self.base)
        most = max(2 * self.capacity, self.reach)
        cut = max(min(over, needed - self.base), len(self.items) - most)
        if cut < max(least, 1):
            return
        if self.base + cut > self._expired:
            self._cut_at = max(self._cut_at, self.arrival_after(self.base + cut - 1))
        if self._prepended is not None and self._estimates is not None:
            del self._estimates[:cut]
        self.floor = Cursor.parse_trusted(self.items[cut - 1].cursor.decode())
        del self.items[:cut]
        self.base += cut
        while self._arrivals and self._arrivals[0][1] <= self.base:
            self._live_from = self._arrivals.popleft()[1]
        self._gaps = [position for position in self._gaps if position >= self.base]
        if self.internal:
            self.internal = {position for position in self.internal if position >= self.base}
        self.state.trim(self.base)
        for index in self._origins.values():
            index.trim(self.base)
        for frames in self._frames.values():
            frames.trim()


def parse_state(line: bytes) -> Keyed | None:
    """Return the event of a line of the bus' state; None if it is malformed."""
    try:
        return read(line)
    except MalformedKeyed:
        return None
