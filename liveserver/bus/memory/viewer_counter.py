"""One video's viewers in the memory bus: what tally.lua does over Redis."""

from __future__ import annotations

from collections.abc import Mapping

from liveserver.bus.interface import ANNOUNCE
from liveserver.viewer_count import ViewerCount


class ViewerCounter:
    """What was announced last, and what other datacenters have announced. All times are the bus's."""

    __slots__ = ("_announced_at", "_elsewhere", "_fed_at", "said")

    def __init__(self, video: str, origin: str) -> None:
        self.said = ViewerCount(video, origin)
        self._announced_at = self._fed_at = float("-inf")
        self._elsewhere: dict[str, tuple[float, int]] = {}  # datacenter → until when it holds, viewers

    def note(self, tally: ViewerCount, now: float) -> None:
        """Count in another datacenter's viewers."""
        self._elsewhere[tally.origin] = (now + tally.hold, tally.datacenter)

    def count(self, nodes: Mapping[str, tuple[float, int]], now: float, hold: float = 0.0) -> ViewerCount:
        """Who watches now; `nodes` has the end of each lease, and its viewers."""
        self._elsewhere = {name: held for name, held in self._elsewhere.items() if held[0] > now}
        here = sum(viewers for lease_end, viewers in nodes.values() if lease_end > now)
        there = sum(viewers for _, viewers in self._elsewhere.values())
        return ViewerCount(self.said.video, self.said.origin, here, here + there, hold)

    def is_early(self, now: float) -> bool:
        """Whether the last announcement was just now."""
        return now - self._announced_at < ANNOUNCE

    def announce(
        self, nodes: Mapping[str, tuple[float, int]], now: float, hold: float
    ) -> tuple[ViewerCount, bool, bool]:
        """The newest tally, whether the nodes are to hear it, and whether the feed is."""
        tally, before = self.count(nodes, now, hold), self.said
        is_new = (tally.datacenter, tally.total) != (before.datacenter, before.total)
        is_due = tally.datacenter > 0 and now - self._fed_at >= hold / 4
        for_feed = tally.datacenter != before.datacenter or is_due
        if is_new:
            self._announced_at = now
        if for_feed:
            self._fed_at = now
        self.said = tally
        return tally, is_new, for_feed
