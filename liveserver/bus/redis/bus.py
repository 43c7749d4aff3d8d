"""The bus over Redis: one pipeline per call, one atomic Lua step per video, one thread per subscription.

Rules:

1. All keys expire, and all times are Redis' own, without its steps: the nodes' clocks don't matter.
2. The last known head of a log (known_heads.py) is sent with each call. If Redis has less, it has lost
   data, and the log begins a new epoch. After a restart or a failover nothing is appended or read until
   every member has reported the heads it knows (membership.py), or else each log begins a new epoch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Annotated

import msgspec
import trio

from liveserver.bus.interface import (
    ActiveVideos,
    AppendRequest,
    AppendResult,
    Inbox,
    Lease,
    ReplicaPosition,
    ReplicationBatch,
    Slice,
    ignore,
)
from liveserver.bus.redis import replies
from liveserver.bus.redis.commands import Commands
from liveserver.bus.redis.connection import Link
from liveserver.bus.redis.coordination import RedisCoordination
from liveserver.bus.redis.deployment import in_cluster
from liveserver.bus.redis.hook_queue import RedisHookQueue
from liveserver.bus.redis.known_heads import HeadTrackingInbox, KnownHeads
from liveserver.bus.redis.listener import Listener, ListenerStatistics, listening
from liveserver.bus.redis.membership import Membership
from liveserver.bus.redis.replies import keys
from liveserver.bus.redis.reporting import Reporter
from liveserver.bus.redis.server import Command
from liveserver.bus.redis.sharded import FEED, Routes
from liveserver.bus.redis.subscription import LONGEST_PAUSE
from liveserver.config import BusSettings, HistorySettings
from liveserver.errors import BusError
from liveserver.instruments import Distribution, gauge, histogram, total
from liveserver.viewer_count import ViewerCount

BATCH_SIZE = 1_000  # videos subscribed in one pipeline
LEAVE_TIMEOUT = 0.5  # seconds to report that this process ends


def settling(timeout: float) -> float:
    """Return how long to wait for members: until one that notices a stalled connection has replaced it."""
    return 2 * timeout + LONGEST_PAUSE + 0.5


class RedisStatistics(msgspec.Struct, frozen=True):
    """`listeners` are those whose blocks are open."""

    listeners: Annotated[list[ListenerStatistics], gauge("", name="listener", label="channel")]
    appending: Annotated[
        int,
        gauge("Threads that run a commit. More than one: an abandoned one is running into its timeout."),
    ]
    round_trips: Annotated[
        Distribution,
        histogram(
            "Round-trip time of a pipeline to Redis, including the wait for its thread.",
            name="round_trip_seconds",
        ),
    ]
    failures: Annotated[int, total("Pipelines that Redis refused or did not answer.")]


class RedisBus(RedisCoordination):
    """A `Bus` over one datacenter's Redis. Open it with `RedisBus.open`.

    Opening does not touch the network; use `ping` to check that Redis is reachable. Each call raises
    `BusError` after at most 1.25 times `bus.timeout`.
    """

    def __init__(
        self, datacenter: str, bus: BusSettings, history: HistorySettings, *, named: str = "bus.url"
    ) -> None:
        self._datacenter = datacenter
        self._inbox_batches = bus.inbox_batches
        self._idle_ttl = float(history.idle_ttl)
        commands = Commands(datacenter, history, in_cluster=in_cluster(bus.url))
        super().__init__(Link(bus, commands.scripts, named), commands)
        # Two: one group commit at a time, and an abandoned one that runs into its timeout.
        self._appending = trio.CapacityLimiter(2)
        self._relaying = trio.CapacityLimiter(4)
        self._known = KnownHeads()
        self._membership = Membership(settling(self._link.timeout))
        self._is_sharded = bus.sharded and in_cluster(bus.url)
        self._routes = Routes(self._link, is_sharded=self._is_sharded)
        self._reporter = Reporter(self._link, self._commands, self._known, self._membership, self._routes)
        self._listeners: list[Listener] = []

    @classmethod
    @asynccontextmanager
    async def open(
        cls, datacenter: str, bus: BusSettings, history: HistorySettings, *, named: str = "bus.url"
    ) -> AsyncIterator[RedisBus]:
        """Open a bus whose connections end with the block.

        Raises `ConfigError` if the URL, which is the value of the setting `named`, is malformed.
        """
        opened = cls(datacenter, bus, history, named=named)
        try:
            yield opened
        finally:
            with trio.move_on_after(LEAVE_TIMEOUT, shield=True), suppress(BusError):
                await opened._link.call(opened._asking, opened._reporter.leave)
            opened._link.close()

    async def append(self, requests: Sequence[AppendRequest]) -> list[AppendResult]:
        if not requests:
            await trio.lowlevel.checkpoint()
            return []

        def work() -> list[AppendResult]:
            make, videos = self._commands, dict.fromkeys(request.video for request in requests)
            opening = {video: self._reporter.opening(video) for video in videos}
            appends = [make.append(request, opening[request.video]) for request in requests]
            commands = [*appends, make.active(videos)]
            answers = self._reporter.run(commands, videos)
            results = [replies.append_result(answer) for answer in answers[:-1]]
            for request, result in zip(requests, results, strict=True):
                end = result.first + result.accepted(request) - 1
                self._known.learn(request.video, result.epoch, end)
            return results

        return await self._link.call(self._appending, work)

    async def subscribe(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        leases: dict[str, Lease] = {}
        names = list(videos)
        for start in range(0, len(names), BATCH_SIZE):
            some = names[start : start + BATCH_SIZE]

            def work(some: list[str] = some) -> list[Lease]:
                commands = [
                    self._commands.subscribe(node, video, videos[video], lease, self._reporter.opening(video))
                    for video in some
                ]
                new = [video for video in some if video in opening]
                commands += map(self._commands.state, new)
                commands += self._note_watched({video: videos[video] for video in some})
                answers = self._reporter.run(commands, some)
                states = dict(zip(new, map(replies.state, answers[len(some) :]), strict=False))
                granted = [
                    replies.lease(video, answer, states.get(video, []))
                    for video, answer in zip(some, answers, strict=False)
                ]
                for video, one in zip(some, granted, strict=True):
                    self._known.learn(video, one.head.epoch, one.head.offset)
                return granted

            leases.update(zip(some, await self._link.call(self._asking, work), strict=True))
        return leases

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        commands: list[Command] = []
        for video in videos:
            nodes, viewers = keys(video, "nodes", "viewers")
            commands += [("ZREM", nodes, node), ("HDEL", viewers, node)]
        if commands:
            commands += self._note_watched(dict.fromkeys(videos, 0))
            await self._ask(*commands)

    async def read(self, video: str, after: int, limit: int) -> Slice:
        return (await self.read_several({video: after}, limit))[video]

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        if not after:
            await trio.lowlevel.checkpoint()
            return {}

        def work() -> dict[str, Slice]:
            commands: list[Command] = []
            for video, last in after.items():
                commands += self._commands.read(video, last, limit, self._reporter.opening(video))
            answers = iter(self._reporter.run(commands, after, transaction=True))
            stretches = {
                video: replies.log_slice(video, limit, *part)
                for video, part in zip(after, zip(answers, answers, answers, strict=True), strict=True)
            }
            for video, stretch in stretches.items():
                self._known.learn(video, stretch.head.epoch, stretch.head.offset)
            return stretches

        return await self._link.call(self._asking, work)

    async def relay(self, batches: Sequence[ReplicationBatch]) -> list[ReplicaPosition]:
        if not batches:
            await trio.lowlevel.checkpoint()
            return []

        def work() -> list[ReplicaPosition]:
            make = self._commands
            opening = {batch.video: self._reporter.opening(batch.video) for batch in batches}
            relays = [make.relay(batch, opening[batch.video]) for batch in batches]
            moved = dict.fromkeys(batch.video for batch in batches if batch.lines)
            answers = self._reporter.run([*relays, make.relayed(moved)] if moved else relays, opening)
            positions = []
            for batch, answer in zip(batches, answers[: len(batches)], strict=True):
                position, offset = replies.replica_position(answer)
                self._known.learn(batch.video, position.log, offset)
                positions.append(position)
            return positions

        return await self._link.call(self._relaying, work)

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos:
        (answer,) = await self._ask(self._commands.active_since(since, limit, relayed=relayed))
        return replies.active_videos(answer)

    async def watched_since(self, since: int, limit: int, *, left: bool = False) -> ActiveVideos:
        command = self._commands.watched_since(since, limit, left=left)
        (answer,) = await self._ask(command)
        return replies.active_videos(answer)

    def _note_watched(self, counts: Mapping[str, int]) -> list[Command]:
        """Return the commands that record when viewers were reported, for `watched_since`."""
        watched = [video for video, viewers in counts.items() if viewers]
        left = [video for video, viewers in counts.items() if not viewers]
        return [
            self._commands.watched(some, left=is_left)
            for some, is_left in ((watched, False), (left, True))
            if some
        ]

    async def state(self, video: str) -> list[bytes]:
        command = self._commands.state(video)
        (answer,) = await self._ask(command)
        return replies.state(answer)

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        commands = [self._commands.state(video) for video in videos]
        answers = await self._ask(*commands)
        return dict(zip(videos, map(replies.state, answers), strict=True))

    async def merge_states(self, states: Mapping[str, Sequence[bytes]]) -> None:
        commands = [self._commands.merge(video, lines) for video, lines in states.items() if lines]
        if commands:
            await self._link.call(self._relaying, lambda: self._link.run(commands, transaction=False))

    async def note_peer_counts(self, counts: Sequence[ViewerCount]) -> list[bool]:
        if not counts:
            await trio.lowlevel.checkpoint()
            return []

        def work() -> list[bool]:
            commands = [
                self._commands.note_peer_count(count, self._routes.to(self._link.shard_of(count.video)))
                for count in counts
            ]
            commands += self._note_watched({count.video: count.datacenter for count in counts})
            answers = self._link.run(commands, transaction=False)
            return [replies.is_announced(answer) for answer in answers[: len(counts)]]

        return await self._link.call(self._asking, work)

    def inbox(
        self, node: str, on_viewer_count: Callable[[ViewerCount], None] = ignore
    ) -> AbstractAsyncContextManager[Inbox]:
        return self._listen(f"ls:inbox:{node}", on_viewer_count)

    def feed(
        self, on_viewer_count: Callable[[ViewerCount], None] = ignore
    ) -> AbstractAsyncContextManager[Inbox]:
        return self._listen(FEED, on_viewer_count)

    def hook_queue(self, ttl: float, limit: int) -> RedisHookQueue:
        """Return the queues of hooks, whose messages are kept for `ttl` seconds: `limit` for an endpoint."""
        return RedisHookQueue(self._link, self._commands.hooks, ttl, limit, self._idle_ttl)

    async def ping(self) -> None:
        await self._ask(("PING",))

    async def missing_commands(self) -> list[str]:
        """Return the needed commands that this Redis lacks, or its user may not use."""
        (missing,) = await self._ask(self._commands.missing())
        return sorted({name.decode() for name in missing})

    def statistics(self) -> RedisStatistics:
        listeners = [listener.statistics() for listener in self._listeners]
        return RedisStatistics(
            listeners,
            int(self._appending.borrowed_tokens),
            self._link.round_trips.read(),
            self._link.failures,
        )

    @asynccontextmanager
    async def _listen(
        self, channel: str, on_viewer_count: Callable[[ViewerCount], None]
    ) -> AsyncIterator[Inbox]:
        listener = Listener(
            self._link,
            channel,
            self._inbox_batches,
            on_viewer_count,
            self._membership.process,
            self._reporter.wake,
            is_sharded=self._is_sharded,
        )
        self._listeners.append(listener)
        self._reporter.start()
        try:
            async with listening(listener) as mailbox:
                yield HeadTrackingInbox(mailbox, self._known)
        finally:
            self._reporter.stop()
            self._listeners.remove(listener)
