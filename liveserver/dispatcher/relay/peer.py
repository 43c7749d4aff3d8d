"""One of the other datacenters, as this dispatcher relays from it: tasks that never end.

Rules:

1. *Listen.* What is heard on the peer's feed, of videos that are this node's, waits to be carried.
2. *Carry.* Group commit: while one round trip to our own Redis is under way, the next lot fills up.
3. *Sweep.* At once when listening began (anew), when the dispatchers that share the work are others than
   before, when something had to be dropped, and every `sweep_interval`: ask the peer which videos moved
   since, and compare; now and then all that its log remembers. So whatever went wrong, here or at
   another dispatcher, is found by its number.
4. *Mend.* What a sweep found, or a jump in the numbers, is read from the peer's log.
5. *Share.* Only who reaches the peer has a share of the work.
6. *Count.* Tallies on the feed, of this node's videos, are noted in our own bus (tallies.py).
7. Nothing here is awaited by whoever publishes or watches; a link that hangs costs the peer's own
   threads, and memory up to `buffer`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Annotated

import msgspec
import structlog
import trio

from liveserver.bus import canary
from liveserver.bus.interface import Bus, PeerBus
from liveserver.config import RelaySettings
from liveserver.dispatcher.relay.backfill import Backfiller, has, lacks
from liveserver.dispatcher.relay.buffer import RelayBuffer
from liveserver.dispatcher.relay.rendezvous import owner
from liveserver.dispatcher.relay.viewer_counts import ViewerCountRelay
from liveserver.errors import BusError
from liveserver.event import Batch
from liveserver.instruments import gauge, total
from liveserver.wakeup import Wakeup

PAGE = 5_000  # videos asked for at once
COMPARED = 1_000  # videos at once
TOGETHER = 200  # videos mended at once
MOST_BEHIND = 20_000  # videos; the others are found by the next sweep
NEVER = 2**50  # milliseconds: nothing has moved since
GRACE = 0.25  # seconds for what is on its way, before it counts as missing
LEAVE = 1.0  # seconds to say that one leaves

log = structlog.get_logger(__name__)


class PeerStatistics(msgspec.Struct, frozen=True):
    """How the relaying from one datacenter goes, as this node sees it."""

    peer: str
    is_reached: Annotated[bool, gauge("Whether the peer's Redis answered when it was asked last.")]
    lag_events: Annotated[
        int,
        gauge(
            "Events known and not in our log yet. Growing: our Redis, or the link, carries less than comes."
        ),
    ]
    lag_seconds: Annotated[
        float,
        gauge("How long this node has not been level with the peer. It grows while the link is broken."),
    ]
    sharing: Annotated[
        int, gauge("Dispatchers that share the relaying. Fewer than there are: some don't reach the peer.")
    ]
    relayed: Annotated[int, total("Events taken from the peer.")]
    dropped: Annotated[
        int,
        total("Batches heard for which there was no room (relay.buffer); read from the peer's log instead."),
    ]
    mends: Annotated[int, total("Videos that were read from the peer's log, as something was not heard.")]
    gaps: Annotated[int, total("Jumps: the peer had lost what was between, and the viewers got `gap`.")]
    failures: Annotated[int, total("Calls to the peer's Redis or ours that failed, and were tried again.")]


class PeerRelay:
    """Relays from the datacenter `peer` into `ours`; its bus, `theirs`, remembers for `age` seconds."""

    def __init__(
        self, peer: str, theirs: PeerBus, ours: Bus, node: str, settings: RelaySettings, age: float
    ) -> None:
        self._peer = peer
        self._theirs = theirs
        self._ours = ours
        self._node = node
        self._settings = settings
        self._age = age
        self._waiting = RelayBuffer(settings.buffer)
        self._mender = Backfiller(peer, theirs, ours, settings.batch_events)
        self._arrived = Wakeup()
        self._behind: dict[str, None] = {}  # videos to mend
        self._fell_behind = Wakeup()
        self._tallies = ViewerCountRelay(peer, ours, self._is_mine)
        self._sweep_soon = trio.Event()
        self._all_level = trio.Event()
        self._sharing: list[str] = []
        self._since = 0  # by the peer's clock, in ms: what moved before was level
        self._is_sure = False  # that nothing was missed since; otherwise a sweep doesn't wait and see
        self._deep_at = 0.0
        self._unreached_since: float | None = trio.current_time()
        self._behind_since: float | None = None
        self._relayed = self._dropped = self._mends = self._failures = 0
        self._is_misnamed = False

    async def run(self) -> None:
        """Relay until cancelled, which leaves the group of relays."""
        try:
            async with trio.open_nursery() as nursery:
                for task in (
                    self._listen,
                    self._carry,
                    self._sweep,
                    self._stay_listed,
                    self._mend,
                    self._tallies.note_some,
                ):
                    nursery.start_soon(self._retry_forever, task)
        finally:
            with trio.move_on_after(LEAVE, shield=True), suppress(BusError):
                await self._ours.leave_group(self._peer, self._node)

    def statistics(self) -> PeerStatistics:
        now = trio.current_time()
        times = [self._waiting.since(), self._behind_since, self._unreached_since]
        return PeerStatistics(
            peer=self._peer,
            is_reached=self._unreached_since is None,
            lag_events=self._waiting.events + sum(self._mender.missing.values()),
            lag_seconds=max((now - time for time in times if time is not None), default=0.0),
            sharing=len(self._sharing),
            relayed=self._relayed + self._mender.relayed,
            dropped=self._dropped,
            mends=self._mends,
            gaps=self._mender.gaps,
            failures=self._failures,
        )

    # Listen

    async def _listen(self) -> None:
        async with self._theirs.feed(self._tallies.hear) as feed:
            self._request_sweep()
            async for batches in feed:
                if not batches:
                    self._request_sweep()
                self._hear(batches)

    def _hear(self, batches: Sequence[Batch]) -> None:
        now = trio.current_time()
        for batch in batches:
            if batch.origin != self._peer:
                self._complain(batch.origin)
            elif self._is_mine(batch.video) and not self._waiting.put(batch, now):
                self._dropped += 1
                self._request_sweep()
        self._arrived.set()

    def _complain(self, name: str) -> None:
        if not self._is_misnamed:
            self._is_misnamed = True
            log.error("relay_peer_mismatch", peer=self._peer, is_in_truth=name)

    def _request_sweep(self) -> None:
        """Have a sweep look for what may have been missed."""
        self._is_sure = False
        self._sweep_soon.set()

    # Carry

    async def _carry(self) -> None:
        while not self._waiting.has_some:
            await self._arrived.wait()
        parcels = refused = self._waiting.take(self._settings.batch_events)
        try:
            standings = await self._ours.relay(parcels)
            refused = [each for each, stands in zip(parcels, standings, strict=True) if not has(stands, each)]
            self._relayed += sum(len(each.lines) for each in parcels)
            self._relayed -= sum(len(each.lines) for each in refused)
        finally:
            self._find_behind(dict.fromkeys(parcel.video for parcel in refused))
            self._waiting.done()

    # Sweep

    async def _sweep(self) -> None:
        with trio.move_on_after(self._settings.sweep_interval):
            await self._sweep_soon.wait()
        self._sweep_soon = trio.Event()
        clock = await self._reach()
        await self._share()
        is_sure, self._is_sure = self._is_sure, True
        try:
            # The peer's clock is set back when its Redis comes back with older data.
            await self._look(min(self._since, clock - _ms(self._settings.sweep_interval)), compare=is_sure)
            if not is_sure or trio.current_time() >= self._deep_at:
                # Also what others had to relay, and what our own log has lost.
                self._deep_at = trio.current_time() + self._settings.full_sweep_interval
                await self._look(clock - _ms(self._age), compare=True)
        except BusError:
            self._is_sure = False
            raise
        self._since = clock - _ms(self._settings.sweep_interval)
        if not is_sure:
            await trio.sleep(GRACE)  # however often something is dropped, it is not swept on end

    async def _look(self, since: int, *, compare: bool) -> None:
        """Find those behind among the videos that moved since then; all of them, or by comparing."""
        while True:
            active = await self._theirs.active_since(max(0, since), PAGE)
            videos = [video for video in active.videos if self._is_mine(video)]
            if compare:
                videos = await self._compared([video for video in videos if video not in self._behind])
            self._find_behind(videos)
            if len(active.videos) < PAGE:
                return
            since = active.upto + 1
            await self._wait_level()

    async def _reach(self) -> int:
        """The peer's clock."""
        try:
            active = await self._theirs.active_since(NEVER, 1)
        except BusError:
            if self._unreached_since is None:
                self._unreached_since = trio.current_time()
            raise
        if self._unreached_since is not None:
            log.info("relaying", peer=self._peer)
        self._unreached_since = None
        return active.now

    async def _compared(self, videos: Sequence[str]) -> list[str]:
        """Those that lack something which was there some moments ago."""
        behind: list[str] = []
        for start in range(0, len(videos), COMPARED):
            some = dict.fromkeys(videos[start : start + COMPARED], 0)
            heads = await self._theirs.read_several(some, 0)
            await trio.sleep(GRACE)
            for video, standing in (await self._mender.stand(some)).items():
                if lacks(standing, heads[video].head.cursor.get(self._peer)):
                    behind.append(video)
        return behind

    # Share

    async def _stay_listed(self) -> None:
        await trio.sleep(self._settings.lease / 3)
        if self._unreached_since is None:
            await self._share()

    async def _share(self) -> None:
        sharing = await self._ours.join_group(self._peer, self._node, self._settings.lease)
        if sharing != self._sharing:
            self._sharing = sharing
            self._request_sweep()

    def _is_mine(self, video: str) -> bool:
        # A canary is one datacenter's own business.
        return (
            bool(self._sharing)
            and not video.startswith(canary.PREFIX)
            and owner(video, self._sharing) == self._node
        )

    # Mend

    def _find_behind(self, videos: Iterable[str]) -> None:
        for video in videos:
            if len(self._behind) >= MOST_BEHIND:
                self._request_sweep()
                break
            self._behind_since = self._behind_since or trio.current_time()
            self._behind[video] = None
            self._waiting.hold(video)
        self._fell_behind.set()

    async def _mend(self) -> None:
        while not self._behind:
            await self._fell_behind.wait()
        videos = list(islice(self._behind, TOGETHER))
        self._mends += len(videos)
        await self._mender.mend(videos, self._is_level)

    def _is_level(self, video: str) -> None:
        self._behind.pop(video, None)
        self._waiting.release(video)
        self._arrived.set()
        if not self._behind:
            self._behind_since = None
            self._all_level.set()
            self._all_level = trio.Event()

    async def _wait_level(self) -> None:
        while self._behind:
            await self._all_level.wait()

    async def _retry_forever(self, step: Callable[[], Awaitable[None]]) -> None:
        """The step for ever; after failures with growing pauses, so that not all come back at once."""
        wait: float = self._settings.retry_min
        while True:
            try:
                await step()
                wait = self._settings.retry_min
                continue
            except BusError as error:
                self._failures += 1
                if wait == self._settings.retry_min:
                    log.warning("relay_retrying", peer=self._peer, reason=str(error))
            await trio.sleep(random.uniform(0, wait))
            wait = min(2 * wait, self._settings.retry_max)


def _ms(seconds: float) -> int:
    return int(1000 * seconds)
