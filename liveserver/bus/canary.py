"""Readiness that proves delivery: a canary event that takes the same path as every event.

An open connection proves nothing: after a failover it may lead to a Redis that is no longer in use.
So every node regularly publishes an event of its own, through a dispatcher and the bus, to a video
that only it watches, and waits for it at its own inbox. If a canary does not come back, the node is not
ready, its connections are renewed, and the next canary is sent sooner.

A canary carries the time its node was started. Two nodes of the same name share an inbox, and so detect
each other: both log it, and the one that was started later is not ready.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from liveserver.bus.interface import Bus, Lease
from liveserver.config import CanarySettings
from liveserver.errors import BusError, LiveserverError
from liveserver.event import Batch
from liveserver.instruments import gauge, total

PREFIX = "canary."
CANARIES_PER_LEASE = 6  # canaries within one lease
RETRY_PAUSE = 0.5  # seconds after a canary that did not come back
LISTEN_PAUSE = 0.5  # seconds between two attempts to listen
DUPLICATE_CANARIES = 2  # of another node: the first may be the last canary of the process before this one
_INCARNATION = re.compile(rb'"id":"[^"]*-([0-9a-f]{16})-[0-9a-f]{16}"')

log = structlog.get_logger(__name__)


class CanarySender(Protocol):
    """The part of a dispatcher that a canary uses.

    Both raise `DispatcherError`, `BusError` or `Unavailable`.
    """

    async def renew_leases(self, node: str, videos: Mapping[str, int], lease: float) -> dict[str, Lease]: ...

    async def send_canary(self, video: str, token: str) -> None:
        """Publish one event whose id is `token`."""
        ...


class CanaryStatistics(msgspec.Struct, frozen=True):
    """`sent` and `lost` since the start; `round_trip` of the last one that came back, in seconds."""

    is_alive: Annotated[
        bool,
        gauge("Whether the last canary came back (the node delivers). If 0, /readyz says why."),
    ]
    sent: Annotated[int, total("Canaries sent.")]
    lost: Annotated[int, total("Canaries that did not come back in time.")]
    round_trip: Annotated[
        float,
        gauge(
            "Time of the last canary from a dispatcher over the bus to this node's inbox.",
            name="round_trip_seconds",
        ),
    ]


class NotDelivering(LiveserverError):
    """The last canary did not come back."""


class DuplicateName(LiveserverError):
    """Another node, started earlier, has this node's name."""


