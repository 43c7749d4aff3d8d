"""How many watch, beside the events: what viewers receive, and what dispatchers are.

Rules:

1. Once in `counts_interval` everything is looked at: the counts that have changed are reported, all in
   one request; then, when the answers have had the time to come, each channel whose numbers are not
   what its viewers received last is sent. So no viewer gets them more often, and no video has a timer.
2. Only the newest numbers exist. A viewer that is not level then receives the next ones.
3. What was heard of the datacenter includes what was reported from here. Between two reports the
   difference to what is here by now is put right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from liveserver.transport.form import ViewersPayload, encode
from liveserver.viewer_count import ViewerCount

ANSWERS = 0.1  # seconds for the dispatchers' answers to come before the viewers receive


class ChannelViewerCount:
    """One video's numbers, as this node knows them. `reported` is None until a dispatcher was reported to."""

    __slots__ = ("is_announced", "reported", "sent", "tally")

    def __init__(self, video: str) -> None:
        self.tally = ViewerCount(video, "")
        self.reported: int | None = None
        self.is_announced = True
        self.sent = b""  # what the viewers received last, as JSON

    def report(self, here: int, tally: ViewerCount, *, is_announced: bool) -> None:
        """Note that a dispatcher knows of so many viewers here, and has answered."""
        self.reported, self.tally, self.is_announced = here, tally, is_announced

    def is_due(self, here: int) -> bool:
        """Whether there is something to report."""
        return self.reported is not None and (here != self.reported or not self.is_announced)

    def viewers(self, here: int) -> ViewersPayload:
        change = here - (self.reported or 0)
        datacenter = max(here, self.tally.datacenter + change)
        return ViewersPayload(self.tally.video, here, datacenter, max(datacenter, self.tally.total + change))


class CountedAudience(Protocol):
    """Who is here."""

    def sample_count(self) -> int:
        """How many, for the next report."""
        ...

    def set_viewer_count(self, viewers: bytes) -> None:
        """Tell them how many are watching."""
        ...


class CountedChannel(Protocol):
    """What is counted of a channel."""

    @property
    def audience(self) -> CountedAudience: ...

    @property
    def viewer_count(self) -> ChannelViewerCount: ...


async def count_viewers(
    channels: Mapping[str, CountedChannel], interval: float, report: Callable[[str], None]
) -> None:
    """Look at all channels every `interval` seconds, until cancelled; `report` renews a video's lease."""
    pause = min(ANSWERS, interval / 4)
    while True:
        await trio.sleep(interval - pause)
        here = {}
        for video, channel in channels.items():
            here[video] = count = channel.audience.sample_count()
            if channel.viewer_count.is_due(count):
                report(video)
        await trio.sleep(pause)
        for video, count in here.items():
            if channel_now := channels.get(video):
                viewers = encode(channel_now.viewer_count.viewers(count))
                if viewers != channel_now.viewer_count.sent:
                    channel_now.viewer_count.sent = viewers
                    channel_now.audience.set_viewer_count(viewers)
