"""A bounded buffer of batches received from a peer and not yet in our log; in order per video. No I/O.

Rules:

1. Batches that do not fit are refused: they are in the peer's log.
2. A video that is being backfilled is *held*: its batches wait until the events before them have been read.
3. Batches that were returned count until `done`, so the bound includes those being appended.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from liveserver.bus.interface import ReplicationBatch
from liveserver.event import Batch

OVERHEAD = 100  # bytes of memory per line, beside its own


class _Queue(msgspec.Struct):
    """One video's batches; the first has waited since `since`."""

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
        """Add a batch; return False if there is no room."""
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

    def next_batches(self, events: int) -> list[ReplicationBatch]:
        """Remove and return the next batches, about `events` events; call `done` afterwards.

        Videos take turns.
        """
        batches: list[ReplicationBatch] = []
        for video in [video for video in self._queues if video not in self._held]:
            queue = self._queues.pop(video)
            taken, left = _split(queue.batches, events)
            if left:
                self._queues[video] = _Queue(queue.since, left)
            self._under_way_since = min(self._under_way_since, queue.since) if batches else queue.since
            self._under_way += taken
            batches += joined(taken)
            events -= sum(len(batch.lines) for batch in taken)
            if events <= 0:
                break
        return batches

    def done(self) -> None:
        """Release the batches returned last: they are in our log, or will be read from the peer's."""
        self._discount(self._under_way)
        self._under_way = []

    def hold(self, video: str) -> None:
        self._held.add(video)

    def release(self, video: str) -> None:
        self._held.discard(video)

    @property
    def has_next(self) -> bool:
        """Whether there are batches of videos that are not held."""
        return any(video not in self._held for video in self._queues)

    def since(self) -> float | None:
        """Return since when the oldest batch has waited; None if there is none."""
        times = [queue.since for queue in self._queues.values()]
        if self._under_way:
            times.append(self._under_way_since)
        return min(times, default=None)

    def _discount(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._size -= _size(batch)
            self.events -= len(batch.lines)


def joined(batches: Iterable[Batch]) -> list[ReplicationBatch]:
    """Join one video's batches: one for each run of consecutive numbers."""
    runs: list[ReplicationBatch] = []
    for batch in batches:
        last = runs[-1] if runs else None
        if last is not None and last.epoch == batch.origin_epoch and last.last + 1 == batch.number:
            last.lines.extend(batch.lines)
            runs[-1] = msgspec.structs.replace(last, offset=batch.last)
        else:
            runs.append(
                ReplicationBatch(
                    batch.video,
                    batch.origin,
                    batch.origin_epoch,
                    batch.number,
                    batch.last,
                    list(batch.lines),
                    since=batch.since,
                )
            )
    return runs


def _size(batch: Batch) -> int:
    return sum(map(len, batch.lines)) + OVERHEAD * len(batch.lines)


def _split(batches: list[Batch], events: int) -> tuple[list[Batch], list[Batch]]:
    """Return the first batches, with about `events` events but at least one batch; and the others."""
    for index, batch in enumerate(batches, 1):
        events -= len(batch.lines)
        if events <= 0:
            return batches[:index], batches[index:]
    return batches, []
