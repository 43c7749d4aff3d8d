"""What a frontend says of itself: all of it in numbers, and its videos, the most watched ones first."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Annotated

import msgspec

from liveserver.bus.canary import CanaryStatistics
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.channels.receiver import ReceiverStatistics
from liveserver.frontend.channels.subscriptions import TableStatistics
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.instruments import gauge

OTHER = "(other)"  # no video's name: those have no brackets


class FrontendStatistics(msgspec.Struct, frozen=True):
    """Now: `videos`, `viewers`, `lagging`; the rest as the parts count it."""

    videos: Annotated[
        int, gauge("Videos that this node is subscribed to: somebody watches, or did just now.")
    ]
    viewers: Annotated[int, gauge("Viewers here: those on streams, and long-polls that wait.")]
    transports: Annotated[
        dict[str, int], gauge("Viewers by transport.", name="transport_viewers", label="transport")
    ]
    video_viewers: Annotated[
        dict[str, int],
        gauge(
            "Viewers of the videos that have most (ops.top_videos); (other) is all the rest.", label="video"
        ),
    ]
    lagging: Annotated[
        int,
        gauge(
            "Viewers who are not level and are caught up by themselves. Many: slow networks, or this one's "
            "limit."
        ),
    ]
    lag: Annotated[
        int, gauge("Events that those furthest behind have not been written yet.", name="lag_events")
    ]
    sockets: Annotated[int, gauge("Open WebSockets; on each there may be viewers of many videos, or none.")]
    is_listening: Annotated[
        bool, gauge("Whether this node listens to its inbox. 0: it delivers nothing now.")
    ]
    canary: CanaryStatistics
    fanout: FanOutStatistics
    intake: ReceiverStatistics
    table: TableStatistics


class VideoStatus(msgspec.Struct, frozen=True):
    """One video as this node sees it.

    `offset` and `cursor` are of the newest event held, `events` how many are; `lag` is how many of them those
    furthest behind have not been written yet. `mending`: something is missing, and being read from the log.
    """

    video: str
    viewers: int
    transports: dict[str, int]
    epoch: str
    offset: int
    cursor: str
    events: int
    lagging: int
    lag: int
    mending: bool


class FrontendStatus(msgspec.Struct, frozen=True):
    """The most watched videos, and how many more there are, with how many viewers."""

    videos: list[VideoStatus]
    more_videos: int
    more_viewers: int


def transports(channels: Iterable[Channel]) -> dict[str, int]:
    """Viewers by transport; those that every node offers are there also without one."""
    found = Counter({"sse": 0, "ndjson": 0, "poll": 0, "ws": 0})
    for channel in channels:
        found.update(channel.audience.by_transport())
    return dict(found)


def video_viewers(channels: Collection[Channel], count: int) -> dict[str, int]:
    """Viewers of the `count` videos that have most, and of all others together."""
    top = _top(channels, count)
    found = {channel.video: channel.audience.count for channel in top}
    found[OTHER] = sum(channel.audience.count for channel in channels) - sum(found.values())
    return found


def overview(channels: Collection[Channel], count: int) -> FrontendStatus:
    """The `count` videos with most viewers."""
    top = _top(channels, count)
    rest = sum(channel.audience.count for channel in channels) - sum(each.audience.count for each in top)
    return FrontendStatus([video_status(channel) for channel in top], len(channels) - len(top), rest)


def video_status(channel: Channel) -> VideoStatus:
    """What is to be said of one video."""
    audience = channel.audience
    return VideoStatus(
        video=channel.video,
        viewers=audience.count,
        transports=dict(+audience.by_transport()),
        epoch=channel.epoch,
        offset=channel.offset,
        cursor=str(channel.log.cursor),
        events=len(channel.log.items),
        lagging=audience.lagging_count,
        lag=audience.lag,
        mending=channel.is_backfilling,
    )


def _top(channels: Iterable[Channel], count: int) -> list[Channel]:
    return heapq.nlargest(count, channels, key=lambda channel: (channel.audience.count, channel.offset))
