"""Videos by the time at which something last happened to them."""

from __future__ import annotations

from collections import OrderedDict

from liveserver.bus.interface import ActiveVideos


class Activity:
    """Videos and times of the bus' clock, in seconds; the least recent first."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: OrderedDict[str, float] = OrderedDict()

    def note(self, video: str, now: float) -> None:
        """Record that it happened to the video again."""
        self._last[video] = now
        self._last.move_to_end(video)

    def since(self, since: int, limit: int, now: float) -> ActiveVideos:
        """Return the first `limit` videos since `since`, as `PeerBus.active_since` does."""
        active = [(name, _ms(at)) for name, at in self._last.items() if _ms(at) >= since]
        upto = active[min(limit, len(active)) - 1][1] if active else since
        if len(active) > limit:
            active = [(name, at) for name, at in active if at <= upto]
        return ActiveVideos([name for name, _ in active], upto, _ms(now))

    def expire(self, upto: float) -> list[str]:
        """Remove the videos whose time is not after `upto`; return them."""
        expired = []
        while self._last and next(iter(self._last.values())) <= upto:
            expired.append(self._last.popitem(last=False)[0])
        return expired


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
