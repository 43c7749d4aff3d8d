"""A channel's recent log: what was heard of one video, in order, and where a cursor stands in it.

Rules:

1. A *position* counts items on this node. Positions have no holes and outlive the epochs of the log
   they mirror. `base` is the oldest held, `tip` the next to come.
2. A gap is an item like any other: whoever passes it is told, and nobody has to ask.
3. An item carries the cursor after it. Everybody who is level shares it, so it is rendered once.
4. Frames are rendered when first needed, once per form, and joined once for all who stand at the
   same position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from liveserver.cursor import Cursor, Mark
from liveserver.event import CONTROL_WORDS, Batch
from liveserver.frontend.history.origin_index import OriginIndex
from liveserver.frontend.history.redaction import RETRACT_TYPE, beginning_of_target, emptied
from liveserver.transport.form import Form, Gap, encode

GAP = b"gap"
NOWHERE = Mark("", 0)
_CONTROL_WORDS = frozenset(word.encode() for word in CONTROL_WORDS)


class Item(msgspec.Struct, frozen=True, gc=False):
    """One event with the cursor after it; or a gap up to `number` of its origin, of all if it is empty."""

    event: bytes
    data: bytes
    cursor: bytes
    origin: str
    epoch: str
    number: int


class ResumePoint(NamedTuple):
    """Where a cursor resumes: the position of the first item it has not seen.

    `gap`: events after the cursor are gone. `is_exact`: nothing from `position` on, nor anything
    still to come, was seen already; otherwise what the cursor covers has to be withheld.
    """

    position: int
    gap: bool
    is_exact: bool


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
        self._arrivals: deque[tuple[float, int]] = deque()  # (time, the tip then)
        self._heard_from = 0  # the position from which on they are known
        self._gaps: list[int] = []  # positions
        self._origins: dict[str, OriginIndex] = {}
        self._frames: dict[Form, FrameLog] = {}

    def begin(self, cursor: Cursor) -> None:
        """Stand at `cursor`; nothing was appended yet."""
        self.floor = self.cursor = cursor

    def frames(self, form: Form) -> FrameLog:
        """This log as frames of one form."""
        found = self._frames.get(form)
        if found is None:
            found = self._frames[form] = FrameLog(self, form)
        return found

    def between(self, start: int, end: int) -> Sequence[Item]:
        return self.items[start - self.base : end - self.base]

    def before_gap(self, start: int, end: int) -> int:
        """How far one gets from `start` towards `end` before there is a gap."""
        return next((gap for gap in self._gaps if start <= gap < end), end)

    def cursor_at(self, position: int) -> bytes:
        """The cursor of whoever has seen everything before `position`."""
        if position > self.base:
            return self.items[position - self.base - 1].cursor
        return str(self.floor).encode()

    def arrived_at(self, position: int) -> float | None:
        """When the item at `position` came, in Trio's time; None when it was read from the log, or is not
        here. Quick for the latest ones."""
        arrived = None
        for when, tip in reversed(self._arrivals):
            if tip <= position:
                break
            arrived = when
        return arrived if self.base <= position and self._heard_from <= position < self.tip else None

    def append(self, batch: Batch, skip: int, now: float) -> None:
        """Append the batch's lines from the `skip`th on. A jump in its origin's numbers is a gap."""
        origin, epoch, first = batch.origin, batch.origin_epoch, batch.number + skip
        if (self.cursor.get(origin) or Mark(epoch, 0)) != (epoch, first - 1):
            self.append_gap(
                self.cursor.advanced(origin, epoch, first - 1), now, origin, Mark(epoch, first - 1)
            )
        lines = batch.lines[skip:] if skip else batch.lines
        before, after = (text.encode() for text in self.cursor.around(origin, epoch))
        for number, line in enumerate(lines, first):
            event, _, data = line.partition(b" ")
            if event in _CONTROL_WORDS:  # a dispatcher that accepted it is not ours, or is older
                event = b"x-" + event
            self.items.append(Item(event, data, b"%b%d%b" % (before, number, after), origin, epoch, number))
            if event == RETRACT_TYPE:
                self._take_back(data)
        index = self._origins.get(origin)
        if index is None:
            index = self._origins[origin] = OriginIndex()
        index.extend(epoch, first, self.tip, len(lines))
        self.cursor = self.cursor.advanced(origin, epoch, first + len(lines) - 1)
        self.tip += len(lines)
        self._arrivals.append((now, self.tip))

    def append_gap(self, cursor: Cursor, now: float, origin: str = "", upto: Mark = NOWHERE) -> None:
        """Say that something is missing here, of one origin or of all; what follows begins at `cursor`."""
        text = str(cursor)
        self.items.append(Item(GAP, encode(Gap(self.video, text)), text.encode(), origin, *upto))
        self._gaps.append(self.tip)
        self.cursor = cursor
        self.tip += 1
        self._arrivals.append((now, self.tip))

    def prepend(self, batches: Sequence[Batch]) -> None:
        """Put older events before the oldest item; the last of them is the one just before it."""
        older = ChannelLog(self.video, self.capacity, self.age, cursor_before(self.floor, batches))
        for batch in batches:
            older.append(batch, 0, 0.0)
        self.base -= older.tip
        self._gaps[:0] = [position + self.base for position in older._gaps]
        self.items[:0] = older.items
        self.floor = older.floor
        for item in [item for item in self.items[len(older.items) :] if item.event == RETRACT_TYPE]:
            self._take_back(item.data)
        for origin, index in older._origins.items():
            index.shift(self.base)
            if origin in self._origins:
                self._origins[origin].prepend(index)
            else:
                self._origins[origin] = index

    def _take_back(self, retraction: bytes) -> None:
        """Empty the event that this one retracts, if it is held."""
        beginning = beginning_of_target(retraction)
        if beginning is None:
            return
        for at, item in enumerate(self.items):
            if item.event != RETRACT_TYPE and item.data.startswith(beginning):
                if (data := emptied(item.data)) is None:
                    return
                self.items[at] = msgspec.structs.replace(item, event=RETRACT_TYPE, data=data)
                for frames in self._frames.values():
                    frames.render_again(self.base + at)
                return

    def trim(self, now: float, needed: int) -> None:
        """Forget what is over the bounds, but nothing from `needed` on before twice the bound is reached.

        Done in strokes of an eighth, since each one moves the rest of the list.
        """
        over = len(self.items) - self.capacity
        while self._arrivals and self._arrivals[0][0] < now - self.age:
            self._heard_from = self._arrivals.popleft()[1]
            over = max(over, self._heard_from - self.base)
        cut = max(min(over, needed - self.base), len(self.items) - 2 * self.capacity)
        if cut <= len(self.items) // 8:
            return
        self.floor = Cursor.read(self.items[cut - 1].cursor.decode())
        del self.items[:cut]
        self.base += cut
        while self._arrivals and self._arrivals[0][1] <= self.base:
            self._heard_from = self._arrivals.popleft()[1]
        self._gaps = [position for position in self._gaps if position >= self.base]
        for index in self._origins.values():
            index.forget(self.base)

    def locate(self, cursor: Cursor) -> ResumePoint:
        """Where `cursor` resumes in what is held here. O(origins · log runs)."""
        position, covered, gap, is_exact = self.tip, self.base, False, True
        for origin in cursor.origins | self.cursor.origins:
            mark, tip = cursor.get(origin), self.cursor.get(origin)
            if tip is None:  # an origin nothing was heard of here, yet
                is_exact = False
                continue
            if mark is not None and mark.epoch == tip.epoch and mark.number > tip.number:
                is_exact = False
            index = self._origins.get(origin) or OriginIndex()
            found = index.find(mark, self.floor.get(origin), tip)
            gap = gap or found.gap
            if found.first is not None:
                position = min(position, found.first)
            if found.covered is not None:
                covered = max(covered, found.covered)
        gap = gap or any(
            at >= position and not self.was_seen(self.items[at - self.base], cursor) for at in self._gaps
        )
        return ResumePoint(position, gap, is_exact and covered <= position)

    def has_life(self, origin: str, epoch: str) -> bool:
        """Whether this life of the origin is the present one, held here, or the one before what is held."""
        for end in (self.cursor.get(origin), self.floor.get(origin)):
            if end is not None and end.epoch == epoch:
                return True
        index = self._origins.get(origin)
        return index is not None and index.has(epoch)

    def was_seen(self, item: Item, cursor: Cursor) -> bool:
        """Whether whoever has this cursor has seen the item; of a gap, whether it has none."""
        mark = cursor.get(item.origin)
        if mark is None or mark.epoch == item.epoch:
            return mark is not None and item.number <= mark.number
        present = self.cursor.get(item.origin)
        if present is not None and (
            mark.epoch == present.epoch or not self.has_life(item.origin, mark.epoch)
        ):
            return item.epoch != present.epoch  # see OriginIndex.find
        return self._origins[item.origin].is_before(item.epoch, mark.epoch)


def cursor_before(cursor: Cursor, batches: Sequence[Batch]) -> Cursor:
    """The cursor before the first of `batches`, given the one after the last."""
    for batch in reversed(batches):
        cursor = cursor.advanced(batch.origin, batch.origin_epoch, batch.number - 1)
    return cursor


def gap_frame(form: Form, video: str, cursor: Cursor) -> bytes:
    """What somebody is told who has missed what came before `cursor`."""
    text = str(cursor)
    return form.control(text.encode(), GAP, encode(Gap(video, text)))


class FrameLog:
    """A channel's log in one wire form: frames rendered once, and joined once per starting position."""

    __slots__ = ("_base", "_form", "_frames", "_joined", "_joined_tip", "_log")

    def __init__(self, log: ChannelLog, form: Form) -> None:
        self._log = log
        self._form = form
        self._base = log.tip
        self._frames: list[bytes] = []
        self._joined: dict[int, tuple[bytes, int]] = {}  # start → (bytes, end), all for one tip
        self._joined_tip = log.tip

    def write(self, start: int, limit: int) -> tuple[bytes, int]:
        """The bytes to send to whoever stands at `start`, and where it stands then.

        At most `limit` bytes of frames, but at least one frame; empty at the tip. A gap goes out alone.
        Who stands before `base` is told that there is one, and goes on from there.
        """
        tip = self._log.tip
        if start < self._log.base:
            return self._form.envelope(
                gap_frame(self._form, self._log.video, self._log.floor)
            ), self._log.base
        if tip != self._joined_tip:
            self._joined.clear()
            self._joined_tip = tip
        found = self._joined.get(start)
        if found is None:
            found = self._joined[start] = self._join(start, tip, limit)
        return found

    def _join(self, start: int, tip: int, limit: int) -> tuple[bytes, int]:
        if start >= tip:
            return b"", tip
        tip = self._log.before_gap(start, tip)
        self._render(start, max(tip, start + 1))
        if tip == start:  # the gap itself
            return self._form.envelope(self._frames[start - self._base]), start + 1
        frames = self._frames[start - self._base : tip - self._base]
        if sum(map(len, frames)) > limit:
            size = fitting = 0
            for frame in frames:
                size += len(frame)
                if size > limit and fitting:
                    break
                fitting += 1
            del frames[fitting:]
            tip = start + fitting
        return self._form.joined(self._log.video, self._log.cursor_at(tip), frames), tip

    def _render(self, start: int, tip: int) -> None:
        """Have the frames from `start` to `tip`, and none that the log has forgotten."""
        forgotten = self._log.base - self._base
        if forgotten > len(self._frames):  # nobody read this form for long
            self._frames.clear()
            self._base = max(self._log.base, start)
        elif forgotten > len(self._frames) // 8:
            del self._frames[:forgotten]
            self._base += forgotten
        if start < self._base:
            self._frames[:0] = self._rendered(start, self._base)
            self._base = start
        end = self._base + len(self._frames)
        if end < tip:
            self._frames += self._rendered(end, tip)

    def render_again(self, position: int) -> None:
        """The item there is another now."""
        if 0 <= (at := position - self._base) < len(self._frames):
            self._frames[at : at + 1] = self._rendered(position, position + 1)
            self._joined.clear()

    def _rendered(self, start: int, end: int) -> list[bytes]:
        frame, control = self._form.frame, self._form.control
        return [
            (control if item.event == GAP else frame)(item.cursor, item.event, item.data)
            for item in self._log.between(start, end)
        ]
