"""The frontend role: the table, the intake and the fan-out, brought together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import structlog
import trio

from liveserver.bus.canary import Canary, CanaryStatistics
from liveserver.bus.interface import Bus
from liveserver.config import Settings
from liveserver.errors import BusError, DispatcherError
from liveserver.frontend.channel import Channel
from liveserver.frontend.counts import FanOutStatistics
from liveserver.frontend.drain import drain
from liveserver.frontend.fanout import FanOut
from liveserver.frontend.intake import Intake, IntakeStatistics
from liveserver.frontend.table import Leases, SubscriptionTable
from liveserver.transport.form import Reason

WITHDRAW_SECONDS = 2.0

log = structlog.get_logger(__name__)


class FrontendStatistics(msgspec.Struct, frozen=True):
    """Now: `videos`, `viewers`, `lagging`; the rest as the parts count it."""

    videos: int
    viewers: int
    lagging: int
    is_listening: bool
    canary: CanaryStatistics
    fanout: FanOutStatistics
    intake: IntakeStatistics


class Frontend:
    """One node's viewers. Get one from `open_frontend`."""

    def __init__(
        self,
        node: str,
        settings: Settings,
        table: SubscriptionTable,
        fanout: FanOut,
        intake: Intake,
        canary: Canary,
    ) -> None:
        self.node = node
        self.canary = canary
        self.table = table
        self.fanout = fanout
        self.intake = intake
        self.is_draining = False
        self.is_full: Callable[[], bool] = lambda: False
        self._settings = settings

    def refusal(self) -> Reason | None:
        """Why no viewer is taken just now, if so."""
        if self.is_draining:
            return Reason.DRAIN
        return Reason.OVERLOAD if self.is_full() else None

    async def drain(self) -> None:
        """Let all viewers go, evenly over the drain time, and withdraw the leases."""
        self.is_draining = True
        await drain(self.table.channels, self._settings.node.drain, self._settings.frontend)
        with trio.move_on_after(WITHDRAW_SECONDS):
            try:
                await self.table.withdraw_all()
            except (DispatcherError, BusError) as error:
                log.warning("leases are left to run out", reason=str(error))

    def statistics(self) -> FrontendStatistics:
        channels = self.table.channels.values()
        return FrontendStatistics(
            videos=len(channels),
            viewers=sum(channel.audience.count for channel in channels),
            lagging=sum(len(channel.audience.lagging) for channel in channels),
            is_listening=self.intake.is_listening,
            canary=self.canary.statistics(),
            fanout=self.fanout.statistics(),
            intake=self.intake.statistics(),
        )


@asynccontextmanager
async def open_frontend(node: str, settings: Settings, bus: Bus, leases: Leases) -> AsyncIterator[Frontend]:
    """Run the role while the block lasts; its canary tells when it delivers."""
    async with trio.open_nursery() as nursery:
        channels: dict[str, Channel] = {}
        fanout = FanOut(settings.frontend, settings.edge.keep_alive, nursery)
        canary = Canary(node, leases, settings.canary, lambda: intake.renew())
        intake = Intake(bus, node, settings.node.datacenter, channels, nursery, canary)
        table = SubscriptionTable(node, leases, channels, fanout, intake, settings.frontend, settings.log)
        nursery.start_soon(intake.run, table.renew_now)
        nursery.start_soon(fanout.run)
        nursery.start_soon(table.run)
        nursery.start_soon(canary.run)
        try:
            yield Frontend(node, settings, table, fanout, intake, canary)
        finally:
            nursery.cancel_scope.cancel()
