"""One video's viewer count in the memory bus; the counterpart of tally.lua."""

from __future__ import annotations

from collections.abc import Mapping

from liveserver.bus.interface import ANNOUNCE
from liveserver.viewer_count import ViewerCount


class ViewerCounter:
    """The last announced count, and the counts of other datacenters. All times are the bus's."""

    __slots__ = ("_announced_at", "_elsewhere", "_fed_at", "announced")

    def __init__(self, video: str, origin: str) -> None:
        self.announced = ViewerCount(video, origin)
        self._announced_at = self._fed_at = float("-inf")
        self._elsewhere: dict[str, tuple[float, int]] = {}  # datacenter → until when it holds, viewers

    def note_peer_count(self, viewers: ViewerCount, now: float) -> None:
        """Include another datacenter's viewers for their `hold`."""
        self._elsewhere[viewers.origin] = (now + viewers.hold, viewers.datacenter)

    def count(self, nodes: Mapping[str, tuple[float, int]], now: float, hold: float = 0.0) -> ViewerCount:
        """Return the current count; `nodes` has the end of each lease, and its viewers."""
        self._elsewhere = {name: held for name, held in self._elsewhere.items() if held[0] > now}
        here = sum(viewers for lease_end, viewers in nodes.values() if lease_end > now)
        there = sum(viewers for _, viewers in self._elsewhere.values())
        return ViewerCount(self.announced.video, self.announced.origin, here, here + there, hold)

    def is_early(self, now: float) -> bool:
        """Return whether the last announcement is too recent for another."""
        return now - self._announced_at < ANNOUNCE

    def announce(
        self, nodes: Mapping[str, tuple[float, int]], now: float, hold: float
    ) -> tuple[ViewerCount, bool, bool]:
        """Return the current count, whether to send it to the nodes, and whether to the feed."""
        current, before = self.count(nodes, now, hold), self.announced
        is_new = (current.datacenter, current.total) != (before.datacenter, before.total)
        is_due = current.datacenter > 0 and now - self._fed_at >= hold / 4
        for_feed = current.datacenter != before.datacenter or is_due
        if is_new:
            self._announced_at = now
        if for_feed:
            self._fed_at = now
        self.announced = current
        return current, is_new, for_feed
