"""A token bucket, kept as one number (GCRA, ITU-T I.371)."""

from __future__ import annotations

import math


class TokenBucket:
    """`burst` tokens at once, and one more every `seconds`."""

    __slots__ = ("_ahead", "_paid_until", "_seconds")

    def __init__(self, burst: float, seconds: float) -> None:
        self._seconds = seconds
        self._ahead = burst * seconds
        self._paid_until = -math.inf  # all that was taken is paid for by then

    def acquire(self, now: float, count: float = 1) -> bool:
        """Take tokens and return True; return False if there are not enough."""
        paid_until = max(self._paid_until, now) + count * self._seconds
        if paid_until > now + self._ahead + 1e-9:
            return False
        self._paid_until = paid_until
        return True

    def reserve(self, now: float, count: float = 1) -> float:
        """Take tokens, in advance if there are not enough; return how many seconds to wait until there are.

        Unused tokens accumulate up to `burst`.
        """
        self._paid_until = max(self._paid_until, now - self._ahead) + count * self._seconds
        return max(0.0, self._paid_until - now)
