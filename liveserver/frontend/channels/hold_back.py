"""Holds back a video's publishers while its viewers cannot be sent its events as fast as they come.

Rules:

1. Only viewers that keep reading count: level ones, whom the fan-out has yet to write to, and lagging ones
   whose sockets accept more within `READING_PAUSE` seconds. Others are sent `gap`.
2. Nothing is looked at below a quarter of the log in `CHECK_SECONDS`: viewers that resume from an old cursor
   hold back no publisher of a usual rate.
3. A hold is short (`frontend.hold_back`), and is asked for anew as long as there is a reason. Should the bus
   not take it, the events come, and viewers that lose some are sent `gap`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import structlog
import trio

from liveserver.config import HistorySettings
from liveserver.errors import BusError
from liveserver.frontend.channels.channel import Channel
from liveserver.wakeup import Wakeup

CHECKS = 16  # checks while a log turns over
CHECK_SECONDS = 0.25  # a check that comes later than this after the one before finds nothing

log = structlog.get_logger(__name__)


class Holder(Protocol):
    """The part of a bus that is used here."""

    async def hold_back(self, videos: Collection[str], seconds: float) -> None: ...


class HoldBack:
    """Looks after the channels' backlogs. `run` must be running; `seconds`: 0 for never."""

    def __init__(self, bus: Holder, seconds: float, history: HistorySettings) -> None:
        length = min(history.max_events, history.ephemeral_events)
        self.step = max(1, length // CHECKS)  # events between two checks of a channel
        self._limit = length // 4
        self._bus = bus
        self._seconds = seconds
        self._videos: dict[str, None] = {}
        self._due = Wakeup()

    def check(self, channel: Channel) -> None:
        """Have a channel's publishers held back if its viewers are too far behind.

        Called whenever the channel has grown by `step` events.
        """
        now = trio.current_time()
        since, channel.checked_at = channel.checked_at, now
        channel.check_at = channel.log.tip + self.step
        if self._seconds and now - since <= CHECK_SECONDS and channel.audience.reading_lag > self._limit:
            self._videos[channel.video] = None
            self._due.set()

    async def run(self) -> None:
        """Hold videos back, until cancelled."""
        while True:
            await self._due.wait()
            videos = list(self._videos)
            self._videos.clear()
            try:
                await self._bus.hold_back(videos, self._seconds)
            except BusError as error:
                log.warning("publishers_not_held_back", reason=str(error))
