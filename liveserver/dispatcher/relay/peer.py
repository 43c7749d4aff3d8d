"""Relays from one other datacenter: a set of tasks that run until cancelled.

Rules:

1. *Receive.* Batches on the peer's feed, of videos that this node relays, are buffered.
2. *Append.* Group commit: batches that arrive during a round trip to our own bus are appended in the next.
3. *Sweep* (sweeper.py). Whatever failed, here or at another dispatcher, is found by its number.
4. *Backfill* (backfill.py). Videos found by a sweep, or by a jump in the numbers, are read from the peer's
log.
5. *Share* (membership.py). Each video is relayed by one of the dispatchers that reach the peer.
6. *Viewer counts* on the feed are recorded in our own bus (viewer_counts.py).
7. Publishers and viewers never wait for any of this; a connection that hangs costs threads of the peer's
   bus, and memory up to `buffer`.
8. *Announce.* The peer's nodes are announced in our bus, for the operators' view of the cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.backoff import Backoff
from liveserver.bus.interface import OPS_GROUP, OPS_LEASE, Bus, PeerBus
from liveserver.config import RelaySettings
from liveserver.dispatcher.relay.backfill import Backfiller, Backlog, contains
from liveserver.dispatcher.relay.buffer import RelayBuffer
from liveserver.dispatcher.relay.membership import Membership
from liveserver.dispatcher.relay.sweeper import Sweeper
from liveserver.dispatcher.relay.viewer_counts import ViewerCountRelay
from liveserver.errors import BusError
from liveserver.event import Batch
from liveserver.instruments import gauge, total
from liveserver.wakeup import Wakeup

log = structlog.get_logger(__name__)


class PeerStatistics(msgspec.Struct, frozen=True):
    """The state of the relaying from one datacenter, as this node sees it."""

    peer: str
    is_reached: Annotated[bool, gauge("Whether the peer's Redis answered the last request.")]
    lag_events: Annotated[
        int,
        gauge("Known events not in our log yet. If it grows, our Redis or the link is too slow."),
    ]
    lag_seconds: Annotated[
        float,
        gauge("How long this node has been behind the peer. Grows while the link is broken."),
    ]
    sharing: Annotated[
        int, gauge("Dispatchers that share the relaying. Fewer than there are: some do not reach the peer.")
    ]
    relayed: Annotated[int, total("Events relayed from the peer.")]
    dropped: Annotated[
        int,
        total("Batches dropped as the buffer was full (relay.buffer); read from the peer's log instead."),
    ]
    mends: Annotated[int, total("Videos backfilled from the peer's log, after missing some of their events.")]
    gaps: Annotated[int, total("Gaps: the peer's log had lost events, and viewers received `gap`.")]
    failures: Annotated[int, total("Failed calls to the peer's Redis or ours; retried.")]


class PeerRelay:
    """Relays from the datacenter `peer`, whose bus is `theirs` and keeps events for `age` seconds, into
    `ours`.
    """

    def __init__(
        self, peer: str, theirs: PeerBus, ours: Bus, node: str, settings: RelaySettings, age: float
    ) -> None:
        self._peer = peer
        self._theirs = theirs
        self._ours = ours
        self._settings = settings
        self._buffer = RelayBuffer(settings.buffer)
        self._buffered = Wakeup()
        self._backlog = Backlog(self._buffer.hold, self._on_caught_up, lambda: self._sweeper.request())
        self._backfiller = Backfiller(peer, theirs, ours, settings.batch_events)
        self._sweeper = Sweeper(peer, theirs, settings, age, self._backfiller, self._backlog)
        self._membership = Membership(
            peer, ours, node, settings.lease, self._sweeper.is_reached, self._sweeper.request
        )
        self._viewer_counts = ViewerCountRelay(peer, ours, self._membership.is_mine)
        self._relayed = self._dropped = self._failures = 0
        self._is_misnamed = False

    async def run(self) -> None:
        """Relay until cancelled; then leave the group."""
        try:
            async with trio.open_nursery() as nursery:
                for step in (
                    self._receive,
                    self._append,
                    lambda: self._sweeper.sweep(self._membership),
                    self._membership.renew_lease,
                    lambda: self._backfiller.backfill(self._backlog),
                    self._viewer_counts.record_some,
                    self._announce_nodes,
                ):
                    nursery.start_soon(self._retry, step)
        finally:
            await self._membership.leave()

    def statistics(self) -> PeerStatistics:
        now = trio.current_time()
        times = [self._buffer.since(), self._backlog.since, self._sweeper.unreached_since]
        return PeerStatistics(
            peer=self._peer,
            is_reached=self._sweeper.is_reached(),
            lag_events=self._buffer.events + sum(self._backfiller.missing.values()),
            lag_seconds=max((now - time for time in times if time is not None), default=0.0),
            sharing=len(self._membership.nodes),
            relayed=self._relayed + self._backfiller.relayed,
            dropped=self._dropped,
            mends=self._backfiller.backfills,
            gaps=self._backfiller.gaps,
            failures=self._failures,
        )

    async def _receive(self) -> None:
        async with self._theirs.feed(self._viewer_counts.on_viewer_count) as feed:
            self._sweeper.request()
            async for batches in feed:
                if not batches:
                    self._sweeper.request()
                self._on_batches(batches)

    def _on_batches(self, batches: Sequence[Batch]) -> None:
        now = trio.current_time()
        for batch in batches:
            if batch.origin != self._peer:
                self._on_other_origin(batch.origin)
            elif self._membership.is_mine(batch.video) and not self._buffer.put(batch, now):
                self._dropped += 1
                self._sweeper.request()
        self._buffered.set()

    def _on_other_origin(self, name: str) -> None:
        if not self._is_misnamed:
            self._is_misnamed = True
            log.error("relay_peer_mismatch", peer=self._peer, is_in_truth=name)

    async def _announce_nodes(self) -> None:
        """Announce the peer's own nodes here, so that operators see them; a peer may refuse to name them."""
        with suppress(BusError):
            for node in await self._theirs.group(OPS_GROUP):
                if node.startswith(f"{self._peer} "):
                    await self._ours.join_group(OPS_GROUP, node, OPS_LEASE)
        await trio.sleep(OPS_LEASE / 3)

    async def _append(self) -> None:
        while not self._buffer.has_next:
            await self._buffered.wait()
        batches = refused = self._buffer.next_batches(self._settings.batch_events)
        try:
            positions = await self._ours.relay(batches)
            refused = [
                batch
                for batch, position in zip(batches, positions, strict=True)
                if not contains(position, batch)
            ]
            self._relayed += sum(len(batch.lines) for batch in batches)
            self._relayed -= sum(len(batch.lines) for batch in refused)
        finally:
            self._backlog.add(dict.fromkeys(batch.video for batch in refused))
            self._buffer.done()

    def _on_caught_up(self, video: str) -> None:
        self._buffer.release(video)
        self._buffered.set()

    async def _retry(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step until cancelled, with a backoff after failures."""
        backoff = Backoff(self._settings.retry_min, self._settings.retry_max)
        is_failing = False
        while True:
            try:
                await step()
            except BusError as error:
                self._failures += 1
                if not is_failing:
                    log.warning("relay_retrying", peer=self._peer, reason=str(error))
                is_failing = True
                await backoff.sleep()
            else:
                is_failing = False
                backoff.reset()
