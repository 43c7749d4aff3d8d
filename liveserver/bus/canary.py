"""Readiness that proves delivery: a canary that flies the whole way an event does.

A connection that is open proves nothing: after a failover it may lead to a Redis that nobody else
uses any more. So every node regularly publishes an event of its own, through a dispatcher and the
bus, to a video that it alone watches, and waits for it at its own inbox. One that does not come
back turns the node's readiness red, and has the connections renewed; the next one is sent sooner.

A canary says when its node was started. So two nodes of one name, who share an inbox, find each other there:
both log it, and the one that was started later is not ready.
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
LEASES = 6  # canaries within one lease
AGAIN = 0.5  # seconds after one that did not come back
BACK_OFF = 0.5  # seconds, between two attempts to listen
TWIN_CANARIES = 2  # of another node: the first may be the last one of a process before this
_LIFE = re.compile(rb'"id":"[^"]*-([0-9a-f]{16})-[0-9a-f]{16}"')

log = structlog.get_logger(__name__)


class CanarySender(Protocol):
    """What a canary needs of a dispatcher. Both raise `DispatcherError`, `BusError` or `Unavailable`."""

    async def renew(self, node: str, videos: Mapping[str, int], lease: float) -> dict[str, Lease]: ...

    async def send_canary(self, video: str, token: str) -> None:
        """Publish one event whose id is `token`."""
        ...


class CanaryStatistics(msgspec.Struct, frozen=True):
    """`sent` and `lost` since the start; `round_trip` of the last one that came back, in seconds."""

    is_alive: Annotated[
        bool,
        gauge(
            "Whether the last canary came back: this node delivers. 0 turns /readyz red; its log says why."
        ),
    ]
    sent: Annotated[int, total("Canaries sent.")]
    lost: Annotated[int, total("Canaries that did not come back in time.")]
    round_trip: Annotated[
        float,
        gauge(
            "The last canary's way through a dispatcher and the bus to this node's inbox.",
            name="round_trip_seconds",
        ),
    ]


class NotDelivering(LiveserverError):
    """The last canary did not come back."""


class DuplicateName(LiveserverError):
    """Another node, which was there first, has this node's name."""


class Canary:
    """One node's canary. Whoever listens to the node's inbox lets it `hear` what is not for others."""

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
        # When this process' life began, in milliseconds, and four digits by chance: it orders all lives.
        self._life = b"%012x%b" % (int(clock() * 1000), secrets.token_hex(2).encode())
        self._twin = b""
        self._twin_canaries = 0
        self._twin_at = -math.inf
        self._token = b""
        self._heard = trio.Event()
        self._listening = trio.Event()
        self._is_alive = False
        self._reason = "no canary has come back yet"
        self._sent = self._lost = 0
        self._round_trip = 0.0

    def begin_listening(self) -> None:
        """The node's inbox is listened to from now on: a canary that is sent can come back."""
        self._listening.set()

    def end_listening(self) -> None:
        """Not any more."""
        self._listening = trio.Event()

    def hear(self, batch: Batch) -> None:
        """Take a batch that has come to the node's inbox."""
        if batch.video != self.video:
            return
        for line in batch.lines:
            if self._token in line:
                self._heard.set()
            elif (found := _LIFE.search(line)) and found[1] != self._life:
                self._hear_twin(found[1])

    def _hear_twin(self, life: bytes) -> None:
        """Note the canary of another process under this node's name."""
        if life != self._twin:
            self._twin, self._twin_canaries = life, 0
        self._twin_canaries += 1
        self._twin_at = trio.current_time()
        if self._twin_canaries == TWIN_CANARIES:
            log.error(
                "duplicate_node_name",
                node=self._node,
                was_first=self._life < life,
                hint="give each node a node.name of its own",
            )

    async def check_name(self) -> str | None:
        """The readiness check of the node's name; what it returns is a warning. Raises `DuplicateName`."""
        since = trio.current_time() - self._twin_at
        is_there = since < 3 * self._settings.interval + self._settings.timeout
        if self._twin_canaries < TWIN_CANARIES or not is_there:
            return None
        said = f"another node is named {self._node} as well; give each node a node.name of its own"
        if self._life > self._twin:
            raise DuplicateName(said)
        return said

    async def check(self) -> None:
        """The readiness check. Raises `NotDelivering`."""
        if not self._is_alive:
            raise NotDelivering(self._reason)

    async def run(self) -> None:
        """Send one after the other until cancelled; none before it could be heard."""
        lease_ends = 0.0
        while True:
            with trio.move_on_after(self._settings.timeout) as scope:
                await self._listening.wait()
            if scope.cancelled_caught:
                self._fell("the node's inbox is not listened to")
                lease_ends = 0.0
                continue
            started = trio.current_time()
            with trio.move_on_after(self._settings.timeout) as scope:
                try:
                    if started >= lease_ends:
                        lease = self._settings.interval * LEASES
                        await self._dispatcher.renew(self._node, {self.video: 0}, lease)
                        lease_ends = started + lease / 2
                    self._heard = trio.Event()
                    token = f"{self._node}-{self._life.decode()}-{secrets.token_hex(8)}"
                    self._token = token.encode()
                    self._sent += 1
                    await self._dispatcher.send_canary(self.video, token)
                    await self._heard.wait()
                except LiveserverError as error:
                    self._fell(str(error))
                    lease_ends = 0.0
                    await trio.sleep(AGAIN)
                    continue
            if scope.cancelled_caught:
                self._fell(f"the last canary did not come back within {self._settings.timeout:g} s")
                self._renew_connections()
                lease_ends = 0.0
                await trio.sleep(AGAIN)
                continue
            if not self._is_alive:
                log.info("delivering", round_trip_ms=round(1000 * (trio.current_time() - started), 1))
            self._is_alive = True
            self._round_trip = trio.current_time() - started
            await trio.sleep(self._settings.interval)

    def _fell(self, reason: str) -> None:
        self._lost += 1
        if self._is_alive or self._reason != reason:
            log.warning("not_delivering", reason=reason)
        self._is_alive, self._reason = False, reason

    def statistics(self) -> CanaryStatistics:
        return CanaryStatistics(
            is_alive=self._is_alive, sent=self._sent, lost=self._lost, round_trip=self._round_trip
        )


class CanaryInbox:
    """An inbox for the canary alone, on a node that has no other use for one."""

    def __init__(self, bus: Bus, node: str) -> None:
        self._bus = bus
        self._node = node
        self._scope = trio.CancelScope()

    def renew(self) -> None:
        """Listen anew, over another connection."""
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
                                canary.hear(batch)
                except BusError as error:
                    log.warning("canary_inbox_unreachable", reason=str(error))
                    await trio.sleep(BACK_OFF)
                finally:
                    canary.end_listening()
