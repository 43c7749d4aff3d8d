"""A channel's recent log: the received events of one video, in order.

Rules:

1. A *position* counts items on this node. Positions are contiguous and continue across the epochs of the
   datacenter's log. `base` is the oldest item held, `tip` the position of the next.
2. A gap is an item like any other: viewers that pass it are sent it, without a test per viewer. It has the
   origin, and the number up to which that origin's events are missing.
3. An item has the cursor after it. All viewers that are level share it, so it is rendered once.
4. Keyed events are folded into the state at their positions. A gap may hide such events, so the state of the
   bus is folded in there, and viewers that pass the gap are sent the state.
5. Of ephemeral events the newest are held, so that a storm of them does not push out the others. From `base`
   on nothing is missing; before it, only ephemeral events are. A viewer from before it is sent the others,
   then the state: no gap. Where ephemeral events are missing within the log, a *skip* reports it.
6. A cursor's marks are compared by epoch, then by number. Which of two epochs is newer is known from the log
   if it has both, otherwise from their names.
7. A keyed event that comes after a newer one has cleared its key, as after a link between datacenters was
   down, clears it, too: states do not name cleared keys, so viewers that begin with one do not know of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from liveserver.cursor import Cursor, Mark
from liveserver.event import CONTROL_WORDS, Batch
from liveserver.frontend.history.frames import GAP, SKIP
from liveserver.frontend.history.items import Item, ResumePoint, cursor_before
from liveserver.frontend.history.origin_index import OriginIndex
from liveserver.frontend.history.redaction import RETRACT_TYPE
from liveserver.frontend.history.rendered import RenderedItems
from liveserver.state import MARK, Keyed, MalformedKeyed, read
from liveserver.transport.form import Gap, encode

_CONTROL_WORDS = frozenset(word.encode() for word in CONTROL_WORDS)
MAX_TYPES = 100  # cached event types of a channel

__all__ = ["GAP", "ChannelLog", "Item", "ResumePoint", "cursor_before"]


class ChannelLog(RenderedItems):
    """The items of one video, bounded by `age` seconds, and by `capacity` items besides
    `ephemeral_capacity` of the ephemeral types."""

    def __init__(
        self,
        video: str,
        capacity: int,
        age: float,
        cursor: Cursor | None = None,
        ephemeral: Collection[str] = (),
        ephemeral_capacity: int | None = None,
    ) -> None:
        super().__init__(video, capacity, age, cursor or Cursor(), ephemeral, ephemeral_capacity)
        self._has_skipped = False  # since the last skip
        self._plain_types: set[bytes] = set()  # types that need no special handling
        self._outdated: list[int] = []  # positions of the batch being appended, see rule 7
        self._reloaded: list[Keyed] = []  # the bus' state, to be folded in at the next gap

    def start_at(self, cursor: Cursor, state: Sequence[bytes] = (), kept: Cursor | None = None) -> None:
        """Begin an empty log at `cursor`, with the lines of the state there. `kept`: see `Head`."""
        self.floor = self.cursor = self.dropped = self._base_cursor = cursor
        self.lost = kept or cursor
        self.state.start_at(event for event in map(parse_state, state) if event is not None)

    def clear(self) -> None:
        """Release all items; the log is no longer used."""
        self.base = self.kept_from = self.tip
        self.floor = self._base_cursor = self.cursor
        self.items.clear()
        self.older.clear()
        self.older_at.clear()
        self._older_times.clear()
        self._arrivals.clear()
        self._gaps.clear()
        self._origins.clear()
        self._clear_frames()
        self.state.clear()
        self.internal.clear()

    def append(self, batch: Batch, skip: int, now: float) -> None:
        """Append the batch's lines from the `skip`th on. A jump in its origin's numbers is a gap,
        unless only ephemeral events are missing."""
        origin, epoch, first = batch.origin, batch.origin_epoch, batch.number + skip
        mark = self.cursor.get(origin) or Mark(epoch, 0)
        if mark != (epoch, first - 1):
            since = first - 1 if skip else batch.after
            if mark.epoch != epoch or since > mark.number:
                self.append_gap(origin, Mark(epoch, since), now)
            if since < first - 1:
                self.pass_over(origin, Mark(epoch, first - 1))
        lines = batch.lines[skip:] if skip else batch.lines
        before, after = (text.encode() for text in self.cursor.around(origin, epoch))
        retracting: list[bytes] = []  # prefixes of the events that these lines retract
        for number, line in enumerate(lines, first):
            event, _, data = line.partition(b" ")
            if event not in self._plain_types:  # one look-up in the usual case
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
            self._redact(self.kept_from, self._retracted.matcher(retracting))
        if self._retracted:
            self._redact(self.tip - len(lines), self._retracted.has_target)
        if self.state.rules.cleared:
            self._redact_cleared(self.tip - len(lines))
        for position in self._outdated:
            self._empty_item(position, self.items[position - self.base])
        self._outdated.clear()

    def has_jump(self, batch: Batch) -> bool:
        """Return whether there would be a gap before the batch, or before its new events."""
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
        if event in _CONTROL_WORDS:  # accepted by a dispatcher of another program, or of an older version
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
        elif not event.is_cleared and self.state.is_cleared_since(event):
            self._outdated.append(position)
        self.state.fold(event, position)
        return event.type

    def reload_state(self, lines: Sequence[bytes]) -> None:
        """Fold the lines of the bus' state in at the next gap, or in `end_reload`."""
        self._reloaded = [event for event in map(parse_state, lines) if event is not None]

    def end_reload(self) -> None:
        """Fold in the lines given to `reload_state`, if there was no gap."""
        for event in self._reloaded:
            self.state.fold(event, self.tip - 1)
        self._reloaded = []
        self._redact_cleared(self.tip)

    def pass_over(self, origin: str, upto: Mark) -> None:
        """Note that ephemeral events of the origin up to `upto` are missing here."""
        self.cursor = self.cursor.advanced(origin, *upto)
        self.dropped = self.dropped.advanced(origin, *upto)
        self._has_skipped = True

    def append_missing(self, cursor: Cursor, kept: Cursor | None, now: float) -> None:
        """Go on to a log's end, before which only events are missing that it does not hold any more.
        `kept`: see `Head`."""
        for origin, mark in cursor:
            seen = self.cursor.get(origin) or Mark(mark.epoch, 0)
            if seen.epoch == mark.epoch:
                is_behind = seen.number < mark.number
            else:
                is_behind = self.is_newer(origin, mark.epoch, seen.epoch) is True
            if not is_behind:
                continue
            upto = (kept and kept.get(origin)) or mark
            if seen.epoch != mark.epoch or seen.number < upto.number:
                self.append_gap(origin, upto, now)
            if upto.number < mark.number:
                self.pass_over(origin, mark)

    def append_skip(self, now: float) -> None:
        """Send viewers that pass here the state, if ephemeral events are missing since the last skip."""
        if not self._has_skipped:
            return
        self._has_skipped = False
        self.items.append(Item(SKIP, b"", str(self.cursor).encode(), "", "", 0))
        self._append_break(now)

    def append_gap(self, origin: str, upto: Mark, now: float) -> None:
        """Note that the origin's events up to `upto` are missing here, as far as they were not held."""
        self.cursor = self.cursor.advanced(origin, *upto)
        text = str(self.cursor)
        self.items.append(Item(GAP, encode(Gap(self.video, text)), text.encode(), origin, *upto))
        self._append_break(now)

    def _append_break(self, now: float) -> None:
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
        older._ephemeral = self._ephemeral
        older.dropped = _dropped_before(batches)
        for batch in batches:
            older.append(batch, 0, now)
        older.append_missing(self.floor, self.lost, now)
        older.append_skip(now)
        self.lost = Cursor((dict(self.lost) | _lost_before(batches)).items())
        if self.base != 0:  # ephemeral events behind these are dropped already
            older._drop_front(len(older.items), now)
        else:
            self._join_dropped(older, {batch.origin for batch in batches})
        moved = older.tip
        self._gaps[:0] = [position - moved for position in older._gaps]
        self.internal.update(position - moved for position in older.internal)
        self.older[:0] = older.older
        self.older_at[:0] = [position - moved for position in older.older_at]
        self._older_times[:0] = older._older_times
        if self.base == 0:
            self.items[:0] = older.items
            self.base = -moved
            self._base_cursor = older.floor
            self._prepended, self._estimates = (now, 0), None
            self.state.prepend([(position - moved, event) for position, event in older.state.changes])
            self._counted, self._ephemeral_count = self.base, 0
        self.kept_from = -moved
        self.floor = older.floor
        for origin, index in older._origins.items():
            index.shift(-moved)
            if origin in self._origins:
                self._origins[origin].prepend(index)
            else:
                self._origins[origin] = index
        if older._retracted or self._retracted:
            self._retracted.update(older._retracted)
            self._redact(self.kept_from, self._retracted.has_target)
        if self.state.rules.cleared:
            self._redact_cleared(self.kept_from)

    def _join_dropped(self, older: ChannelLog, origins: Collection[str]) -> None:
        """Learn which ephemeral events before the oldest item are not held, now that the older ones are
        known."""
        marks = dict(self.dropped)
        for origin, mark in self.floor:
            if origin in origins and marks.get(origin) == mark == older.cursor.get(origin):  # held up to here
                marks.pop(origin)
                if (dropped := older.dropped.get(origin)) is not None:
                    marks[origin] = dropped
        self.dropped = Cursor(marks.items())


def _lost_before(batches: Sequence[Batch]) -> dict[str, Mark]:
    """Return for each origin of batches from a log's beginning the number up to which others may be lost."""
    lost: dict[str, Mark] = {}
    for batch in batches:
        lost.setdefault(batch.origin, Mark(batch.origin_epoch, batch.after))
    return lost


def _dropped_before(batches: Sequence[Batch]) -> Cursor:
    """Return the ephemeral events that are missing before each origin's first batch."""
    first: dict[str, Batch] = {}
    for batch in batches:
        first.setdefault(batch.origin, batch)
    return Cursor(
        (origin, Mark(batch.origin_epoch, batch.number - 1))
        for origin, batch in first.items()
        if batch.after < batch.number - 1
    )


def parse_state(line: bytes) -> Keyed | None:
    """Return the event of a line of the bus' state; None if it is malformed."""
    try:
        return read(line)
    except MalformedKeyed:
        return None
