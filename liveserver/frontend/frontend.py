"""The frontend role: assembles the subscription table, the receiver and the fan-out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import structlog
import trio

from liveserver.auth.grant import Grant
from liveserver.bus.canary import Canary
from liveserver.bus.interface import Bus
from liveserver.config import Settings
from liveserver.errors import BusError, DispatcherError, Unavailable
from liveserver.frontend.channels.audience_report import AudienceReporter
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.channels.hold_back import HoldBack
from liveserver.frontend.channels.receiver import Receiver
from liveserver.frontend.channels.subscriptions import LeaseService, SubscriptionTable
from liveserver.frontend.delivery.fanout import FanOut
from liveserver.frontend.drain import drain
from liveserver.frontend.endings import Connected, Joining, end_users, end_where
from liveserver.frontend.status import (
    FrontendStatistics,
    FrontendStatus,
    VideoStatus,
    overview,
    transports,
    video_status,
    video_viewers,
)
from liveserver.frontend.trace import Trace, trace
from liveserver.frontend.users import watching_users
from liveserver.moderation.rules import Rules, banned
from liveserver.transport.form import AudiencePayload, Reason, ViewersPayload
from liveserver.wakeup import Wakeup

WITHDRAW_SECONDS = 2.0
RETRY_AFTER = 1  # seconds

log = structlog.get_logger(__name__)


class Frontend:
    """The frontend role of one node. Open it with `open_frontend`."""

    def __init__(
        self,
        node: str,
        settings: Settings,
        table: SubscriptionTable,
        fanout: FanOut,
        receiver: Receiver,
        canary: Canary,
        bus: Bus,
    ) -> None:
        self.node = node
        self.canary = canary
        self.table = table
        self.fanout = fanout
        self.receiver = receiver
        self.sockets: set[Connected] = set()  # all that are open
        self.joining: Collection[Joining] = ()  # the admission's
        self.site_rules = Rules()  # the rules for all videos
        self.is_draining = False
        self.is_full: Callable[[], bool] = lambda: False
        self._settings = settings
        self._bus = bus
        self._clock = time.time
        self._banned: dict[str, Channel] = {}  # channels with users to be disconnected
        self._some_banned = Wakeup()
        table.on_banned = self.on_banned

    def refusal(self) -> Reason | None:
        """Return why new viewers are refused at the moment, or None."""
        if self.is_draining:
            return Reason.DRAIN
        return Reason.OVERLOAD if self.is_full() else None

    async def viewers(self, video: str) -> ViewersPayload:
        """Return the viewer counts of a video, subscribed to here or not. Raises `Unavailable`."""
        channel = self.table.channels.get(video)
        if channel is not None and channel.is_open:
            return channel.viewer_count.viewers(channel.audience.totals.watching)
        try:
            known = await self._bus.count(video)
        except BusError:
            raise Unavailable("the viewer count is unavailable; try again", RETRY_AFTER) from None
        return ViewersPayload(video, 0, known.datacenter, known.total)

    async def audience(self, video: str) -> AudiencePayload | ViewersPayload:
        """Return the viewer counts with the users who have watched, and the peak; without these two while the
        bus does not answer. Raises `Unavailable`."""
        now = await self.viewers(video)
        try:
            size = await self._bus.audience(video)
        except BusError as error:
            log.warning("audience_not_known", reason=str(error))
            return now
        peak = max(size.peak, now.total)
        return AudiencePayload(now.video, now.here, now.datacenter, now.total, size.unique, peak)

    async def drain(self) -> None:
        """Disconnect all viewers, evenly over the drain time, and withdraw the leases."""
        self.is_draining = True
        await drain(
            self.table.channels, self.sockets, self._settings.node.drain_timeout, self._settings.frontend
        )
        with trio.move_on_after(WITHDRAW_SECONDS):
            try:
                await self.table.withdraw_all()
            except (DispatcherError, BusError) as error:
                log.warning("lease_withdrawal_failed", reason=str(error))

    async def disconnect_all(self) -> None:
        """Disconnect all viewers at once."""
        self.is_draining = True
        await drain(self.table.channels, self.sockets, 0.0, self._settings.frontend)

    def watching_users(self, video: str) -> tuple[dict[str, str | None], int, int] | None:
        """Return the users who watch a video here, with their roles, the number of viewers, and of those
        without a user; None when this node is not subscribed to it."""
        channel = self.table.channels.get(video)
        return watching_users(channel) if channel is not None else None

    async def end_where(self, does_end: Callable[[Grant], bool], reason: Reason) -> int:
        """End the streams of viewers with such grants, and answer their waiting polls; return their
        number.
        """
        return await end_where(
            self.table.channels, self.sockets, self.joining, does_end, reason, self._settings.frontend
        )

    async def unsubscribe_user(self, video: str, user: str) -> None:
        """End a user's streams of one video; the user's other streams continue."""
        channel = self.table.channels.get(video)
        if channel is not None:
            await end_users(channel, frozenset({user}), Reason.DISCONNECTED, self._settings.frontend)

    def check_ban(self, channel: Channel | None, grant: Grant) -> None:
        """Raise `Forbidden` for a viewer who is banned from all videos, or from this one."""
        user = grant.user
        if user is None or not grant.is_viewer:
            return
        site, rules = self.site_rules, channel.log.state.rules if channel is not None else None
        if not (site.bans or (rules is not None and rules.bans)):
            return
        now = int(self._clock() * 1000)
        ban = site.ban(user, now) or (rules.ban(user, now) if rules is not None else None)
        if ban is not None:
            raise banned(ban, now)

    def on_banned(self, channel: Channel) -> None:
        """Note that users were banned from a video: `end_banned` ends their streams."""
        self._banned[channel.video] = channel
        self._some_banned.set()

    async def end_banned(self) -> None:
        """End streams of banned users, until cancelled."""
        while True:
            await self._some_banned.wait()
            while self._banned:
                _, channel = self._banned.popitem()
                state, now = channel.log.state, int(self._clock() * 1000)
                users = frozenset(user for user in state.banned if state.rules.ban(user, now) is not None)
                state.banned.clear()
                if users:
                    await end_users(channel, users, Reason.REMOVED, self._settings.frontend)

    def overview(self) -> FrontendStatus:
        """Return the status of the most watched videos, `ops.top_videos` of them."""
        return overview(self.table.channels.values(), self._settings.ops.top_videos)

    def video_status(self, video: str) -> VideoStatus | None:
        """Return one video's status; None if this node is not subscribed to it."""
        channel = self.table.channels.get(video)
        return video_status(channel) if channel is not None else None

    def trace(self, video: str, event: str) -> Trace | None:
        """Return the trace of an event at this node; None if it is not in this node's log."""
        channel = self.table.channels.get(video)
        return trace(channel, event, self.node) if channel is not None else None

    def statistics(self) -> FrontendStatistics:
        channels = list(self.table.channels.values())
        return FrontendStatistics(
            videos=len(channels),
            viewers=sum(channel.audience.totals.count for channel in channels),
            transports=transports(channels),
            video_viewers=video_viewers(channels, self._settings.ops.top_videos),
            lagging=sum(channel.audience.lagging_count for channel in channels),
            lag=max((channel.audience.lag for channel in channels), default=0),
            sockets=len(self.sockets),
            is_listening=self.receiver.is_listening,
            canary=self.canary.statistics(),
            fanout=self.fanout.statistics(),
            intake=self.receiver.statistics(),
            table=self.table.statistics(),
        )


