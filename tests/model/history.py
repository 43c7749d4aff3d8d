"""The model: everything that was published, by origin, for good."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from liveserver.cursor import Cursor, Mark


class Published(NamedTuple):
    """One event, as its origin numbered it. `name` is in its data, and of no other event."""

    origin: str
    epoch: str
    number: int
    name: int
    id: str
    type: str
    target: str = ""  # of a retraction: the id that it retracts

    @property
    def mark(self) -> Mark:
        return Mark(self.epoch, self.number)


class History:
    """All events; epochs of an origin sort as they began."""

    def __init__(self) -> None:
        self.events: dict[int, Published] = {}
        self.ephemeral: frozenset[str] = frozenset()  # types of which some may be absent, untold
        self._kept: dict[tuple[str, str], list[int]] = {}  # numbers of the others
        self.lasts: dict[tuple[str, str], int] = {}  # (origin, epoch) → its last number

    def add(self, event: Published) -> None:
        self.events[event.name] = event
        assert event.number == self.lasts.get((event.origin, event.epoch), 0) + 1, "numbers have a hole"
        self.lasts[event.origin, event.epoch] = event.number
        if event.type not in self.ephemeral:
            self._kept.setdefault((event.origin, event.epoch), []).append(event.number)

    def kept(self, origin: str, epoch: str, first: int, last: int) -> list[int]:
        """Return the numbers from `first` to `last` of which none may be missing untold."""
        numbers = self._kept.get((origin, epoch), [])
        return numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]


def is_before(one: Mark | None, other: Mark) -> bool:
    """Whether `one` has seen less than `other`."""
    return one is None or (one.epoch, one.number) < (other.epoch, other.number)


def joined(one: Cursor, other: Cursor) -> Cursor:
    """What either has seen."""
    marks = dict(one)
    for origin, mark in other:
        if is_before(marks.get(origin), mark):
            marks[origin] = mark
    return Cursor(marks.items())
