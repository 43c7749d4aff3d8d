"""Index of one origin's events in a channel's log, by the origin's own numbers.

An origin's events form *ranges* of consecutive numbers at consecutive positions: while only one datacenter
publishes to a video, all of its events are one range, and finding a number is one subtraction. A log has
several *epochs* of an origin whose own log began anew. Where ephemeral events were dropped between others,
each of those is a range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import inf
from operator import attrgetter
from typing import NamedTuple

from liveserver.cursor import Mark, is_newer_epoch


class NumberRange(NamedTuple):
    """`length` events from `number` on, at the positions from `position` on."""

    number: int
    position: int
    length: int


class EpochIndex:
    """The ranges of one epoch of one origin, ascending."""

    __slots__ = ("epoch", "ranges")

    def __init__(self, epoch: str, ranges: list[NumberRange]) -> None:
        self.epoch = epoch
        self.ranges = ranges

    @property
    def start(self) -> int:
        """The position of the first event."""
        return self.ranges[0].position

    @property
    def end(self) -> int:
        """The position after the last event."""
        return self.ranges[-1].position + self.ranges[-1].length

    def extend(self, number: int, position: int, length: int) -> None:
        last = self.ranges[-1]
        if last.number + last.length == number and last.position + last.length == position:
            self.ranges[-1] = last._replace(length=last.length + length)
        else:
            self.ranges.append(NumberRange(number, position, length))

    def trim(self, base: int) -> None:
        """Drop events before the position `base`."""
        keep = 0
        for held in self.ranges:
            if held.position + held.length > base:
                break
            keep += 1
        del self.ranges[:keep]
        if self.ranges and self.ranges[0].position < base:
            first = self.ranges[0]
            gone = base - first.position
            self.ranges[0] = NumberRange(first.number + gone, base, first.length - gone)

    def compact(self, start: int, end: int, kept: Sequence[tuple[int, int]]) -> None:
        """Drop what lies between two positions, but for the events of these numbers and positions."""
        at = bisect_left(self.ranges, start, key=attrgetter("position"))
        later = EpochIndex(self.epoch, self.ranges[at:])
        later.trim(end)
        del self.ranges[at:]
        for number, position in kept:
            if self.ranges:
                self.extend(number, position, 1)
            else:
                self.ranges.append(NumberRange(number, position, 1))
        self.ranges += later.ranges

    def after(self, number: int) -> tuple[int | None, NumberRange | None]:
        """Return the position after all events up to `number`, and the first range of the rest."""
        index = bisect_right(self.ranges, (number, inf, inf)) - 1
        behind = None
        if index >= 0:
            held = self.ranges[index]
            within = number + 1 - held.number
            if within < held.length:
                position = held.position + within
                return position, NumberRange(number + 1, position, held.length - within)
            behind = held.position + held.length
        following = self.ranges[index + 1] if index + 1 < len(self.ranges) else None
        return behind, following


class Found(NamedTuple):
    """The position of a mark among one origin's events.

    `first` is the position of the first event that the mark does not cover (None: it covers all that
    are held); all covered events lie before `covered`.
    """

    first: int | None
    covered: int | None = None


class OriginIndex:
    """The epochs of one origin that the log holds events of, oldest first."""

    __slots__ = ("epochs",)

    def __init__(self) -> None:
        self.epochs: list[EpochIndex] = []

    def extend(self, epoch: str, number: int, position: int, length: int) -> None:
        if self.epochs and self.epochs[-1].epoch == epoch:
            self.epochs[-1].extend(number, position, length)
        else:
            self.epochs.append(EpochIndex(epoch, [NumberRange(number, position, length)]))

    def shift(self, by: int) -> None:
        """Move all events by so many positions."""
        for held in self.epochs:
            held.ranges = [each._replace(position=each.position + by) for each in held.ranges]

    def prepend(self, older: OriginIndex) -> None:
        """Prepend the events of an older part of the log."""
        later = self.epochs
        self.epochs = older.epochs
        for held in later:
            for each in held.ranges:
                self.extend(held.epoch, *each)

    def trim(self, base: int) -> None:
        """Drop events before the position `base`."""
        for held in self.epochs:
            held.trim(base)
        self.epochs = [held for held in self.epochs if held.ranges]

    def compact(self, start: int, end: int, kept: Sequence[tuple[str, int, int]]) -> None:
        """As `EpochIndex.compact`; the kept events with their epochs."""
        for held in self.epochs:
            held.compact(start, end, [each[1:] for each in kept if each[0] == held.epoch])
        self.epochs = [held for held in self.epochs if held.ranges]

    def find(self, mark: Mark | None, floor: Mark | None, tip: Mark) -> Found:
        """Return the position of `mark`, given the marks before and after the whole log."""
        held = self.epochs
        if mark is None:
            return Found(held[0].start if held else None)
        for index, each in enumerate(held):
            if each.epoch != mark.epoch:
                continue
            covered, following = each.after(mark.number)
            if covered is None and index:
                covered = held[index - 1].end
            if following is not None:
                return Found(following.position, covered)
            if index + 1 < len(held):
                return Found(held[index + 1].start, covered)
            return Found(None, covered)
        if mark.epoch == tip.epoch:  # no event of it is held: those that are held are older
            return Found(None, held[-1].end if held else None)
        first = self._first_after(mark, floor, tip)
        covered = held[-1].end if held else None
        if first is None:
            return Found(None, covered)
        return Found(held[first].start, held[first - 1].end if first else None)

    def _first_after(self, mark: Mark, floor: Mark | None, tip: Mark) -> int | None:
        """Return the index of the first held epoch that began after the mark's, which is not held."""
        if floor is not None and mark.epoch == floor.epoch:
            return 0 if self.epochs else None
        for index, each in enumerate(self.epochs):
            is_newer = is_newer_epoch(each.epoch, mark.epoch)
            # If the names have no order, only the present epoch is certain to be newer.
            if is_newer or (is_newer is None and each.epoch == tip.epoch):
                return index
        return None