@asynccontextmanager
async def open_frontend(
    node: str, settings: Settings, bus: Bus, leases: LeaseService
) -> AsyncIterator[Frontend]:
    """Run the role for the duration of the block; its canary shows whether it delivers."""
    async with trio.open_nursery() as nursery:
        channels: dict[str, Channel] = {}
        fanout = FanOut(settings.frontend, settings.edge.keep_alive, nursery)
        canary = Canary(node, leases, settings.canary, lambda: receiver.reconnect())
        receiver = Receiver(bus, node, settings.node.datacenter, channels, nursery, canary)
        table = SubscriptionTable(
            node, leases, channels, fanout, receiver, settings.frontend, settings.history
        )
        reporter = AudienceReporter(
            channels,
            bus,
            settings.frontend.lease,
            settings.history.idle_ttl,
            has_users=settings.auth.viewers == "token",
        )
        hold_back = HoldBack(bus, settings.frontend.hold_back, settings.history)
        table.on_grown = hold_back.check
        nursery.start_soon(hold_back.run)
        nursery.start_soon(reporter.run)
        nursery.start_soon(receiver.run, table.renew_now)
        nursery.start_soon(fanout.run)
        nursery.start_soon(table.run)
        nursery.start_soon(canary.run)
        try:
            frontend = Frontend(node, settings, table, fanout, receiver, canary, bus)
            nursery.start_soon(frontend.end_banned)
            yield frontend
        finally:
            nursery.cancel_scope.cancel()
