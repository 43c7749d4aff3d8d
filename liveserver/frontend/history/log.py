"""A channel's recent log: what was received of one video, in order, and where a cursor stands in it.

Rules:

1. A *position* counts items on this node. Positions have no holes and outlive the epochs of the log
   they mirror. `base` is the oldest held, `tip` the next to come.
2. A gap is an item like any other: a viewer that passes it is sent it, without a test per viewer. It
   says which origin it is of, and up to where that origin's events are missing.
3. An item carries the cursor after it. All viewers that are level share it, so it is rendered once.
4. Keyed events are folded into the state at their positions. A gap may hide such events, so what the bus has
   is folded in there, and viewers that pass it are sent the state.
5. What a cursor has seen of an origin is compared by epoch, then by number. Which of two epochs is
   newer is known from the log if it holds both, else from their names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from liveserver.cursor import Cursor, Mark, is_newer_epoch
from liveserver.event import CONTROL_WORDS, Batch
from liveserver.frontend.history.frames import GAP, FrameLog
from liveserver.frontend.history.origin_index import OriginIndex
from liveserver.frontend.history.redaction import RETRACT_TYPE, RetractedIds, redacted
from liveserver.frontend.history.state_history import StateHistory
from liveserver.state import MARK, Keyed, MalformedKeyed, read
from liveserver.transport.form import Form, Gap, encode

_CONTROL_WORDS = frozenset(word.encode() for word in CONTROL_WORDS)
MAX_TYPES = 100  # event types of a channel that are remembered
NO_POSITION = -(1 << 62)

__all__ = ["GAP", "ChannelLog", "Item", "ResumePoint", "cursor_before"]


class Item(msgspec.Struct, frozen=True, gc=False):
    """One event with the cursor after it; or a gap up to `number` of its origin."""

    event: bytes
    data: bytes
    cursor: bytes
    origin: str
    epoch: str
    number: int


class ResumePoint(NamedTuple):
    """Where a cursor resumes: the position of the first item it has not seen.

    `gap`: events after the cursor are missing. `is_cut`: some of them lie before what is held, and no
    gap in the log tells of them. `seen`: what has to be withheld from here on; None if nothing.
    """

    position: int
    gap: bool = False
    is_cut: bool = False
    seen: Cursor | None = None


class ChannelLog:
    """The items of one video, bounded by `capacity` items and `age` seconds.

    `floor` is the cursor before the oldest item, `cursor` the one after the newest.
    """

    def __init__(self, video: str, capacity: int, age: float, cursor: Cursor | None = None) -> None:
        self.video = video
        self.base = self.tip = 0
        self.items: list[Item] = []
        self.floor = self.cursor = cursor or Cursor()
        self.capacity = capacity
        self.age = age
        self._resumer: deque[tuple[float, int]] = deque()  # (time, the tip then)
        self._live_from = 0  # the position from which on arrivals are known
        self._prepended: tuple[float, int] | None = None  # when, and the position behind them
        self._expired = NO_POSITION  # before it, all is older than `age`
        self._gaps: list[int] = []  # positions
        self._origins: dict[str, OriginIndex] = {}
        self._frames: dict[Form, FrameLog] = {}
        self._retracted = RetractedIds(capacity)
        self.state = StateHistory()
        self._plain_types: set[bytes] = set()  # which need no second look
        self.internal: set[int] = set()  # positions of events that only moderators are sent
        self._reloaded: list[Keyed] = []  # the bus' state, to be folded in at the next gap
        self.redactions = 0  # so far: what was rendered before one may show what it took back

    def start_at(self, cursor: Cursor, state: Sequence[bytes] = ()) -> None:
        """Stand at `cursor`, with the lines of the state there; nothing was appended yet."""
        self.floor = self.cursor = cursor
        self.state.start_at(event for event in map(parse_state, state) if event is not None)

    def clear(self) -> None:
        """Free what is held; the log is not used any more."""
        self.base = self.tip
        self.floor = self.cursor
        self.items.clear()
        self._resumer.clear()
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

    def between(self, start: int, end: int) -> Sequence[Item]:
        return self.items[start - self.base : end - self.base]

    def before_gap(self, start: int, end: int) -> int:
        """Return how far one gets from `start` towards `end` before there is a gap."""
        return next((gap for gap in self._gaps if start <= gap < end), end)

    def after_events(self, start: int, count: int) -> int:
        """Return the position behind `count` events from `start` on, gaps not counted; at most the tip."""
        end = start + count
        for gap in self._gaps:
            if start <= gap <= end:
                end += 1
        return min(end, self.tip)

    def before_events(self, count: int) -> int:
        """Return the position of the `count`th event from the end, gaps not counted, or of the oldest."""
        start = self.tip - count
        for gap in reversed(self._gaps):
            if gap >= start:
                start -= 1
        start = max(start, self.base)
        while start in self._gaps:
            start += 1
        return start

    @property
    def event_count(self) -> int:
        """How many events are held."""
        return len(self.items) - len(self._gaps)

    def cursor_at(self, position: int) -> bytes:
        """Return the cursor of a viewer that has seen everything before `position`."""
        if position > self.base:
            return self.items[position - self.base - 1].cursor
        return str(self.floor).encode()

    def arrived_at(self, position: int) -> float | None:
        """Return when the item at `position` came, in Trio's time; None when it was read from the log, or
        is not held. Fast for the latest ones."""
        arrived = None
        for when, tip in reversed(self._resumer):
            if tip <= position:
                break
            arrived = when
        return arrived if self.base <= position and self._live_from <= position < self.tip else None

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
        self._resumer.append((now, self.tip))
        if retracting:
            self._redact(self.base, self._retracted.matcher(retracting))
        if self._retracted:
            self._redact(self.tip - len(lines), self._retracted.has_target)

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

    def append_gap(self, origin: str, upto: Mark, now: float) -> None:
        """Note that the origin's events up to `upto` are missing here, as far as they were not held."""
        self.cursor = self.cursor.advanced(origin, *upto)
        text = str(self.cursor)
        self.items.append(Item(GAP, encode(Gap(self.video, text)), text.encode(), origin, *upto))
        self._gaps.append(self.tip)
        for event in self._reloaded:
            self.state.fold(event, self.tip)
        self._reloaded = []
        self.tip += 1
        self._resumer.append((now, self.tip))

    def prepend(self, batches: Sequence[Batch], now: float) -> None:
        """Put older events before the oldest item; the last of them is the one just before it."""
        older = ChannelLog(self.video, self.capacity, self.age, cursor_before(self.floor, batches))
        for batch in batches:
            older.append(batch, 0, now)
        self._prepended = now, self.base
        self.base -= older.tip
        self._gaps[:0] = [position + self.base for position in older._gaps]
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

    def _redact(self, start: int, is_retracted: Callable[[bytes], bool]) -> None:
        """Redact the retracted events from the position `start` on."""
        for at in range(start - self.base, len(self.items)):
            item = self.items[at]
            if not is_retracted(item.data) or item.event == RETRACT_TYPE:
                continue
            if (data := redacted(item.data)) is not None:
                self.redactions += 1
                self.items[at] = msgspec.structs.replace(item, event=RETRACT_TYPE, data=data)
                for frames in self._frames.values():
                    frames.render_again(self.base + at)

    def trim(self, now: float, needed: int, least: int = 1) -> None:
        """Drop what is over the bounds, but nothing from `needed` on before twice the bound is reached.

        Nothing is done for fewer than `least` items: each time, the rest of the list is moved.
        """
        if self._prepended is not None and self._prepended[0] < now - self.age:
            self._expired = max(self._expired, self._prepended[1])
            self._prepended = None
        while self._resumer and self._resumer[0][0] < now - self.age:
            self._expired = self._live_from = self._resumer.popleft()[1]
        over = max(len(self.items) - self.capacity, self._expired - self.base)
        cut = max(min(over, needed - self.base), len(self.items) - 2 * self.capacity)
        if cut < max(least, 1):
            return
        self.floor = Cursor.parse_trusted(self.items[cut - 1].cursor.decode())
        del self.items[:cut]
        self.base += cut
        while self._resumer and self._resumer[0][1] <= self.base:
            self._live_from = self._resumer.popleft()[1]
        self._gaps = [position for position in self._gaps if position >= self.base]
        if self.internal:
            self.internal = {position for position in self.internal if position >= self.base}
        self.state.trim(self.base)
        for index in self._origins.values():
            index.trim(self.base)
        for frames in self._frames.values():
            frames.trim()

    def locate(self, cursor: Cursor) -> ResumePoint:
        """Return where `cursor` resumes in what is held here. O(origins · log ranges)."""
        position, covered, is_cut, is_over = self.tip, self.base, False, False
        for origin in cursor.origins | self.cursor.origins:
            mark, tip = cursor.get(origin), self.cursor.get(origin)
            if tip is None:  # nothing was received of this origin yet
                continue
            found = (self._origins.get(origin) or OriginIndex()).find(mark, self.floor.get(origin), tip)
            is_cut = is_cut or self._is_cut(origin, mark)
            is_over = is_over or self._is_over(origin, mark)
            if found.first is not None:
                position = min(position, found.first)
            if found.covered is not None:
                covered = max(covered, found.covered)
        gap = next((at for at in self._gaps if not self.was_seen(self.items[at - self.base], cursor)), None)
        if gap is not None:
            position = min(position, gap)
        # Cursors from the position on have to say all that this one does, or it would go back.
        seen = cursor if covered > position or not self.reaches(position, cursor) else None
        return ResumePoint(position, is_cut or is_over or gap is not None, is_cut, seen)

    def reaches(self, position: int, cursor: Cursor) -> bool:
        """Return whether the cursor at `position` has seen all that this one has."""
        here = self.cursor
        if position < self.tip:
            at_floor = position <= self.base
            here = self.floor if at_floor else Cursor.parse_trusted(self.cursor_at(position).decode())
        for origin, mark in cursor:
            reached = here.get(origin)
            if reached is None or (reached.epoch == mark.epoch and reached.number < mark.number):
                return False
            if reached.epoch != mark.epoch and self.is_newer(origin, mark.epoch, reached.epoch):
                return False
        return True

    def has_epoch(self, origin: str, epoch: str) -> bool:
        """Return whether this epoch of the origin is held, the present one, or the one at the floor."""
        return epoch in self._epochs(origin)

    def is_newer(self, origin: str, epoch: str, other: str) -> bool | None:
        """Return whether an epoch of the origin began after another; None when that is not known."""
        known = self._epochs(origin)
        if epoch in known and other in known:
            return known.index(epoch) > known.index(other)
        return is_newer_epoch(epoch, other)

    def was_seen(self, item: Item, cursor: Cursor) -> bool:
        """Return whether a viewer with this cursor has seen the item; of a gap, whether it has none."""
        mark = cursor.get(item.origin)
        if mark is None or mark.epoch == item.epoch:
            return mark is not None and item.number <= mark.number
        is_newer = self.is_newer(item.origin, mark.epoch, item.epoch)
        if is_newer is not None:
            return is_newer
        present = self.cursor.get(item.origin)
        return present is not None and item.epoch != present.epoch  # see OriginIndex._first_after

    def is_next(self, item: Item, cursor: Cursor) -> bool:
        """Return whether nothing of the item's origin lies between the cursor and this unseen event.

        Where the cursor has seen an epoch that this log never held, no gap in it tells that it is over.
        """
        mark = cursor.get(item.origin)
        return mark is None or (mark.epoch == item.epoch and mark.number + 1 == item.number)

    def _is_over(self, origin: str, mark: Mark | None) -> bool:
        """Return whether the mark's epoch was over before the first event of the origin came here.

        No gap in the log tells of it; `is_next` finds it at that event.
        """
        if mark is None or self.floor.get(origin) is not None:
            return False
        first = self._epochs(origin)[0]
        if mark.epoch == first:
            return False
        return self.is_newer(origin, mark.epoch, first) is not True

    def is_cut(self, cursor: Cursor) -> bool:
        """Return whether events that the cursor has not seen lie before what is held."""
        return any(self._is_cut(origin, cursor.get(origin)) for origin in self.floor.origins)

    def _is_cut(self, origin: str, mark: Mark | None) -> bool:
        """Return whether events of the origin after `mark` lie before what is held."""
        floor = self.floor.get(origin)
        if mark is None:
            return floor is not None and floor.number > 0
        if floor is None:
            return False
        if mark.epoch == floor.epoch:
            return mark.number < floor.number
        return self.is_newer(origin, mark.epoch, floor.epoch) is not True

    def _epochs(self, origin: str) -> list[str]:
        """Return the epochs of an origin that this log has been through and still knows, oldest first."""
        index, floor, tip = self._origins.get(origin), self.floor.get(origin), self.cursor.get(origin)
        known = [floor.epoch] if floor is not None else []
        known += [held.epoch for held in index.epochs] if index is not None else []
        known += [tip.epoch] if tip is not None else []
        return list(dict.fromkeys(known))


def parse_state(line: bytes) -> Keyed | None:
    """Return what a line of the bus' state says; None when it is none."""
    try:
        return read(line)
    except MalformedKeyed:
        return None


def cursor_before(cursor: Cursor, batches: Sequence[Batch]) -> Cursor:
    """Return the cursor before the first of `batches`, given the one after the last."""
    for batch in reversed(batches):
        cursor = cursor.advanced(batch.origin, batch.origin_epoch, batch.number - 1)
    return cursor
