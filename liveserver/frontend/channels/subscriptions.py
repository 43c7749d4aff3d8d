"""The subscription table of a frontend: the videos watched at this node, in memory.

Rules:

1. The first viewer of a video subscribes this node at a dispatcher; after the last has left, the node
   unsubscribes after a linger time, so that a reconnecting viewer finds the channel as it was.
2. One task makes all requests, one after the other, each for as many videos as are due: subscriptions
   and withdrawals of a video arrive in their order.
3. When the viewer count of a video has changed, its lease is renewed soon, together with others: this
   reports the counts (viewer_count.py).
4. Leases are renewed three times within their duration, and at once after an interruption. Each answer
   has the heads of the logs; a channel that is behind its head is backfilled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from liveserver.bus.canary import CanarySender
from liveserver.bus.interface import Lease
from liveserver.config import FrontendSettings, HistorySettings
from liveserver.errors import BusError, DispatcherError, Unavailable
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.channels.receiver import Receiver
from liveserver.frontend.channels.viewer_count import count_viewers
from liveserver.frontend.delivery.fanout import FanOut
from liveserver.instruments import gauge, total
from liveserver.wakeup import Wakeup

VIDEOS_PER_REQUEST = 1_000  # videos in one request
LINGER_TICK = 1.0  # seconds between two scans for channels without viewers
RETRY = 0.2  # seconds after a request that no dispatcher answered

log = structlog.get_logger(__name__)


class LeaseService(CanarySender, Protocol):
    """The part of a dispatcher that a frontend uses. All raise `DispatcherError` or `BusError`."""

    async def renew_leases(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        """Subscribe, or renew leases, for `lease` seconds; `videos` has the viewer count of each.

        The leases of the videos in `opening` include the state.
        """
        ...

    async def withdraw(self, node: str, videos: Collection[str]) -> None: ...


class TableStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the requests that are due at the moment."""

    wanted: Annotated[int, gauge("Videos with waiting viewers that no dispatcher has granted yet.")]
    unwanted: Annotated[int, gauge("Videos to unsubscribe from.")]
    renewed: Annotated[int, total("Leases that a dispatcher granted or renewed.")]
    failures: Annotated[
        int, total("Lease requests that no dispatcher answered. New videos cannot be opened meanwhile.")
    ]


class ChannelRef:
    """The context manager of `SubscriptionTable.open_channel`; not a generator, for speed."""

    __slots__ = ("_channel", "_patience")

    def __init__(self, channel: Channel, patience: float) -> None:
        self._channel = channel
        self._patience = patience

    async def __aenter__(self) -> Channel:
        channel = self._channel
        channel.arriving += 1
        try:
            if not channel.is_open:
                with trio.move_on_after(self._patience):
                    await channel.settled.wait()
                if not channel.is_open:
                    raise Unavailable(
                        "this node cannot subscribe to the video at the moment; try again", retry_after=2
                    )
        except BaseException:
            channel.arriving -= 1
            raise
        return channel

    async def __aexit__(self, *raised: object) -> None:
        self._channel.arriving -= 1


