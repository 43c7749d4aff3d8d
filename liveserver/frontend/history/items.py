"""The items of a log, and the positions of cursors among them. `log.py` modifies the log."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from liveserver.cursor import Cursor, Mark, is_newer_epoch
from liveserver.event import Batch
from liveserver.frontend.history.frames import GAP, SKIP
from liveserver.frontend.history.origin_index import OriginIndex

BREAKS = frozenset((GAP, SKIP))


class Item(msgspec.Struct, frozen=True, gc=False):
    """One event with the cursor after it; or a gap up to `number` of its origin; or, of no origin, a skip:
    ephemeral events are missing there, and what of them was keyed is in the state."""

    event: bytes
    data: bytes
    cursor: bytes
    origin: str
    epoch: str
    number: int


class Marks(Protocol):
    """A cursor, or the marks of one that is being advanced."""

    def get(self, origin: str, /) -> Mark | None: ...


class ResumePoint(NamedTuple):
    """Where a cursor resumes: the position of the first item it has not seen.

    `gap`: events after the cursor are missing. `is_cut`: some of them precede the oldest item, so that no
    gap in the log reports them. `seen`: the cursor of events to withhold from here on, or None.
    `skipped`: ephemeral events after the cursor are not held.
    """

    position: int
    gap: bool = False
    is_cut: bool = False
    seen: Cursor | None = None
    skipped: bool = False


class LogItems:
    """The items held of one video, up to the position before `tip`.

    `items` has all from the position `base` on. Before them `older` has those that are not ephemeral, at the
    positions `older_at`, from `kept_from` on. `floor` is the cursor at `kept_from`, and `cursor` the one
    after the newest item. `lost` is the newest number of each origin that is not ephemeral and not held,
    `dropped` the newest that is ephemeral and not held.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.base = self.tip = self.kept_from = 0
        self.items: list[Item] = []
        self.older: list[Item] = []
        self.older_at: list[int] = []
        self.floor = self.cursor = self.lost = self.dropped = cursor
        self._base_cursor = cursor
        self._gaps: list[int] = []  # positions; of skips, too
        self._origins: dict[str, OriginIndex] = {}

    def between(self, start: int, end: int) -> Sequence[Item]:
        if start >= self.base:
            return self.items[start - self.base : end - self.base]
        first, last = bisect_left(self.older_at, start), bisect_left(self.older_at, end)
        return self.older[first:last] + self.items[: max(0, end - self.base)]

    def walk(self, start: int, end: int) -> Iterator[tuple[int, Item]]:
        """Yield the items between two positions, each with its own."""
        if start < self.base:
            first, last = bisect_left(self.older_at, start), bisect_left(self.older_at, end)
            yield from zip(self.older_at[first:last], self.older[first:last], strict=True)
            start = self.base
        yield from enumerate(self.items[start - self.base : max(0, end - self.base)], start)

    def item_at(self, position: int) -> Item:
        """Return the item held there. Raises `LookupError`."""
        if position >= self.base:
            return self.items[position - self.base]
        found = self.between(position, position + 1)
        return found[0]

    def size_between(self, start: int, end: int) -> int:
        """Return how many items are held between two positions."""
        return end - start if start >= self.base else len(self.between(start, end))

    def before_gap(self, start: int, end: int) -> int:
        """Return the position of the first gap, or skip, from `start` on, or `end`."""
        return next((gap for gap in self._gaps if start <= gap < end), end)

    def after_events(self, start: int, count: int) -> int:
        """Return the position behind `count` events from `start` on, gaps not counted; at most the tip."""
        if start < self.base:
            for position, item in self.walk(start, self.base):
                count -= item.event not in BREAKS
                if count == 0:
                    return position + 1
            start = self.base
        end = start + count
        for gap in self._gaps:
            if start <= gap <= end:
                end += 1
        return min(end, self.tip)

    def before_events(self, count: int, end: int | None = None) -> int:
        """Return the position of the `count`th event before `end`, by default the tip; gaps are not counted.
        The oldest, if there are not as many."""
        end = self.tip if end is None else end
        start = end - count
        for gap in reversed(self._gaps):
            if start <= gap < end and gap >= self.base:
                start -= 1
        if start < self.base and self.older:
            more, start = self.base - start, self.older_at[0]
            for position, item in zip(reversed(self.older_at), reversed(self.older), strict=True):
                more -= item.event not in BREAKS
                if more == 0:
                    return position
        start = max(start, self.older_at[0] if self.older else self.base)
        while start in self._gaps and start < end:
            start += 1
        return start

    def count_events(self, end: int) -> int:
        """How many events are held before `end`."""
        return max(0, end - self.base) + len(self.older) - sum(gap < end for gap in self._gaps)

    @property
    def event_count(self) -> int:
        """The number of events held."""
        return len(self.items) + len(self.older) - len(self._gaps)

    def cursor_at(self, position: int) -> bytes:
        """Return the cursor of a viewer that has seen everything before `position`, as far as it is held."""
        if position > self.base:
            return self.items[position - self.base - 1].cursor
        if position <= self.kept_from:
            return str(self.floor).encode()
        at = bisect_left(self.older_at, position)
        if at == len(self.older):
            return str(self._base_cursor).encode()
        item = self.older[at]
        if item.event in BREAKS:
            return self.older[at - 1].cursor if at else str(self.floor).encode()
        before = Cursor.parse_trusted(item.cursor.decode())
        return str(before.advanced(item.origin, item.epoch, item.number - 1)).encode()

    def locate(self, cursor: Cursor) -> ResumePoint:
        """Return where `cursor` resumes in what is held here. O(origins · log ranges)."""
        position, covered, is_cut, is_over = self.tip, self.kept_from, False, False
        skipped = False
        for origin in cursor.origins | self.cursor.origins:
            mark, tip = cursor.get(origin), self.cursor.get(origin)
            if tip is None:  # nothing was received of this origin yet
                continue
            found = (self._origins.get(origin) or OriginIndex()).find(mark, self.floor.get(origin), tip)
            is_cut = is_cut or self._is_cut(origin, mark)
            is_over = is_over or self._is_over(origin, mark)
            skipped = skipped or self._is_before(origin, mark, self.dropped.get(origin))
            if found.first is not None:
                position = min(position, found.first)
            if found.covered is not None:
                covered = max(covered, found.covered)
        gap = next((at for at in self._gaps if self._is_unseen_gap(at, cursor)), None)
        if gap is not None:
            position = min(position, gap)
        # Cursors from the position on have to cover all that this one does, or it would go back.
        seen = cursor if covered > position or not self.reaches(position, cursor) else None
        is_gap = is_cut or is_over or gap is not None
        return ResumePoint(position, is_gap, is_cut, seen, skipped and not is_gap)

    def reaches(self, position: int, cursor: Cursor) -> bool:
        """Return whether the cursor at `position` has seen all that this one has."""
        here = self.cursor
        if position < self.tip:
            at_floor = position <= self.kept_from
            here = self.floor if at_floor else Cursor.parse_trusted(self.cursor_at(position).decode())
        for origin, mark in cursor:
            reached = here.get(origin)
            if reached is None and mark.number == 0 and self.cursor.get(origin) is None:
                continue  # an origin without events: none that could come twice
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

    def was_seen(self, item: Item, cursor: Marks) -> bool:
        """Return whether a viewer with this cursor has seen the item; of a gap, whether it has none."""
        mark = cursor.get(item.origin)
        if mark is None or mark.epoch == item.epoch:
            return mark is not None and item.number <= mark.number
        is_newer = self.is_newer(item.origin, mark.epoch, item.epoch)
        if is_newer is not None:
            return is_newer
        present = self.cursor.get(item.origin)
        return present is not None and item.epoch != present.epoch  # see OriginIndex._first_after

    def is_next(self, item: Item, cursor: Marks) -> bool:
        """Return whether nothing of the item's origin lies between the cursor and this unseen event.

        Within an epoch, missing events are a gap in the log, or were ephemeral. But no gap reports the end of
        an epoch that this log never held.
        """
        mark = cursor.get(item.origin)
        return mark is None or mark.epoch == item.epoch

    def _is_over(self, origin: str, mark: Mark | None) -> bool:
        """Return whether the mark's epoch was over before the first event of the origin came here.

        No gap in the log reports that; `is_next` notices it at that event.
        """
        if mark is None or self.floor.get(origin) is not None:
            return False
        first = self._epochs(origin)[0]
        if mark.epoch == first:
            return False
        return self.is_newer(origin, mark.epoch, first) is not True

    def is_cut(self, cursor: Cursor) -> bool:
        """Return whether events that the cursor has not seen lie before what is held."""
        return any(self._is_cut(origin, cursor.get(origin)) for origin in self.lost.origins)

    def _is_cut(self, origin: str, mark: Mark | None) -> bool:
        """Return whether events of the origin after `mark` lie before what is held."""
        return self._is_before(origin, mark, self.lost.get(origin))

    def _is_before(self, origin: str, mark: Mark | None, other: Mark | None) -> bool:
        """Return whether a cursor with `mark` has not seen the event at `other` of the origin."""
        if other is None:
            return False
        if mark is None:
            return other.number > 0
        if mark.epoch == other.epoch:
            return mark.number < other.number
        return self.is_newer(origin, mark.epoch, other.epoch) is not True

    def _is_unseen_gap(self, position: int, cursor: Cursor) -> bool:
        item = self.item_at(position)
        return item.event == GAP and not self.was_seen(item, cursor)

    def _epochs(self, origin: str) -> list[str]:
        """Return the epochs of an origin that this log has been through and still knows, oldest first."""
        index, floor, tip = self._origins.get(origin), self.floor.get(origin), self.cursor.get(origin)
        known = [floor.epoch] if floor is not None else []
        known += [held.epoch for held in index.epochs] if index is not None else []
        known += [tip.epoch] if tip is not None else []
        return list(dict.fromkeys(known))


def cursor_before(cursor: Cursor, batches: Sequence[Batch]) -> Cursor:
    """Return the cursor before the first of `batches`, given the one after the last."""
    for batch in reversed(batches):
        cursor = cursor.advanced(batch.origin, batch.origin_epoch, batch.number - 1)
    return cursor
