"""Reads the logs of all videos, and which are watched, into the queues of the endpoints.

Rules:

1. What was read of a log is queued, and the position in it moved, in one step. After a failure the outcome is
   not known, so positions are read from the queue again.
2. What a log has lost, or may have lost because it began anew, is `video.gap` to all endpoints that want the
   video.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec
import trio

from liveserver.bus.following import MovedVideos, unseen
from liveserver.bus.hook_queue import HookMessage, HookQueue, Progress
from liveserver.bus.interface import ActiveVideos, Slice
from liveserver.config import Settings
from liveserver.config.hook_checks import EVENT
from liveserver.cursor import Cursor
from liveserver.errors import LiveserverError
from liveserver.hooks.messages import (
    OCCUPIED,
    VACATED,
    Message,
    Target,
    gap_message,
    is_followed,
    messages,
    own_message,
)
from liveserver.hooks.occupancy import Occupancy, ViewerReader

READ_VIDEOS = 20  # in one round trip
READ_EVENTS = 500  # of each
PUT = 500  # messages in one step, at least, if there are more to come
KNOWN = 100_000  # videos whose position in the log is in memory


class LostLead(LiveserverError):
    """Another node leads."""


class Reader(ViewerReader, Protocol):
    """The part of a bus that the collector reads. All raise `BusError`."""

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos: ...

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]: ...


class LogPosition(NamedTuple):
    """Up to where a video's log was queued. `is_anew`: the log has begun anew since."""

    epoch: str = ""
    offset: int = 0
    cursor: str = ""
    is_anew: bool = False

    @classmethod
    def parse(cls, text: str) -> LogPosition:
        epoch, offset, cursor = text.split(" ")[:3] if text else ("", "0", "")  # a newer version may add some
        return cls(epoch, int(offset), cursor)

    def __str__(self) -> str:
        return f"{self.epoch} {self.offset} {self.cursor}"


class Collector:
    """Queues messages for `targets`, as the leader `node`. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        node: str,
        reader: Reader,
        queue: HookQueue,
        targets: Sequence[Target],
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._reader = reader
        self._queue = queue
        self._targets = targets
        self._datacenter = settings.node.datacenter
        self._is_own_only = settings.hooks.origins == "own"
        self._clock = clock
        self._moved = [MovedVideos(reader.active_since)]
        if not self._is_own_only:
            self._moved.append(MovedVideos(partial(reader.active_since, relayed=True)))
        self._waiting: dict[str, None] = {}  # videos that moved and are not queued up to their heads
        self._positions: dict[str, LogPosition] = {}
        watches = any(target.wants_occupancy() for target in targets)
        self.occupancy = Occupancy(reader, queue, settings) if watches else None
        self.disabled: set[str] = set()  # endpoints for which nothing is queued
        self.queued: dict[str, int] = {}  # by kind, those of published events together
        self.gaps = self.overflowed = 0

    def go_on_from(self, former: Collector) -> None:
        """Continue the counts of the collector that had the former settings."""
        self.queued, self.gaps, self.overflowed = former.queued, former.gaps, former.overflowed

    async def collect(self) -> int:
        """Queue messages for all new events; return their number. Raises `BusError`, `LostLead`."""
        before = sum(self.queued.values())
        try:
            for moved in self._moved:
                self._waiting.update((video, None) for video in await moved.next() if is_followed(video))
            names = list(self._waiting)
            for start in range(0, len(names), READ_VIDEOS):
                await self._follow(names[start : start + READ_VIDEOS])
            if self.occupancy is not None:
                await self._watch(self.occupancy)
        except BaseException:
            self._positions.clear()
            if self.occupancy is not None:
                self.occupancy.reset()
            raise
        return sum(self.queued.values()) - before

    async def _follow(self, names: list[str]) -> None:
        """Queue messages for the events of these logs, up to their heads."""
        while names:
            await self._learn_positions(names)
            after = {video: self._positions[video].offset for video in names}
            parts = await self._reader.read_several(after, READ_EVENTS)
            more: list[str] = []
            done: list[str] = []
            positions: dict[str, LogPosition] = {}
            batch: list[HookMessage] = []
            for video, part in parts.items():
                position = self._positions[video]
                if part.head.epoch != position.epoch and position.offset:  # it began anew: from its beginning
                    self._positions[video] = LogPosition(part.head.epoch, 0, position.cursor, is_anew=True)
                    more.append(video)
                    continue
                behind = self._take(video, position, part, batch)
                if behind != position:
                    positions[video] = behind
                (more if behind.offset < part.head.offset else done).append(video)
                if len(batch) >= PUT:
                    await self._put(batch, positions)
                    batch, positions = [], {}
            await self._put(batch, positions)
            for video in done:
                self._waiting.pop(video, None)
            names = more

    async def _learn_positions(self, names: Sequence[str]) -> None:
        unknown = [video for video in names if video not in self._positions]
        if not unknown:
            return
        if len(self._positions) + len(unknown) > KNOWN:
            self._positions = {video: self._positions[video] for video in names if video in self._positions}
        for video, text in (await self._queue.positions(unknown)).items():
            self._positions[video] = LogPosition.parse(text)

    def _take(self, video: str, position: LogPosition, part: Slice, batch: list[HookMessage]) -> LogPosition:
        """Add the messages of a part of a log to the batch; return the position behind it."""
        new = unseen(Cursor.parse_trusted(position.cursor), part.batches)
        is_known = bool(position.epoch)
        if is_known and (position.is_anew or part.oldest > position.offset + 1 or new.has_loss):
            at = int(self._clock() * 1000)
            self._add(batch, video, gap_message(video, f"{part.head.epoch}-{position.offset}", at))
            self.gaps += 1
        for each in new.batches:
            if self._is_own_only and each.origin != self._datacenter:
                continue
            for message in messages(video, each.lines):
                self._add(batch, video, message)
        return LogPosition(part.head.epoch, part.end, str(new.cursor))

    def _add(self, batch: list[HookMessage], video: str, message: Message) -> None:
        for target in self._targets:
            if target.name not in self.disabled and target.wants(message.kind, video):
                batch.append(HookMessage(target.name, video, message.id, message.body))
                kind = "event" if message.kind.startswith(EVENT) else message.kind  # publishers name the rest
                self.queued[kind] = self.queued.get(kind, 0) + 1

    async def _watch(self, occupancy: Occupancy) -> None:
        """Queue messages for videos that have become occupied or vacated."""
        changes = await occupancy.changes()
        if not changes.occupied and not changes.vacated:
            return
        at = int(self._clock() * 1000)
        batch: list[HookMessage] = []
        viewers = {**changes.occupied, **dict.fromkeys(changes.vacated, 0)}
        for video, count in viewers.items():
            kind = OCCUPIED if count else VACATED
            data = {"video": video, "datacenter": self._datacenter, "viewers": count, "at": at}
            self._add(batch, video, own_message(kind, f"msg_{secrets.token_hex(16)}", at, data))
        await self._put(batch, {}, Progress({}, list(changes.occupied), changes.vacated))
        occupancy.apply(changes)

    async def _put(
        self,
        batch: Sequence[HookMessage],
        positions: Mapping[str, LogPosition],
        progress: Progress | None = None,
    ) -> None:
        if not batch and not positions and progress is None:
            return
        made = msgspec.structs.replace(
            progress or Progress(), positions={video: str(position) for video, position in positions.items()}
        )
        dropped = await self._queue.put(self._node, batch, made)
        if dropped is None:
            raise LostLead("another node delivers the hooks")
        self.overflowed += dropped
        self._positions.update(positions)
        await trio.lowlevel.checkpoint()
