"""A frontend's statistics and the status of its videos, most watched first."""

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

OTHER = "(other)"  # not a valid name of a video


class FrontendStatistics(msgspec.Struct, frozen=True):
    """The statistics of the frontend and of its parts."""

    videos: Annotated[
        int, gauge("Videos that this node is subscribed to: with viewers, or recently with some.")
    ]
    viewers: Annotated[int, gauge("Viewers at this node: streams and waiting long-polls.")]
    transports: Annotated[
        dict[str, int], gauge("Viewers by transport.", name="transport_viewers", label="transport")
    ]
    video_viewers: Annotated[
        dict[str, int],
        gauge("Viewers of the most watched videos (ops.top_videos); (other): all others.", label="video"),
    ]
    lagging: Annotated[
        int,
        gauge(
            "Viewers that are behind and catch up in tasks of their own. Many: slow networks, or this node's "
            "network is at its limit."
        ),
    ]
    lag: Annotated[int, gauge("Events not yet written to the viewers furthest behind.", name="lag_events")]
    sockets: Annotated[int, gauge("Open WebSockets, each with any number of subscriptions.")]
    is_listening: Annotated[
        bool, gauge("Whether this node listens to its inbox. If 0, it delivers no new events.")
    ]
    canary: CanaryStatistics
    fanout: FanOutStatistics
    intake: ReceiverStatistics
    table: TableStatistics


class VideoStatus(msgspec.Struct, frozen=True):
    """One video as this node sees it.

    `offset` and `cursor` are of the newest event held, `events` is the number held; `lag` is how many of them
    the viewers furthest behind have not been sent yet. `mending`: a missing range is being read from the log.
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
    """The most watched videos, the number of other videos, and the viewers of those."""

    videos: list[VideoStatus]
    more_videos: int
    more_viewers: int


def transports(channels: Iterable[Channel]) -> dict[str, int]:
    """Return the number of viewers per transport; transports that every node offers are always included."""
    found = Counter({"sse": 0, "ndjson": 0, "poll": 0, "ws": 0})
    for channel in channels:
        found.update(channel.audience.by_transport())
    return dict(found)


def video_viewers(channels: Collection[Channel], count: int) -> dict[str, int]:
    """Return the viewers of each of the `count` most watched videos, and of all others together."""
    top = _top(channels, count)
    found = {channel.video: channel.audience.totals.count for channel in top}
    found[OTHER] = _count(channels) - sum(found.values())
    return found


def overview(channels: Collection[Channel], count: int) -> FrontendStatus:
    """Return the status of the `count` most watched videos."""
    top = _top(channels, count)
    rest = _count(channels) - _count(top)
    return FrontendStatus([video_status(channel) for channel in top], len(channels) - len(top), rest)


def video_status(channel: Channel) -> VideoStatus:
    """Return the status of one video."""
    audience = channel.audience
    return VideoStatus(
        video=channel.video,
        viewers=audience.totals.count,
        transports=dict(+audience.by_transport()),
        epoch=channel.epoch,
        offset=channel.offset,
        cursor=str(channel.log.cursor),
        events=len(channel.log.items) + len(channel.log.older),
        lagging=audience.lagging_count,
        lag=audience.lag,
        mending=channel.is_backfilling,
    )


def _top(channels: Iterable[Channel], count: int) -> list[Channel]:
    return heapq.nlargest(count, channels, key=lambda each: (each.audience.totals.count, each.offset))


def _count(channels: Iterable[Channel]) -> int:
    """Return the number of viewers of these channels."""
    return sum(channel.audience.totals.count for channel in channels)
