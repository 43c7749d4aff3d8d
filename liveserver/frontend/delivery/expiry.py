"""Those whose permission runs out, by the second in which it does: no viewer has a timer."""

from __future__ import annotations

import heapq
import math
from typing import Protocol

from liveserver.transport.form import Reason


class Expirable(Protocol):
    """Who may stay `until` then, in Trio's time."""

    until: float

    @property
    def is_gone(self) -> bool: ...

    def say_bye(self, reason: Reason, retry: int) -> None: ...

    def __hash__(self) -> int: ...


class Expiries:
    """Guests in the order in which they have to go. Those who go before are forgotten at once."""

    def __init__(self) -> None:
        self._guests: dict[int, set[Expirable]] = {}
        self._seconds: list[int] = []  # a heap of the keys

    def add(self, guest: Expirable) -> None:
        if guest.until == math.inf:
            return
        second = math.ceil(guest.until)
        if second not in self._guests:
            self._guests[second] = set()
            heapq.heappush(self._seconds, second)
        self._guests[second].add(guest)

    def discard(self, guest: Expirable) -> None:
        if guest.until != math.inf and (guests := self._guests.get(math.ceil(guest.until))) is not None:
            guests.discard(guest)

    @property
    def next_at(self) -> float:
        """When somebody has to go, in Trio's time."""
        while self._seconds and not self._guests[self._seconds[0]]:
            del self._guests[heapq.heappop(self._seconds)]
        return self._seconds[0] if self._seconds else math.inf

    def take_due(self, now: float, limit: int) -> list[Expirable]:
        """At most `limit` of those whose time has come; they are forgotten."""
        due: list[Expirable] = []
        while len(due) < limit and self.next_at <= now:
            due.append(self._guests[self._seconds[0]].pop())
        return due
