"""What was heard of a peer and is not yet in our log: bounded, in each video's order. No I/O.

Rules:

1. What does not fit is dropped, and the caller learns so: it is in the peer's log.
2. A video that is being mended from the peer's log is *held*: what is heard of it waits behind what is read.
3. What has been taken stays in the count until it is `done`, so the bound holds for all there is.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from liveserver.bus.interface import ReplicationBatch
from liveserver.event import Batch

OVERHEAD = 100  # bytes of memory that a line takes besides its own


class _Queue(msgspec.Struct):
    """One video's: `since` when the first of `batches` has waited."""

    since: float
    batches: list[Batch]


class RelayBuffer:
    """Holds batches of about `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.events = 0
        self._limit = limit
        self._size = 0
        self._queues: dict[str, _Queue] = {}
        self._held: set[str] = set()
        self._under_way: list[Batch] = []
        self._under_way_since = 0.0

    def put(self, batch: Batch, now: float) -> bool:
        """Whether there was room."""
        size = _size(batch)
        if self._size + size > self._limit:
            return False
        self._size += size
        self.events += len(batch.lines)
        queue = self._queues.get(batch.video)
        if queue is None:
            self._queues[batch.video] = _Queue(now, [batch])
        else:
            queue.batches.append(batch)
        return True

    def take(self, events: int) -> list[ReplicationBatch]:
        """What goes next, about so many events; `done` ends it. Videos take turns."""
        parcels: list[ReplicationBatch] = []
        for video in [video for video in self._queues if video not in self._held]:
            queue = self._queues.pop(video)
            taken, left = _split(queue.batches, events)
            if left:
                self._queues[video] = _Queue(queue.since, left)
            self._under_way_since = min(self._under_way_since, queue.since) if parcels else queue.since
            self._under_way += taken
            parcels += joined(taken)
            events -= sum(len(batch.lines) for batch in taken)
            if events <= 0:
                break
        return parcels

    def done(self) -> None:
        """What was taken is in the log, or will be read from the peer's."""
        self._forget(self._under_way)
        self._under_way = []

    def hold(self, video: str) -> None:
        self._held.add(video)

    def release(self, video: str) -> None:
        self._held.discard(video)

    @property
    def has_some(self) -> bool:
        """Whether there is something to take."""
        return any(video not in self._held for video in self._queues)

    def since(self) -> float | None:
        """Since when the longest has waited; None: nothing does."""
        times = [queue.since for queue in self._queues.values()]
        if self._under_way:
            times.append(self._under_way_since)
        return min(times, default=None)

    def _forget(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._size -= _size(batch)
            self.events -= len(batch.lines)


def joined(batches: Iterable[Batch]) -> list[ReplicationBatch]:
    """One video's batches as parcels, one for each run of numbers without a hole."""
    parcels: list[ReplicationBatch] = []
    for batch in batches:
        last = parcels[-1] if parcels else None
        if last is not None and last.epoch == batch.origin_epoch and last.last + 1 == batch.number:
            last.lines.extend(batch.lines)
            parcels[-1] = msgspec.structs.replace(last, offset=batch.last)
        else:
            parcels.append(
                ReplicationBatch(
                    batch.video, batch.origin, batch.origin_epoch, batch.number, batch.last, list(batch.lines)
                )
            )
    return parcels


def _size(batch: Batch) -> int:
    return sum(map(len, batch.lines)) + OVERHEAD * len(batch.lines)


def _split(batches: list[Batch], events: int) -> tuple[list[Batch], list[Batch]]:
    """The first batches with about so many events, but one at least; and the others."""
    for index, batch in enumerate(batches, 1):
        events -= len(batch.lines)
        if events <= 0:
            return batches[:index], batches[index:]
    return batches, []
