"""The events of one kind that a log of the memory bus holds. No I/O, no clock of its own."""

from __future__ import annotations

from collections import deque

import msgspec

from liveserver.event import Batch


class RetainedBatches:
    """At most `limit` events and `max_bytes` of their lines, the newest, in batches with the time of their
    append. `lost` is the last offset that has been dropped. The newest event is held, however large."""

    __slots__ = ("_batches", "_bytes", "_count", "_is_dense", "_limit", "_max_bytes", "lost")

    def __init__(self, limit: int, max_bytes: int, *, is_dense: bool) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._is_dense = is_dense  # nothing ephemeral stands between the lines of a batch
        self._batches: deque[tuple[float, Batch]] = deque()
        self._count = self._bytes = 0
        self.lost = 0

    def append(self, batch: Batch, now: float) -> None:
        self._batches.append((now, batch))
        self._count += len(batch.lines)
        self._bytes += _size(batch.lines)
        while self._is_full():
            when, oldest = self._batches.popleft()
            gone = 0
            while gone < len(oldest.lines) and self._is_full():
                self._count -= 1
                self._bytes -= len(oldest.lines[gone])
                gone += 1
            self.lost = oldest.first + gone - 1
            if gone < len(oldest.lines):
                self._batches.appendleft((when, _without(oldest, gone, is_dense=self._is_dense)))

    def _is_full(self) -> bool:
        return self._count > self._limit or (self._bytes > self._max_bytes and self._count > 1)

    def trim(self, before: float) -> None:
        """Drop what was appended before or at this time."""
        while self._batches and self._batches[0][0] <= before:
            batch = self._batches.popleft()[1]
            self._count -= len(batch.lines)
            self._bytes -= _size(batch.lines)
            self.lost = batch.last

    def after(self, offset: int, limit: int) -> list[Batch]:
        """Return the batches with the first `limit` events after `offset`; the last one may have more."""
        found: list[Batch] = []
        for _, batch in self._batches:
            if batch.last <= offset:
                continue
            if limit <= 0:
                break
            if batch.first <= offset:
                batch = _without(batch, offset + 1 - batch.first, is_dense=self._is_dense)
            found.append(batch)
            limit -= len(batch.lines)
        return found


def merged(kept: list[Batch], ephemeral: list[Batch], limit: int) -> list[Batch]:
    """Return the first `limit` events of both, in order, as few batches."""
    stretch: list[Batch] = []
    for batch in sorted(kept + ephemeral, key=lambda batch: batch.first):
        if limit <= 0:
            break
        lines = batch.lines[:limit]
        limit -= len(lines)
        if stretch and _goes_on(stretch[-1], batch):
            stretch[-1].lines.extend(lines)
        else:
            stretch.append(msgspec.structs.replace(batch, lines=list(lines)))
    return stretch


def _size(lines: list[bytes]) -> int:
    return sum(map(len, lines))


def _without(batch: Batch, count: int, *, is_dense: bool) -> Batch:
    """Return the batch without its first `count` lines."""
    return msgspec.structs.replace(
        batch,
        first=batch.first + count,
        number=batch.number + count,
        lines=batch.lines[count:],
        since=None if is_dense else batch.after,
    )


def _goes_on(before: Batch, batch: Batch) -> bool:
    """Return whether `batch` continues the batch before it."""
    return (
        before.origin == batch.origin
        and before.origin_epoch == batch.origin_epoch
        and before.number + len(before.lines) == batch.number
        and before.first + len(before.lines) == batch.first
    )
