"""The ranks of a log's comments within their seconds, from which samples are taken.

A comment's rank is how many comments of its second, by their `at`, the log has before it. It is found once,
and stays when comments are retracted. The ranks of two nodes differ in at most the second in which a log
begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from liveserver.transport.filter import COMMENT, Filter

SECONDS = 1_000  # whose comments are counted
_AT = re.compile(rb',"at":(\d{1,16})')


class SampledItem(Protocol):
    """A log's item, as samples are taken of it."""

    @property
    def event(self) -> bytes: ...

    @property
    def data(self) -> bytes: ...


class SampledLog(Protocol):
    """The log that samples are taken of."""

    @property
    def tip(self) -> int: ...

    @property
    def kept_from(self) -> int: ...

    def walk(self, start: int, end: int) -> Iterator[tuple[int, SampledItem]]: ...


class Ranks:
    """The ranks of the comments of one log."""

    __slots__ = ("_counts", "_end", "_log", "_ranks", "_start")

    def __init__(self, log: SampledLog) -> None:
        self._log = log
        self._start = self._end = log.kept_from
        self._ranks: dict[int, int] = {}  # by position
        self._counts: dict[int, int] = {}  # comments of each of the last seconds

    def rank(self, position: int) -> int:
        """Return the rank of the comment at a position that the log holds."""
        if position >= self._end:
            self._count(self._end, self._log.tip, self._counts)
            self._end = self._log.tip
            self._trim()
        elif position < self._start:  # the log was read back to before where it began
            start = self._log.kept_from
            self._count(start, self._start, {})
            self._start = start
        return self._ranks.get(position, 0)

    def _count(self, start: int, end: int, counts: dict[int, int]) -> None:
        for position, item in self._log.walk(start, end):
            if item.event != COMMENT:
                continue
            found = _AT.search(item.data)
            second = int(found[1]) // 1000 if found is not None else 0
            rank = self._ranks[position] = counts.get(second, 0)
            counts[second] = rank + 1
            if len(counts) > SECONDS:
                del counts[next(iter(counts))]

    def _trim(self) -> None:
        """Drop the ranks of what the log has dropped, when it is half of them."""
        kept_from = self._log.kept_from
        if kept_from <= self._start or len(self._ranks) < 2 * (self._end - kept_from):
            return
        self._ranks = {at: rank for at, rank in self._ranks.items() if at >= kept_from}
        self._start = kept_from

    def includes(self, chosen: Filter, position: int, item: SampledItem) -> bool:
        """Return whether a viewer with this filter is sent the item."""
        is_sampled = chosen.rate is not None and item.event == COMMENT
        return chosen.includes(item.event, self.rank(position) if is_sampled else 0)

    def omits(self, chosen: Filter, position: int, item: SampledItem) -> bool:
        """Return whether the item is a comment that a viewer with this filter is not sent."""
        return item.event == COMMENT and chosen.omits(item.event, self.rank(position))

    def count_omitted(self, chosen: Filter | None, start: int, end: int) -> int:
        """Return how many comments between two positions a viewer with this filter is not sent."""
        if chosen is None or chosen.rate is None:
            return 0
        return sum(self.omits(chosen, position, item) for position, item in self._log.walk(start, end))