class Canary:
    """One node's canary. The task that listens to the node's inbox passes it each batch (`on_batch`)."""

    def __init__(
        self,
        node: str,
        dispatcher: CanarySender,
        settings: CanarySettings,
        renew_connections: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.video = f"{PREFIX}{node}"
        self._node = node
        self._dispatcher = dispatcher
        self._settings = settings
        self._renew_connections = renew_connections
        # When this process was started, in milliseconds, and four random digits: a total order of processes.
        self._incarnation = b"%012x%b" % (int(clock() * 1000), secrets.token_hex(2).encode())
        self._duplicate = b""
        self._duplicate_canaries = 0
        self._duplicate_at = -math.inf
        self._token = b""
        self._heard = trio.Event()
        self._listening = trio.Event()
        self._is_alive = False
        self._reason = "no canary has come back yet"
        self._sent = self._lost = 0
        self._round_trip = 0.0

    def begin_listening(self) -> None:
        """Start sending: the node's inbox is listened to, so a canary can come back."""
        self._listening.set()

    def end_listening(self) -> None:
        """Stop sending."""
        self._listening = trio.Event()

    def on_batch(self, batch: Batch) -> None:
        """Find the canary in a batch that the node's inbox received, if it is there."""
        if batch.video != self.video:
            return
        for line in batch.lines:
            if self._token in line:
                self._heard.set()
            elif (found := _INCARNATION.search(line)) and found[1] != self._incarnation:
                self._on_duplicate(found[1])

    def _on_duplicate(self, incarnation: bytes) -> None:
        """Count a canary of another process with this node's name; log it once."""
        if incarnation != self._duplicate:
            self._duplicate, self._duplicate_canaries = incarnation, 0
        self._duplicate_canaries += 1
        self._duplicate_at = trio.current_time()
        if self._duplicate_canaries == DUPLICATE_CANARIES:
            log.error(
                "duplicate_node_name",
                node=self._node,
                was_first=self._incarnation < incarnation,
                hint="give each node a node.name of its own",
            )

    async def check_name(self) -> str | None:
        """Check, for readiness, that the node's name is unique; return a warning or None.

        Raises `DuplicateName` if an older node has it.
        """
        since = trio.current_time() - self._duplicate_at
        is_there = since < 3 * self._settings.interval + self._settings.timeout
        if self._duplicate_canaries < DUPLICATE_CANARIES or not is_there:
            return None
        warning = f"another node is named {self._node} as well; give each node a node.name of its own"
        if self._incarnation > self._duplicate:
            raise DuplicateName(warning)
        return warning

    async def check(self) -> None:
        """Check, for readiness, that the last canary came back. Raises `NotDelivering`."""
        if not self._is_alive:
            raise NotDelivering(self._reason)

    async def run(self) -> None:
        """Send one canary after the other, while the inbox is listened to, until cancelled."""
        lease_ends = 0.0
        while True:
            with trio.move_on_after(self._settings.timeout) as scope:
                await self._listening.wait()
            if scope.cancelled_caught:
                self._on_failure("the node's inbox is not listened to")
                lease_ends = 0.0
                continue
            started = trio.current_time()
            with trio.move_on_after(self._settings.timeout) as scope:
                try:
                    if started >= lease_ends:
                        lease = self._settings.interval * CANARIES_PER_LEASE
                        await self._dispatcher.renew_leases(self._node, {self.video: 0}, lease)
                        lease_ends = started + lease / 2
                    self._heard = trio.Event()
                    token = f"{self._node}-{self._incarnation.decode()}-{secrets.token_hex(8)}"
                    self._token = token.encode()
                    self._sent += 1
                    await self._dispatcher.send_canary(self.video, token)
                    await self._heard.wait()
                except LiveserverError as error:
                    self._on_failure(str(error))
                    lease_ends = 0.0
                    await trio.sleep(RETRY_PAUSE)
                    continue
            if scope.cancelled_caught:
                self._on_failure(f"the last canary did not come back within {self._settings.timeout:g} s")
                self._renew_connections()
                lease_ends = 0.0
                await trio.sleep(RETRY_PAUSE)
                continue
            if not self._is_alive:
                log.info("delivering", round_trip_ms=round(1000 * (trio.current_time() - started), 1))
            self._is_alive = True
            self._round_trip = trio.current_time() - started
            await trio.sleep(self._settings.interval)

    def _on_failure(self, reason: str) -> None:
        self._lost += 1
        if self._is_alive or self._reason != reason:
            log.warning("not_delivering", reason=reason)
        self._is_alive, self._reason = False, reason

    def statistics(self) -> CanaryStatistics:
        return CanaryStatistics(
            is_alive=self._is_alive, sent=self._sent, lost=self._lost, round_trip=self._round_trip
        )


class CanaryInbox:
    """An inbox for the canary only, for a node that has no other use for one."""

    def __init__(self, bus: Bus, node: str) -> None:
        self._bus = bus
        self._node = node
        self._scope = trio.CancelScope()

    def reconnect(self) -> None:
        """Listen again, over another connection."""
        self._scope.cancel()

    async def run(self, canary: Canary) -> None:
        """Listen until cancelled."""
        while True:
            with trio.CancelScope() as self._scope:
                try:
                    async with self._bus.inbox(self._node) as inbox:
                        canary.begin_listening()
                        async for batches in inbox:
                            for batch in batches:
                                canary.on_batch(batch)
                except BusError as error:
                    log.warning("canary_inbox_unreachable", reason=str(error))
                    await trio.sleep(LISTEN_PAUSE)
                finally:
                    canary.end_listening()