class SubscriptionTable:
    """Subscribes this node to videos. `channels` is the table; the receiver feeds its channels."""

    def __init__(
        self,
        node: str,
        leases: LeaseService,
        channels: dict[str, Channel],
        fanout: FanOut,
        receiver: Receiver,
        settings: FrontendSettings,
        history: HistorySettings,
    ) -> None:
        self.channels = channels
        self._node = node
        self._leases = leases
        self._fanout = fanout
        self._receiver = receiver
        self._settings = settings
        self._history = history
        self._wanted: dict[str, None] = {}  # new videos, to subscribe to
        self._unwanted: dict[str, None] = {}  # to unsubscribe from
        self._changed: dict[str, None] = {}  # with a changed viewer count
        self._renew_at = float("inf")
        self._renewed = self._failures = 0
        self._due = Wakeup()
        self.on_banned: Callable[[Channel], None] | None = None
        self.on_grown: Callable[[Channel], None] | None = None

    def open_channel(self, video: str) -> ChannelRef:
        """Return a context manager of the video's channel, which is open for the duration of the block.

        Entering raises `Unavailable` if no dispatcher answers in time.
        """
        channel = self.channels.get(video)
        if channel is None:
            channel = self.channels[video] = Channel(video, self._fanout, self._history)
            channel.on_banned, channel.on_grown = self.on_banned, self.on_grown
            self._wanted[video] = None
            self._due.set()
        return ChannelRef(channel, self._settings.subscribe_timeout)

    def report(self, video: str) -> None:
        """Report the video's viewer count to a dispatcher."""
        self._changed[video] = None
        self._due.set()

    def renew_now(self) -> None:
        """Renew all leases and compare all heads at once: batches may have been missed."""
        self._renew_at = 0.0
        self._due.set()

    async def run(self) -> None:
        """Renew and withdraw leases until cancelled; cancellation withdraws none (see `withdraw_all`)."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._linger)
            nursery.start_soon(count_viewers, self.channels, self._settings.counts_interval, self.report)
            while True:
                await self._due.wait(self._renew_at)
                try:
                    await self._ask()
                except (DispatcherError, BusError) as error:
                    self._failures += 1
                    log.warning("lease_renewal_failed", reason=str(error))
                    await trio.sleep(RETRY)
                    self._due.set()

    async def _ask(self) -> None:
        """Make all requests that are due. After `DispatcherError` or `BusError` they are still due."""
        now = trio.current_time()
        if self._renew_at <= now:
            # All that are subscribed; new ones come below, and do not wait for this. The time of the next
            # renewal is set before the request, since `renew_now` may be called during it.
            self._renew_at = now + self._settings.lease / 3
            try:
                await self._renew([video for video in self.channels if video not in self._wanted])
            except (DispatcherError, BusError):
                self._renew_at = now
                raise
        while self._wanted:
            await self._renew(list(islice(self._wanted, VIDEOS_PER_REQUEST)))
        while self._changed:
            page = list(islice(self._changed, VIDEOS_PER_REQUEST))
            for video in page:  # before the request: a change during it is another one
                del self._changed[video]
            try:
                await self._renew([video for video in page if video in self.channels])
            except (DispatcherError, BusError):
                self._changed.update(dict.fromkeys(page))
                raise
        while self._unwanted:
            page = list(islice(self._unwanted, VIDEOS_PER_REQUEST))
            if videos := [video for video in page if video not in self.channels]:
                await self._leases.withdraw(self._node, videos)
            for video in page:
                del self._unwanted[video]
        self._renew_at = min(self._renew_at, now + self._settings.lease / 3)  # the first time

    async def _renew(self, videos: list[str]) -> None:
        for page in _pages(videos, VIDEOS_PER_REQUEST):
            known = {video: self.channels[video] for video in page if video in self.channels}
            counts = {video: channel.audience.totals.watching for video, channel in known.items()}
            opening = [video for video in counts if not self.channels[video].is_open]
            leases = await self._leases.renew_leases(self._node, counts, self._settings.lease, opening)
            self._renewed += len(leases)
            for video, lease in leases.items():
                channel = self.channels.get(video)
                if channel is None:
                    continue
                channel.viewer_count.on_reported(
                    counts[video], lease.viewers, is_announced=lease.is_announced
                )
                if channel.is_open:
                    self._receiver.compare(channel, lease.head)
                else:
                    self._receiver.open(channel, lease.head, lease.state)
            for video in page:
                self._wanted.pop(video, None)

    async def _linger(self) -> None:
        while True:
            await trio.sleep(LINGER_TICK)
            self._trim_and_close(trio.current_time() - self._settings.linger)

    def _trim_and_close(self, before: float) -> None:
        """Trim the logs, and close the channels that have been empty since `before`."""
        for video, channel in list(self.channels.items()):
            channel.trim()
            if (
                channel.audience.totals.count == 0
                and channel.audience.totals.empty_since <= before
                and not channel.arriving
            ):
                del self.channels[video]
                channel.close()
                self._wanted.pop(video, None)
                self._unwanted[video] = None
                self._due.set()

    def statistics(self) -> TableStatistics:
        return TableStatistics(
            wanted=len(self._wanted),
            unwanted=len(self._unwanted),
            renewed=self._renewed,
            failures=self._failures,
        )

    async def withdraw_all(self) -> None:
        """Withdraw all leases. Raises `DispatcherError`, `BusError`."""
        for page in _pages(list(self.channels), VIDEOS_PER_REQUEST):
            await self._leases.withdraw(self._node, page)


def _pages(videos: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(videos), size):
        yield videos[start : start + size]
