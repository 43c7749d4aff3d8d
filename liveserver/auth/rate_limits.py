"""Rate limits and concurrency limits by name (address, user, video); bounded in memory.

A rate limiter keeps one number per name, the time until which its requests are paid for (GCRA, ITU-T
I.371). A request that would put it ahead of the clock by more than the burst is refused, with the seconds
after which it would be admitted. `TokenBucket` is the same for a single name; here, one request may be larger
than the burst, and all names share their parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from liveserver.errors import TooMany
from liveserver.lru import LRU


class RateLimiter:
    """Admits `rate` requests a second per name, and bursts of `burst` seconds' worth. A rate of 0: no limit.

    The `cache_size` names used last are remembered; a name that was dropped starts with a full burst.
    """

    def __init__(self, what: str, rate: float, burst: float, cache_size: int) -> None:
        self.what = what
        self.refused = 0
        self._cost = 1 / rate if rate else 0.0
        self._ahead = max(burst, self._cost)  # at least one request
        self._paid = LRU[str, float](cache_size)

    def __bool__(self) -> bool:
        return self._cost > 0

    def delay(self, name: str, count: int, now: float) -> float:
        """Return in how many seconds `count` more would be admitted; 0.0: now.

        A count larger than the burst is admitted only when the bucket is full, then charged.
        """
        if not self._cost:
            return 0.0
        owed = max(0.0, (self._paid.peek(name) or 0.0) - now)
        return max(0.0, owed + min(count * self._cost, self._ahead) - self._ahead)

    def charge(self, name: str, count: int, now: float) -> None:
        if not self._cost:
            return
        self._paid.put(name, max(now, self._paid.peek(name) or 0.0) + count * self._cost)

    def __len__(self) -> int:
        return len(self._paid)

    def adopt(self, new: RateLimiter) -> None:
        """Adopt the parameters of another limiter; the charges stay."""
        self._cost, self._ahead, self._paid.size = new._cost, new._ahead, new._paid.size


class CompositeRateLimiter:
    """Several rate limiters for one action, each with its own name: all admit it, or none is charged."""

    def __init__(self, *rates: RateLimiter) -> None:
        self._rates = rates
        self.is_any = any(rates)

    def adopt(self, new: CompositeRateLimiter) -> None:
        """Adopt the parameters of another composite with the same limiters."""
        for rate, other in zip(self._rates, new._rates, strict=True):
            rate.adopt(other)
        self.is_any = new.is_any

    @property
    def refused(self) -> int:
        return sum(rate.refused for rate in self._rates)

    def acquire(self, *names: str | None, count: int = 1) -> None:
        """Charge all limiters, given one name for each, in order; None: skip it. Raises `TooMany`."""
        if not self.is_any:
            return
        now = trio.current_time()
        pairs = [(rate, name) for rate, name in zip(self._rates, names, strict=True) if rate and name]
        for rate, name in pairs:
            if (wait := rate.delay(name, count, now)) > 0:
                rate.refused += 1
                raise TooMany(f"too many {rate.what}; come back later", max(1, math.ceil(wait)))
        for rate, name in pairs:
            rate.charge(name, count, now)


class ConcurrencyLimit:
    """Admits at most `limit` at once per name; 0: no limit. Remembers only names in use."""

    def __init__(self, what: str, limit: int) -> None:
        self.what = what
        self.refused = 0
        self._limit = limit
        self._taken: dict[str, int] = {}

    def __bool__(self) -> bool:
        return self._limit > 0

    def __len__(self) -> int:
        return len(self._taken)

    def adopt(self, new: ConcurrencyLimit) -> None:
        """Adopt another limit's number; what has been acquired stays."""
        self._limit = new._limit

    def has_room(self, name: str) -> bool:
        return self._taken.get(name, 0) < self._limit

    def acquire(self, name: str) -> None:
        self._taken[name] = self._taken.get(name, 0) + 1

    def release(self, name: str) -> None:
        left = self._taken[name] - 1
        if left:
            self._taken[name] = left
        else:
            del self._taken[name]


RETRY_AFTER = 5  # seconds: when one will be released is not known


def nothing() -> None:
    """Release nothing: what `CompositeLimit.acquire` returns if nothing is limited."""


class CompositeLimit:
    """Several concurrency limits, each with its own name: all admit it, or none is acquired."""

    def __init__(self, *limits: ConcurrencyLimit) -> None:
        self._limits = limits
        self.is_any = any(limits)

    def adopt(self, new: CompositeLimit) -> None:
        """Adopt the numbers of another composite with the same limits."""
        for limit, other in zip(self._limits, new._limits, strict=True):
            limit.adopt(other)
        self.is_any = new.is_any

    @property
    def refused(self) -> int:
        return sum(limit.refused for limit in self._limits)

    def acquire(self, *names: str | None) -> Callable[[], None]:
        """Acquire all limits, given one name for each, in order; return the function that releases them.

        None as a name: skip its limit. Raises `TooMany`.
        """
        if not self.is_any:
            return nothing
        pairs = [(each, name) for each, name in zip(self._limits, names, strict=True) if each and name]
        for limit, name in pairs:
            if not limit.has_room(name):
                limit.refused += 1
                raise TooMany(f"too many {limit.what}; close one, or come back later", RETRY_AFTER)
        for limit, name in pairs:
            limit.acquire(name)

        def release() -> None:
            while pairs:
                limit, name = pairs.pop()
                limit.release(name)

        return release
