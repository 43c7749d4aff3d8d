"""Sweeps: which videos of a peer had events since the last sweep, and which of them are behind here.

Rules:

1. A sweep runs at once when listening began or was resumed, when the members of the group have changed and
   when a batch had to be dropped (`request`), and every `sweep_interval`.
2. After a request, all videos that were active since the last sweep are read from the peer's log. A regular
   sweep compares their heads with our logs first.
3. Every `full_sweep_interval` all videos that the peer's log remembers are compared: this finds what other
   dispatchers should have relayed, and what our own log has lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from liveserver.bus.interface import PeerBus
from liveserver.config import RelaySettings
from liveserver.dispatcher.relay.backfill import Backfiller, Backlog, missing_events
from liveserver.dispatcher.relay.membership import Membership
from liveserver.errors import BusError
from liveserver.wakeup import Wakeup

PAGE = 5_000  # videos requested at once
COMPARED = 1_000  # videos compared at once
NEVER = 2**50  # milliseconds: no video was active since
GRACE = 0.25  # seconds for events in flight, before they count as missing

log = structlog.get_logger(__name__)


class Sweeper:
    """Finds the videos of the datacenter `peer` that are behind here, and adds them to the `backlog`.

    The peer's log keeps events for `age` seconds. `unreached_since` is None while the peer answers.
    """

    def __init__(
        self,
        peer: str,
        theirs: PeerBus,
        settings: RelaySettings,
        age: float,
        backfiller: Backfiller,
        backlog: Backlog,
    ) -> None:
        self.unreached_since: float | None = trio.current_time()
        self._peer = peer
        self._theirs = theirs
        self._settings = settings
        self._age = age
        self._backfiller = backfiller
        self._backlog = backlog
        self._requested = Wakeup()
        self._since = 0  # by the peer's clock, in ms: all events before it were relayed
        self._is_sure = False  # whether no event was missed since; otherwise a sweep does not compare
        self._full_sweep_at = 0.0

    def is_reached(self) -> bool:
        """Return whether the peer answered when it was last asked."""
        return self.unreached_since is None

    def request(self) -> None:
        """Sweep soon: events may have been missed."""
        self._is_sure = False
        self._requested.set()

    async def sweep(self, membership: Membership) -> None:
        """Wait until a sweep is due, and sweep. Raises `BusError`."""
        await self._requested.wait(trio.current_time() + self._settings.sweep_interval)
        clock = await self._peers_clock()
        await membership.join()
        is_sure, self._is_sure = self._is_sure, True
        try:
            # The peer's clock is set back when its Redis comes back with older data.
            since = min(self._since, clock - _ms(self._settings.sweep_interval))
            await self._find_behind(membership, since, compare=is_sure)
            if not is_sure or trio.current_time() >= self._full_sweep_at:
                self._full_sweep_at = trio.current_time() + self._settings.full_sweep_interval
                await self._find_behind(membership, clock - _ms(self._age), compare=True)
        except BusError:
            self._is_sure = False
            raise
        self._since = clock - _ms(self._settings.sweep_interval)
        if not is_sure:
            await trio.sleep(GRACE)  # frequent requests do not cause continuous sweeps

    async def _find_behind(self, membership: Membership, since: int, *, compare: bool) -> None:
        """Add the videos that were active since then to the backlog; with `compare`, only those behind."""
        while True:
            active = await self._theirs.active_since(max(0, since), PAGE)
            videos = [video for video in active.videos if membership.is_mine(video)]
            if compare:
                videos = await self._compare([video for video in videos if video not in self._backlog])
            self._backlog.add(videos)
            if len(active.videos) < PAGE:
                return
            since = active.upto + 1
            await self._backlog.wait_empty()

    async def _peers_clock(self) -> int:
        """Return the peer's clock, in milliseconds. Raises `BusError`."""
        try:
            active = await self._theirs.active_since(NEVER, 1)
        except BusError:
            if self.unreached_since is None:
                self.unreached_since = trio.current_time()
            raise
        if self.unreached_since is not None:
            log.info("relaying", peer=self._peer)
        self.unreached_since = None
        return active.now

    async def _compare(self, videos: Sequence[str]) -> list[str]:
        """Return those whose logs here lack events that the peer had `GRACE` seconds ago."""
        behind: list[str] = []
        for start in range(0, len(videos), COMPARED):
            some = dict.fromkeys(videos[start : start + COMPARED], 0)
            heads = await self._theirs.read_several(some, 0)
            await trio.sleep(GRACE)
            for video, position in (await self._backfiller.positions(some)).items():
                if missing_events(position, heads[video].head.cursor.get(self._peer)):
                    behind.append(video)
        return behind


def _ms(seconds: float) -> int:
    return int(1000 * seconds)
