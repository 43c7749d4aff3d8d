"""Relays another datacenter's viewer counts: from its feed into our own bus.

The newest count of each video that this node relays is recorded; again if it was too early to be announced.
The peer repeats its counts, so they need not survive a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import trio

from liveserver.bus.interface import Bus
from liveserver.viewer_count import ViewerCount
from liveserver.wakeup import Wakeup

MOST = 20_000  # videos with a count to be recorded; the others are repeated by the peer
BATCH_SIZE, PAUSE = 1_000, 0.2  # counts recorded at once, and the seconds until the next


class ViewerCountRelay:
    """Records the viewer counts of the datacenter `peer` in `ours`."""

    def __init__(self, peer: str, ours: Bus, is_mine: Callable[[str], bool]) -> None:
        self._peer = peer
        self._ours = ours
        self._is_mine = is_mine
        self._waiting: dict[str, ViewerCount] = {}
        self._arrived = Wakeup()

    def on_viewer_count(self, viewers: ViewerCount) -> None:
        """Queue a count from the feed."""
        has_room = viewers.video in self._waiting or len(self._waiting) < MOST
        if viewers.origin == self._peer and has_room and self._is_mine(viewers.video):
            self._waiting[viewers.video] = viewers
            self._arrived.set()

    async def record_some(self) -> None:
        """Wait for counts, and record up to `BATCH_SIZE` of them. Raises `BusError`."""
        while not self._waiting:
            await self._arrived.wait()
        some = [self._waiting.pop(video) for video in list(islice(self._waiting, BATCH_SIZE))]
        for viewers, is_announced in zip(some, await self._ours.note_peer_counts(some), strict=True):
            if not is_announced:
                self._waiting.setdefault(viewers.video, viewers)
        await trio.sleep(PAUSE)
