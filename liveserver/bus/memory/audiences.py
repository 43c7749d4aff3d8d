"""Users who have watched each video, and its most viewers at once, in the memory bus."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from liveserver.bus.memory.distinct import DistinctCounter
from liveserver.viewer_count import AudienceReport, AudienceSize

VIDEOS = 1_000  # the latest ones; those before them are dropped


class Audiences:
    """Adds reports up until each video's time is over. All times are the bus's."""

    def __init__(self) -> None:
        self._videos: OrderedDict[str, tuple[float, DistinctCounter, int]] = OrderedDict()

    def add(self, report: AudienceReport, now: float, ttl: float) -> None:
        until, users, peak = self._videos.pop(report.video, (now, DistinctCounter(), 0))
        if until <= now:
            users, peak = DistinctCounter(), 0
        users.add(report.users)
        self._videos[report.video] = max(until, now + ttl), users, max(peak, report.peak)
        # Two per report: they do not accumulate.
        for video in [each for each, (end, *_) in islice(self._videos.items(), 2) if end <= now]:
            del self._videos[video]
        while len(self._videos) > VIDEOS:
            self._videos.popitem(last=False)

    def size(self, video: str, now: float) -> AudienceSize:
        until, users, peak = self._videos.get(video, (now, DistinctCounter(), 0))
        return AudienceSize(users.count(), peak) if until > now else AudienceSize()
