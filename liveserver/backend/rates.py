"""A video's likes per second: decides whether likes are published one by one or only as a sum."""

from __future__ import annotations

import math
from collections.abc import Callable

from liveserver.config import LikeSettings
from liveserver.lru import LRU

MAX_VIDEOS = 10_000  # videos with a known rate: those liked last


class LikeRates:
    """Counts likes per video in windows of one second of a monotonic clock.

    A like is an event of its own while neither this window nor the one before has more than `each_up_to`.
    So a rate that stays above it is published as sums only, while the first likes of a burst are still
    published one by one.
    """

    def __init__(self, settings: LikeSettings, monotonic: Callable[[], float]) -> None:
        self._limit = settings.each_up_to
        self._monotonic = monotonic
        # By video: number of the window, likes in the one before, likes in it.
        self._windows: LRU[str, tuple[int, int, int]] = LRU(MAX_VIDEOS)

    def is_each(self, video: str) -> bool:
        """Count a like; return whether it is an event of its own."""
        if self._limit in (0, math.inf):
            return self._limit > 0
        now = int(self._monotonic())
        window, before, here = self._windows.get(video) or (now, 0, 0)
        if window != now:
            before, here = (here if window == now - 1 else 0), 0
        self._windows.put(video, (now, before, here + 1))
        return before <= self._limit and here < self._limit
