"""Exponential backoff with full jitter, so that clients do not all retry at once.

"Exponential Backoff And Jitter", M. Brooker, AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random

import trio


class Backoff:
    """Pauses between attempts: random, up to a bound that doubles from `first` seconds to `longest`."""

    __slots__ = ("_bound", "_first", "_longest")

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._bound = first

    def reset(self) -> None:
        """Start again with `first`, after a success."""
        self._bound = self._first

    def next(self) -> float:
        """Return how many seconds to wait before the next attempt."""
        bound = self._bound
        self._bound = min(2 * bound, self._longest)
        return random.uniform(0, bound)

    async def sleep(self) -> None:
        """Wait before the next attempt."""
        await trio.sleep(self.next())
