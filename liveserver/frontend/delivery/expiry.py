"""Viewers by the second in which their grants expire, so that no viewer has a timer."""

from __future__ import annotations

import heapq
import math
from typing import Protocol

from liveserver.transport.form import Reason


class Expirable(Protocol):
    """A connection whose grant expires at `until`, in Trio's time."""

    until: float

    @property
    def is_gone(self) -> bool: ...

    def disconnect(self, reason: Reason, retry: int) -> None: ...

    def __hash__(self) -> int: ...


class Expiries:
    """Connections in the order in which their grants expire. Those that leave earlier are removed at once."""

    def __init__(self) -> None:
        self._expirables: dict[int, set[Expirable]] = {}
        self._seconds: list[int] = []  # a heap of the keys

    def add(self, expirable: Expirable) -> None:
        if expirable.until == math.inf:
            return
        second = math.ceil(expirable.until)
        if second not in self._expirables:
            self._expirables[second] = set()
            heapq.heappush(self._seconds, second)
        self._expirables[second].add(expirable)

    def discard(self, expirable: Expirable) -> None:
        if (
            expirable.until != math.inf
            and (expirables := self._expirables.get(math.ceil(expirable.until))) is not None
        ):
            expirables.discard(expirable)

    @property
    def next_at(self) -> float:
        """When the next grant expires, in Trio's time."""
        while self._seconds and not self._expirables[self._seconds[0]]:
            del self._expirables[heapq.heappop(self._seconds)]
        return self._seconds[0] if self._seconds else math.inf

    def take_due(self, now: float, limit: int) -> list[Expirable]:
        """Remove and return up to `limit` expired connections."""
        due: list[Expirable] = []
        while len(due) < limit and self.next_at <= now:
            due.append(self._expirables[self._seconds[0]].pop())
        return due
