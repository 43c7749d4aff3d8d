"""The load of the fan-out: the share of time spent in flushes, over the last tenths of a second.

A rest between two flushes of a segment coalesces its events: it saves time, which only a loaded node needs,
and costs latency. So below `LIGHT` segments do not rest, and from `FULL` on they rest for the full interval.
"""

from __future__ import annotations

WINDOW = 0.1  # seconds
LIGHT, FULL = 0.6, 0.9  # shares of the time


class Load:
    """Counts busy time; `share` is smoothed over a few windows."""

    __slots__ = ("_busy", "_since", "share")

    def __init__(self) -> None:
        self.share = 0.0
        self._busy = 0.0
        self._since = 0.0

    def add(self, seconds: float) -> None:
        """Count a flush."""
        self._busy += seconds

    def rest(self, now: float) -> float:
        """Return the part of the longest rest that segments take, from 0 to 1."""
        elapsed = now - self._since
        if elapsed >= WINDOW:
            latest = min(self._busy / elapsed, 1.0)
            self.share = latest if elapsed >= 10 * WINDOW else (self.share + latest) / 2
            self._busy, self._since = 0.0, now
        return min(max((self.share - LIGHT) / (FULL - LIGHT), 0.0), 1.0)
