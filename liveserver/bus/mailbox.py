"""A bounded buffer of received batches, filled from any thread.

Rules:

1. `put` never blocks. Batches that do not fit are dropped, and the listener is notified.
2. The notification is an empty list: "something may have been missed here, compare heads". It follows
   the batches that were already waiting, and is the next item but one at the latest.
3. Batches are received in the order in which they were put.
4. Once closed, iteration ends; batches still waiting are in the log.
5. Viewer counts are not queued: the newest of each video is passed to `on_viewer_count`, in Trio's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import msgspec
import trio

from liveserver.bus.interface import ignore
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount


class MailboxStatistics(msgspec.Struct, frozen=True):
    """`waiting` batches at the moment; `received` and `dropped` batches since the start."""

    waiting: int
    received: int
    dropped: int


class Mailbox:
    """An `Inbox` (see interface.py) that holds at most `capacity` batches.

    With `trio_token`, `put`, `put_counts` and `mark_missed` may be called in other threads, and only there.
    """

    def __init__(
        self,
        capacity: int,
        trio_token: trio.lowlevel.TrioToken | None = None,
        on_viewer_count: Callable[[ViewerCount], None] = ignore,
    ) -> None:
        self._capacity = capacity
        self._on_viewer_count = on_viewer_count
        self._viewer_counts: dict[str, ViewerCount] = {}
        self._trio_token = trio_token
        self._lock = threading.Lock()
        self._waiting: list[Batch] = []
        self._missed = False  # since the waiting ones were taken last
        self._report_missed = False  # as the next item
        self._closed = False
        self._filled = trio.Event()
        self._received = 0
        self._dropped = 0

    def put(self, batches: Sequence[Batch]) -> None:
        """Add batches; drop those for which there is no room."""
        with self._lock:
            room = self._capacity - len(self._waiting)
            self._received += len(batches)
            if len(batches) > room:
                self._dropped += len(batches) - room
                self._missed = True
                batches = batches[:room]
            self._waiting.extend(batches)
        self._wake()

    def put_counts(self, counts: Iterable[ViewerCount]) -> None:
        """Pass on viewer counts; those beyond `capacity` videos are dropped until they are announced
        again.
        """
        with self._lock:
            for count in counts:
                if len(self._viewer_counts) < self._capacity or count.video in self._viewer_counts:
                    self._viewer_counts[count.video] = count
        self._wake()

    def mark_missed(self) -> None:
        """Notify the listener that something may have been missed."""
        with self._lock:
            self._missed = True
        self._wake()

    def close(self) -> None:
        """End the iteration. To be called in Trio's thread."""
        self._closed = True
        self._filled.set()

    def __aiter__(self) -> Mailbox:
        return self

    async def __anext__(self) -> list[Batch]:
        await trio.lowlevel.checkpoint()
        while True:
            if self._closed:
                raise StopAsyncIteration
            self._filled = trio.Event()
            # After the event, before the wait: what is put from now on sets it.
            with self._lock:
                if self._report_missed:
                    self._report_missed = False
                    return []
                if self._waiting:
                    taken, self._waiting = self._waiting, []
                    self._report_missed, self._missed = self._missed, False
                    return taken
                if self._missed:
                    self._missed = False
                    return []
            await self._filled.wait()

    def statistics(self) -> MailboxStatistics:
        return MailboxStatistics(len(self._waiting), self._received, self._dropped)

    def _wake(self) -> None:
        if self._trio_token is None:
            self._set()
            return
        try:
            # Idempotent: however much is put before Trio runs it, it is scheduled once.
            self._trio_token.run_sync_soon(self._set, idempotent=True)
        except trio.RunFinishedError:
            self._closed = True

    def _set(self) -> None:
        with self._lock:
            counts, self._viewer_counts = self._viewer_counts, {}
        if not self._closed:
            for count in counts.values():
                self._on_viewer_count(count)
        self._filled.set()
