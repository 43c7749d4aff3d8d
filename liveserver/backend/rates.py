"""A video's likes per second: decides whether likes are published one by one or only as a sum."""

from __future__ import annotations

import math
from collections.abc import Callable

from liveserver.config import LikeSettings

MAX_VIDEOS = 10_000  # videos with a known rate; beyond that all are counted from zero again


class LikeRates:
    """Counts likes per video in windows of one second of a monotonic clock.

    A like is an event of its own while neither this window nor the one before has more than `each_up_to`.
    So a rate that stays above it is published as sums only, while the first likes of a burst are still
    published one by one.
    """

    def __init__(self, settings: LikeSettings, monotonic: Callable[[], float]) -> None:
        self._most = settings.each_up_to
        self._monotonic = monotonic
        self._windows: dict[str, tuple[int, int, int]] = {}  # number of the window, likes before, likes in it

    def is_each(self, video: str) -> bool:
        """Count a like; return whether it is an event of its own."""
        if self._most in (0, math.inf):
            return self._most > 0
        now = int(self._monotonic())
        window, before, here = self._windows.get(video, (now, 0, 0))
        if window != now:
            before, here = (here if window == now - 1 else 0), 0
        if len(self._windows) >= MAX_VIDEOS:
            self._windows.clear()
        self._windows[video] = now, before, here + 1
        return before <= self._most and here < self._most
