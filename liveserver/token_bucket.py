"""How often something may happen: a token bucket, kept as one number (GCRA, ITU-T I.371)."""

from __future__ import annotations

import math


class TokenBucket:
    """`burst` tokens at once, and one more every `seconds`."""

    __slots__ = ("_ahead", "_paid_until", "_seconds")

    def __init__(self, burst: float, seconds: float) -> None:
        self._seconds = seconds
        self._ahead = burst * seconds
        self._paid_until = -math.inf  # all that was taken is paid for by then

    def take(self, now: float, count: float = 1) -> bool:
        """Take tokens and return True; False when there are not as many."""
        paid_until = max(self._paid_until, now) + count * self._seconds
        if paid_until > now + self._ahead + 1e-9:
            return False
        self._paid_until = paid_until
        return True

    def take_late(self, now: float, count: float = 1) -> float:
        """Take tokens whether or not they are there; return how many seconds to wait until they are.

        What was not used counts up to `burst`.
        """
        self._paid_until = max(self._paid_until, now - self._ahead) + count * self._seconds
        return max(0.0, self._paid_until - now)
