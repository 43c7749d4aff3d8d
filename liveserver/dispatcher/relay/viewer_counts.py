"""How many watch in another datacenter: from its feed into our own bus.

The newest tally of each of this node's videos is noted; one that came too early to be announced once more.
The peer repeats them, so none is worth keeping over a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import trio

from liveserver.bus.interface import Bus
from liveserver.viewer_count import ViewerCount
from liveserver.wakeup import Wakeup

MOST = 20_000  # videos whose viewers wait to be noted; the others are repeated
TOGETHER, PAUSE = 1_000, 0.2  # noted at once, and the seconds until the next ones


class ViewerCountRelay:
    """The tallies of the datacenter `peer`, for `ours`."""

    def __init__(self, peer: str, ours: Bus, is_mine: Callable[[str], bool]) -> None:
        self._peer = peer
        self._ours = ours
        self._is_mine = is_mine
        self._waiting: dict[str, ViewerCount] = {}
        self._arrived = Wakeup()

    def hear(self, tally: ViewerCount) -> None:
        """A tally has come on the feed."""
        has_room = tally.video in self._waiting or len(self._waiting) < MOST
        if tally.origin == self._peer and has_room and self._is_mine(tally.video):
            self._waiting[tally.video] = tally
            self._arrived.set()

    async def note_some(self) -> None:
        """Wait for some, and note them. Raises `BusError`."""
        while not self._waiting:
            await self._arrived.wait()
        some = [self._waiting.pop(video) for video in list(islice(self._waiting, TOGETHER))]
        for tally, is_announced in zip(some, await self._ours.note_peer_counts(some), strict=True):
            if not is_announced:
                self._waiting.setdefault(tally.video, tally)
        await trio.sleep(PAUSE)
