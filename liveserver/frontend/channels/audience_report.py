"""Who has watched: reported to the bus in batches, for the number of users and the peak of viewers.

Rules:

1. Three times per lease, as leases are renewed, the viewers of all channels are scanned: joining and
   the fan-out pay nothing. A user who comes and goes between two scans is not counted.
2. Reported are the users who were not there at the last scan, and a peak that has risen; everything every
   `REPEAT` scans, so that it does not expire, and a Redis that has lost it has it again.
3. The peak is of the viewers in all datacenters, as counted every `counts_interval` (viewer_count.py).
4. What the bus did not take is reported with the next scan.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
import trio

from liveserver.bus.interface import Bus
from liveserver.errors import BusError
from liveserver.frontend.channels.channel import Channel
from liveserver.viewer_count import AudienceReport

REPEAT = 6  # scans
BATCH_SIZE = 5_000  # users in one call, about
VIEWERS_PER_STEP = 1_000  # viewers scanned before other tasks run

log = structlog.get_logger(__name__)

_NONE: tuple[frozenset[str], int] = frozenset(), 0


class AudienceReporter:
    """Reports the audiences of this node's channels; `has_users` is false where viewers have no tokens."""

    def __init__(
        self, channels: Mapping[str, Channel], bus: Bus, lease: float, ttl: float, *, has_users: bool
    ) -> None:
        self._channels = channels
        self._bus = bus
        self._interval = lease / 3
        self._ttl = max(ttl, 2 * REPEAT * self._interval)
        self._has_users = has_users
        self._scans = 0
        self._reported: dict[str, tuple[frozenset[str], int]] = {}  # users of the last scan, peak

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await trio.sleep(self._interval)
            try:
                await self._scan()
            except BusError as error:
                log.warning("audience_not_reported", reason=str(error))

    async def _scan(self) -> None:
        """Report what is new. Raises `BusError`."""
        if self._scans % REPEAT == 0:
            self._reported.clear()
        self._scans += 1
        for video in self._reported.keys() - self._channels.keys():
            del self._reported[video]
        reports: list[AudienceReport] = []
        scans: dict[str, tuple[frozenset[str], int]] = {}
        for video, channel in list(self._channels.items()):
            users = await _users(channel) if self._has_users else frozenset[str]()
            peak = channel.viewer_count.peak
            known, known_peak = self._reported.get(video, _NONE)
            new = users - known
            scans[video] = users, peak
            if new or peak > known_peak:
                reports.append(AudienceReport(video, list(new), peak))
            if sum(1 + len(report.users) for report in reports) >= BATCH_SIZE:
                await self._send(reports, scans)
        await self._send(reports, scans)

    async def _send(
        self, reports: list[AudienceReport], scans: dict[str, tuple[frozenset[str], int]]
    ) -> None:
        if reports:
            await self._bus.add_audiences(reports, self._ttl)
        self._reported.update(scans)
        reports.clear()
        scans.clear()


async def _users(channel: Channel) -> frozenset[str]:
    """Return the users of a channel's viewers, on streams and in waiting polls."""
    viewers = [*channel.audience.viewers()]
    waiters = [waiter for segment in channel.audience.poll_segments() for waiter in segment.waiters]
    grants = [each.grant for each in viewers] + [each.grant for each in waiters]
    users: set[str] = set()
    for start in range(0, len(grants), VIEWERS_PER_STEP):
        some = grants[start : start + VIEWERS_PER_STEP]
        users.update(grant.user for grant in some if grant is not None and grant.user is not None)
        await trio.lowlevel.checkpoint()
    return frozenset(users)
