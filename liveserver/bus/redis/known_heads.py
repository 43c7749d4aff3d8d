"""The last known head of each log: a Redis that has less has lost data."""

from __future__ import annotations

import threading

from liveserver.bus.mailbox import Mailbox
from liveserver.bus.redis.commands import Opening
from liveserver.cursor import is_newer_epoch
from liveserver.event import Batch
from liveserver.ids import new_epoch
from liveserver.lru import LRU

KNOWN = 50_000  # videos whose heads are remembered, the latest used


class KnownHeads:
    """The known ends of the logs of the `KNOWN` videos used last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads = LRU[str, tuple[str, int]](KNOWN)

    def __bool__(self) -> bool:
        return len(self._heads) > 0

    def opening(self, video: str) -> Opening:
        """Return the arguments of each command that opens this log."""
        return (new_epoch(), *(self._heads.peek(video) or ("-", 0)))

    def learn(self, video: str, epoch: str, offset: int) -> None:
        """Record that, according to Redis, the log reaches at least to `offset`."""
        with self._lock:
            known = self._heads.get(video)
            if known is None or known[0] != epoch or known[1] < offset:
                self._heads.put(video, (epoch, offset))

    def learn_from_batch(self, batch: Batch) -> None:
        """Record the end of a received batch, unless its epoch is older than the log's."""
        known = self._heads.peek(batch.video)
        if known is None or not is_newer_epoch(known[0], batch.epoch):
            self.learn(batch.video, batch.epoch, batch.last)

    def videos(self) -> list[str]:
        """Return all videos, most recently used first: data that was lost is recent."""
        with self._lock:
            return list(reversed(self._heads))


class HeadTrackingInbox:
    """An inbox that records in `known` how far each log has come."""

    def __init__(self, mailbox: Mailbox, known: KnownHeads) -> None:
        self._mailbox = mailbox
        self._known = known

    def __aiter__(self) -> HeadTrackingInbox:
        return self

    async def __anext__(self) -> list[Batch]:
        batches = await anext(self._mailbox)
        for batch in batches:
            self._known.learn_from_batch(batch)
        return batches
