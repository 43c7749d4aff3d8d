"""One node leads: it collects messages into queues, and delivers them.

Other settings take effect (`use`) when the endpoints have answered the deliveries under way. The lead and the
queues are kept meanwhile: nothing is lost, and nothing delivered twice.

The lease is renewed three times within its duration. All work stops before the lease can have ended, by this
node's own clock: so two nodes do not deliver at the same time.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.bus.hook_queue import HookQueue
from liveserver.config import Settings
from liveserver.errors import BusError, Unavailable
from liveserver.hooks.collector import Collector, LostLead, Reader
from liveserver.hooks.deliverer import Deliverer, EndpointStatistics
from liveserver.hooks.messages import Target
from liveserver.hooks.sink import Sink
from liveserver.instruments import gauge, total

MARGIN = 0.1  # of the lease, before whose end this node stops
LEAVE_TIMEOUT = 1.0  # seconds to give up the lease

log = structlog.get_logger(__name__)


class HookStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the present state; all 0 at a node that does not lead."""

    leads: Annotated[int, gauge("Whether this node delivers the hooks. One in a datacenter does.")]
    occupied: Annotated[int, gauge("Videos that are occupied, if an endpoint wants to know.")]
    queued: Annotated[dict[str, int], total("Messages queued for endpoints.", label="type")]
    overflowed: Annotated[int, total("Messages given up as too many waited (hooks.queue_messages).")]
    gaps: Annotated[int, total("Times that a log had lost events before they were queued.")]
    omitted: Annotated[int, total("Videos not reported as occupied (hooks.occupied_videos).")]
    failures: Annotated[int, total("Times that logs could not be read, or messages not be queued.")]
    endpoints: Annotated[list[EndpointStatistics], gauge("", name="endpoint", label="endpoint")]


class Hooks:
    """Collects and delivers, in `run`. `sinks` are those of the endpoints, by their names."""

    def __init__(
        self, node: str, reader: Reader, queue: HookQueue, sinks: dict[str, Sink], settings: Settings
    ) -> None:
        self._node = f"{node}.{secrets.token_hex(4)}"  # of this start
        self._reader = reader
        self._leads = False
        self._fault = ""
        self._failures = 0
        self._ending = trio.Event()
        self._deliverers: Sequence[Deliverer] = ()
        self._collector: Collector | None = None
        self.use(queue, sinks, settings)

    def use(self, queue: HookQueue, sinks: dict[str, Sink], settings: Settings) -> None:
        """Use other settings and sinks from the next `run` on."""
        self._queue = queue
        self._settings = settings.hooks
        endpoints = settings.hooks.endpoints
        ephemeral = settings.history.ephemeral_types
        targets = [Target(name, endpoint, ephemeral) for name, endpoint in endpoints.items()]
        collector = Collector(self._node, self._reader, queue, targets, settings)
        if self._collector is not None:
            collector.go_on_from(self._collector)
        self._collector = collector
        former = {each.name: each for each in self._deliverers}
        self._deliverers = [
            Deliverer(name, endpoints[name].url, sink, queue, settings.hooks) for name, sink in sinks.items()
        ]
        for deliverer in self._deliverers:
            if deliverer.name in former:
                deliverer.go_on_from(former[deliverer.name])
        self._ending = trio.Event()

    def finish(self) -> None:
        """Let `run` return when the messages being delivered are answered."""
        self._ending.set()
        for deliverer in self._deliverers:
            deliverer.finish()

    async def run(self) -> None:
        """Lead whenever no other node does, until cancelled, or until `finish`, which keeps the lead."""
        lease = float(self._settings.lease)
        try:
            while not self._ending.is_set():
                begun = trio.current_time()
                if await self._renew():
                    log.info("hooks_lead", node=self._node)
                    await self._lead(begun + lease * (1 - MARGIN))
                    log.info("hooks_lead_ended", node=self._node)
                with trio.move_on_after(lease / 3):
                    await self._ending.wait()
        except BaseException:
            with trio.move_on_after(LEAVE_TIMEOUT, shield=True), suppress(BusError):
                await self._queue.resign(self._node)
            raise

    async def _renew(self) -> bool | None:
        """Return whether this node leads; None if that is not known."""
        try:
            return await self._queue.lead(self._node, float(self._settings.lease))
        except BusError as error:
            self._fail(error)
            return None

    async def _lead(self, deadline: float) -> None:
        """Collect and deliver until the lease ends."""
        with trio.CancelScope(deadline=deadline) as scope:
            try:
                self._leads = True
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_lead, scope)
                    nursery.start_soon(self._collect, scope)
                    async with trio.open_nursery() as delivering:  # which ends after `finish`
                        for deliverer in self._deliverers:
                            delivering.start_soon(deliverer.run)
                    nursery.cancel_scope.cancel()
            finally:
                self._leads = False

    async def _keep_lead(self, scope: trio.CancelScope) -> None:
        lease = float(self._settings.lease)
        while True:
            await trio.sleep(lease / 3)
            begun = trio.current_time()
            leads = await self._renew()
            if leads:
                scope.deadline = begun + lease * (1 - MARGIN)
            elif leads is False:  # the bus has lost the lease, and another node took it
                scope.cancel()

    async def _collect(self, scope: trio.CancelScope) -> None:
        collector = self._collector
        assert collector is not None
        while True:
            try:
                for deliverer in self._deliverers:
                    await deliverer.check_disabled()
                collector.disabled = {each.name for each in self._deliverers if each.is_disabled}
                if await collector.collect():
                    for deliverer in self._deliverers:
                        deliverer.wake()
            except BusError as error:
                self._fail(error)
            except LostLead:
                scope.cancel()
            else:
                if self._fault:
                    log.info("hooks_go_on")
                self._fault = ""
            await trio.sleep(float(self._settings.interval))

    def _fail(self, error: BusError) -> None:
        self._failures += 1
        if not self._fault:
            log.warning("hooks_wait", reason=str(error))
        self._fault = str(error)

    async def check(self) -> None:
        """Raise `Unavailable` if the last attempt to collect failed; for readiness."""
        if self._fault:
            raise Unavailable(f"hooks are not collected, and this is retried: {self._fault}")

    def statistics(self) -> HookStatistics:
        collector = self._collector
        assert collector is not None
        occupancy = collector.occupancy
        return HookStatistics(
            leads=int(self._leads),
            occupied=occupancy.occupied if occupancy is not None else 0,
            queued=dict(collector.queued),
            overflowed=collector.overflowed,
            gaps=collector.gaps,
            omitted=occupancy.omitted if occupancy is not None else 0,
            failures=self._failures,
            endpoints=[deliverer.statistics() for deliverer in self._deliverers],
        )
