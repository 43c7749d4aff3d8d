"""How often somebody may do something, and how many may be there at once; bounded in memory.

A rate is kept as one number per name, the time at which everything until now is paid for (GCRA, ITU-T
I.371): who is ahead of the clock by more than the burst is asked to come back when that is no longer so.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import trio

from liveserver.errors import TooMany


class RateLimiter:
    """`rate` a second per name, `burst` seconds' worth of which may come at once; 0: any.

    The names are `remembered` until so many others have come; who is forgotten begins anew.
    """

    def __init__(self, what: str, rate: float, burst: float, remembered: int) -> None:
        self.what = what
        self.refused = 0
        self._cost = 1 / rate if rate else 0.0
        self._ahead = max(burst, self._cost)  # one is always possible
        self._remembered = remembered
        self._paid: OrderedDict[str, float] = OrderedDict()

    def __bool__(self) -> bool:
        return self._cost > 0

    def wait(self, name: str, count: int, now: float) -> float:
        """How many seconds from now `count` more would be allowed; 0.0: now.

        More than ever fit into a burst are let in when nothing is owed, and paid for afterwards.
        """
        if not self._cost:
            return 0.0
        owed = max(0.0, self._paid.get(name, 0.0) - now)
        return max(0.0, owed + min(count * self._cost, self._ahead) - self._ahead)

    def take(self, name: str, count: int, now: float) -> None:
        if not self._cost:
            return
        self._paid[name] = max(now, self._paid.get(name, 0.0)) + count * self._cost
        self._paid.move_to_end(name)
        while len(self._paid) > self._remembered:
            self._paid.popitem(last=False)

    def __len__(self) -> int:
        return len(self._paid)

    def adopt(self, new: RateLimiter) -> None:
        """Take the rate of another one; what is owed stays."""
        self._cost, self._ahead, self._remembered = new._cost, new._ahead, new._remembered


class CompositeRateLimiter:
    """Several rates for one deed, each by a name of its own: it is allowed by all, or costs nothing."""

    def __init__(self, *rates: RateLimiter) -> None:
        self._rates = rates
        self.is_any = any(rates)

    def adopt(self, new: CompositeRateLimiter) -> None:
        """Take the rates of another one that limits the same."""
        for rate, other in zip(self._rates, new._rates, strict=True):
            rate.adopt(other)
        self.is_any = new.is_any

    @property
    def refused(self) -> int:
        return sum(rate.refused for rate in self._rates)

    def spend(self, *names: str | None, count: int = 1) -> None:
        """One name for each rate, in their order; None where there is none. Raises `TooMany`."""
        if not self.is_any:
            return
        now = trio.current_time()
        pairs = [(rate, name) for rate, name in zip(self._rates, names, strict=True) if rate and name]
        for rate, name in pairs:
            if (wait := rate.wait(name, count, now)) > 0:
                rate.refused += 1
                raise TooMany(f"too many {rate.what}; come back later", max(1, math.ceil(wait)))
        for rate, name in pairs:
            rate.take(name, count, now)


class ConcurrencyLimit:
    """How many are there at once per name, at most `most`; 0: any. Only who is there is remembered."""

    def __init__(self, what: str, most: int) -> None:
        self.what = what
        self.refused = 0
        self._most = most
        self._taken: dict[str, int] = {}

    def __bool__(self) -> bool:
        return self._most > 0

    def __len__(self) -> int:
        return len(self._taken)

    def adopt(self, new: ConcurrencyLimit) -> None:
        """Take the limit of another one; those that are there stay."""
        self._most = new._most

    def is_free(self, name: str) -> bool:
        return self._taken.get(name, 0) < self._most

    def take(self, name: str) -> None:
        self._taken[name] = self._taken.get(name, 0) + 1

    def give_back(self, name: str) -> None:
        left = self._taken[name] - 1
        if left:
            self._taken[name] = left
        else:
            del self._taken[name]


RETRY_PLACE = 5  # seconds: nobody knows when a place becomes free


def nothing() -> None:
    """What is to be done on leaving where nothing was taken."""


class CompositeLimit:
    """Places by several names: one is taken by all of them, or by none."""

    def __init__(self, *places: ConcurrencyLimit) -> None:
        self._places = places
        self.is_any = any(places)

    def adopt(self, new: CompositeLimit) -> None:
        """Take the limits of another one that limits the same."""
        for places, other in zip(self._places, new._places, strict=True):
            places.adopt(other)
        self.is_any = new.is_any

    @property
    def refused(self) -> int:
        return sum(places.refused for places in self._places)

    def enter(self, *names: str | None) -> Callable[[], None]:
        """Take a place for each name that is not None; call what this gives, once, on leaving.

        Raises `TooMany`.
        """
        if not self.is_any:
            return nothing
        pairs = [(each, name) for each, name in zip(self._places, names, strict=True) if each and name]
        for places, name in pairs:
            if not places.is_free(name):
                places.refused += 1
                raise TooMany(f"too many {places.what}; close one, or come back later", RETRY_PLACE)
        for places, name in pairs:
            places.take(name)

        def leave() -> None:
            while pairs:
                places, name = pairs.pop()
                places.give_back(name)

        return leave
