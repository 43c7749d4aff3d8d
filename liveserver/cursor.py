"""What a viewer has seen, in a form any node of any datacenter can resume from.

A cursor is a version vector (Parker et al., 1983): for every origin, the epoch and the number of
the last event seen from it. The order in which datacenters interleave each other's events differs
from one to the next; the order of one origin's events is the same everywhere, so this is all it
takes to resume exactly, anywhere.

    dc1-k3f9a-1532~dc2-p0x1b-871

Text form: `origin-epoch-number`, joined by `~`, origins in ascending order; header- and URL-safe
without escaping, at most 128 bytes (Chromium's limit for a `Last-Event-ID` without a preflight).
Clients treat it as opaque.

Epochs of one origin have an order. Names made by `liveserver.ids.new_epoch` sort by it; any other
name has no known order, and `is_newer_epoch` says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, KeysView
from functools import lru_cache
from typing import NamedTuple

MAX_BYTES = 128
CACHE_SIZE = 1024  # parsed texts
ORDERED_EPOCH_LENGTH = 8  # of the names that sort by age, at least
_TEXT = re.compile(
    r"[a-z0-9]{1,16}-[a-z0-9]{1,12}-(?:0|[1-9][0-9]{0,14})(?:~[a-z0-9]{1,16}-[a-z0-9]{1,12}-(?:0|[1-9][0-9]{0,14}))*"
)


class CursorError(ValueError):
    """The text is not a cursor; the message says why."""


def is_newer_epoch(epoch: str, other: str) -> bool | None:
    """Return whether `epoch` began after `other`, of the same origin; None if the names do not say."""
    if len(epoch) == len(other) >= ORDERED_EPOCH_LENGTH:
        return epoch > other
    return None


class Mark(NamedTuple):
    """How far one origin has been seen: events 1…`number` of the epoch `epoch` of its log."""

    epoch: str
    number: int


class Cursor:
    """An immutable version vector: origin → `Mark`."""

    __slots__ = ("_marks",)

    def __init__(self, marks: Iterable[tuple[str, Mark]] = ()) -> None:
        self._marks = dict(sorted(marks))

    @classmethod
    @lru_cache(maxsize=CACHE_SIZE)
    def parse(cls, text: str) -> Cursor:
        """Parse the text form. Raises `CursorError` on anything `str()` would not have written.

        Cached, since all viewers that are level poll with the same cursor.
        """
        if len(text) > MAX_BYTES:
            raise CursorError(f"a cursor has at most {MAX_BYTES} bytes")
        if not _TEXT.fullmatch(text):
            raise CursorError("a cursor looks like dc1-k3f9a-1532; use the one the server sent, unchanged")
        cursor = cls.parse_trusted(text)
        if str(cursor) != text:
            raise CursorError("a cursor names each origin once, in ascending order")
        return cursor

    @classmethod
    def parse_trusted(cls, text: str) -> Cursor:
        """Parse a cursor that we rendered ourselves, of any length; skips validation."""
        marks = (mark.split("-") for mark in text.split("~") if mark)
        return cls((origin, Mark(epoch, int(number))) for origin, epoch, number in marks)

    def __str__(self) -> str:
        return "~".join(f"{origin}-{epoch}-{number}" for origin, (epoch, number) in self._marks.items())

    def __repr__(self) -> str:
        return f"Cursor({str(self)!r})"

    def __iter__(self) -> Iterator[tuple[str, Mark]]:
        return iter(self._marks.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cursor) and self._marks == other._marks

    def __hash__(self) -> int:
        return hash(tuple(self._marks.items()))

    @property
    def origins(self) -> KeysView[str]:
        return self._marks.keys()

    def get(self, origin: str) -> Mark | None:
        return self._marks.get(origin)

    def advanced(self, origin: str, epoch: str, number: int) -> Cursor:
        """Return this cursor with the mark of `origin` set to `number`, whatever it was before."""
        marks = self._marks.copy()
        is_sorted = origin in marks
        marks[origin] = Mark(epoch, number)
        if not is_sorted:
            return Cursor(marks.items())
        advanced = object.__new__(Cursor)
        advanced._marks = marks
        return advanced

    def without(self, origin: str) -> Cursor:
        """Return this cursor without the mark of `origin`."""
        return Cursor(mark for mark in self._marks.items() if mark[0] != origin)

    def covers(self, origin: str, epoch: str, number: int) -> bool:
        """Return whether this event was already seen: in the mark's epoch, at or before the mark."""
        mark = self._marks.get(origin)
        return mark is not None and mark.epoch == epoch and number <= mark.number

    def merged(self, other: Cursor) -> Cursor:
        """Return what either has seen. Of two epochs the newer wins; `self`'s where the names do not say."""
        marks = dict(other._marks)
        for origin, mark in self._marks.items():
            theirs = marks.get(origin)
            if theirs is None or not (
                theirs.number >= mark.number
                if theirs.epoch == mark.epoch
                else is_newer_epoch(theirs.epoch, mark.epoch)
            ):
                marks[origin] = mark
        return Cursor(marks.items())

    def around(self, origin: str, epoch: str) -> tuple[str, str]:
        """Return the text before and after `origin`'s number, to render a run of its events cheaply.

        `before + str(n) + after == str(self.advanced(origin, epoch, n))` for every n.
        """
        if len(self._marks) == 1 and origin in self._marks:  # the usual case: one datacenter
            return f"{origin}-{epoch}-", ""
        names = sorted({*self._marks, origin})
        split = names.index(origin)
        text = {name: f"{name}-{mark.epoch}-{mark.number}" for name, mark in self._marks.items()}
        before = "~".join([*(text[name] for name in names[:split]), f"{origin}-{epoch}-"])
        after = "".join(f"~{text[name]}" for name in names[split + 1 :])
        return before, after
