"""The model: everything that was published, by origin, for good."""

from __future__ import annotations

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
    target: str = ""  # of a retraction: the id that it takes back

    @property
    def mark(self) -> Mark:
        return Mark(self.epoch, self.number)


class History:
    """All events; epochs of an origin sort as they began."""

    def __init__(self) -> None:
        self.events: dict[int, Published] = {}
        self.lasts: dict[tuple[str, str], int] = {}  # (origin, epoch) → its last number

    def add(self, event: Published) -> None:
        self.events[event.name] = event
        assert event.number == self.lasts.get((event.origin, event.epoch), 0) + 1, "numbers have a hole"
        self.lasts[event.origin, event.epoch] = event.number


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
