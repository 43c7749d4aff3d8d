"""Viewer counts: reported to dispatchers, and sent to viewers.

Rules:

1. Every `counts_interval` all channels are scanned: changed counts are reported in one request; after a
   pause for the answers, counts that have changed are sent to the channel's viewers. So viewers receive at
   most one per interval, and no video has a timer.
2. Only the newest count is kept. A viewer that is behind receives the next one.
3. The datacenter's count includes the count that this node reported; it is corrected by the difference to
   the node's present count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from liveserver.frontend.delivery.viewer_totals import ViewerTotals
from liveserver.transport.form import ViewersPayload, encode
from liveserver.viewer_count import ViewerCount

ANSWERS = 0.1  # seconds between reporting the counts and sending them to the viewers


class ChannelViewerCount:
    """One video's counts at this node. `reported` is None until the first report to a dispatcher."""

    __slots__ = ("announced", "is_announced", "peak", "reported", "sent")

    def __init__(self, video: str) -> None:
        self.announced = ViewerCount(video, "")
        self.reported: int | None = None
        self.is_announced = True
        self.peak = 0  # the most viewers in all datacenters
        self.sent = b""  # the counts sent to the viewers last, as JSON

    def on_reported(self, here: int, viewers: ViewerCount, *, is_announced: bool) -> None:
        """Record a dispatcher's answer to a report of `here` viewers."""
        self.reported, self.announced, self.is_announced = here, viewers, is_announced
        self.peak = max(self.peak, here, viewers.total)

    def is_due(self, here: int) -> bool:
        """Return whether the count has to be reported."""
        return self.reported is not None and (here != self.reported or not self.is_announced)

    def viewers(self, here: int) -> ViewersPayload:
        """Return the counts, given the node's present one."""
        change, known = here - (self.reported or 0), self.announced
        datacenter = max(here, known.datacenter + change)
        return ViewersPayload(known.video, here, datacenter, max(datacenter, known.total + change))


class CountedAudience(Protocol):
    """An audience, as the counting task uses it."""

    totals: ViewerTotals

    def set_viewer_count(self, viewers: bytes) -> None:
        """Send the counts to the viewers."""
        ...


class CountedChannel(Protocol):
    """A channel, as the counting task uses it."""

    @property
    def audience(self) -> CountedAudience: ...

    @property
    def viewer_count(self) -> ChannelViewerCount: ...


async def count_viewers(
    channels: Mapping[str, CountedChannel], interval: float, report: Callable[[str], None]
) -> None:
    """Count the viewers of all channels every `interval` seconds until cancelled.

    `report` renews a video's lease.
    """
    pause = min(ANSWERS, interval / 4)
    while True:
        await trio.sleep(interval - pause)
        here = {}
        for video, channel in channels.items():
            here[video] = count = channel.audience.totals.sample()
            if channel.viewer_count.is_due(count):
                report(video)
        await trio.sleep(pause)
        for video, count in here.items():
            if channel_now := channels.get(video):
                payload = channel_now.viewer_count.viewers(count)
                channel_now.viewer_count.peak = max(channel_now.viewer_count.peak, payload.total)
                viewers = encode(payload)
                if viewers != channel_now.viewer_count.sent:
                    channel_now.viewer_count.sent = viewers
                    channel_now.audience.set_viewer_count(viewers)
