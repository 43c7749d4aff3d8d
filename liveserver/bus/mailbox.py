"""Where batches wait until a listener takes them: bounded, filled from any thread.

Rules:

1. `put` never waits. What does not fit is dropped, and the listener is notified.
2. Being told is an empty list: "something may have been missed here, compare heads". It comes after
   the batches that were already waiting, and at the latest with the second taking.
3. Batches are taken in the order they were put.
4. Once closed, iterating ends; what was waiting is in the log.
5. Tallies don't wait for a listener: the newest of each video is handed to `hear`, in Trio's thread.
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
    """`waiting` batches now; `received` and `dropped` batches since the start."""

    waiting: int
    received: int
    dropped: int


class Mailbox:
    """An `Inbox` (see interface.py) that holds at most `capacity` batches.

    With `trio_token`, `put`, `pin` and `missed` may be called in other threads, and only there.
    """

    def __init__(
        self,
        capacity: int,
        trio_token: trio.lowlevel.TrioToken | None = None,
        hear: Callable[[ViewerCount], None] = ignore,
    ) -> None:
        self._capacity = capacity
        self._hear = hear
        self._tallies: dict[str, ViewerCount] = {}
        self._trio_token = trio_token
        self._lock = threading.Lock()
        self._waiting: list[Batch] = []
        self._missed = False  # since the waiting ones were taken last
        self._say_missed = False  # with the next taking
        self._closed = False
        self._filled = trio.Event()
        self._received = 0
        self._dropped = 0

    def put(self, batches: Sequence[Batch]) -> None:
        """Hand batches over; those for which there is no room are dropped."""
        with self._lock:
            room = self._capacity - len(self._waiting)
            self._received += len(batches)
            if len(batches) > room:
                self._dropped += len(batches) - room
                self._missed = True
                batches = batches[:room]
            self._waiting.extend(batches)
        self._wake()

    def pin(self, tallies: Iterable[ViewerCount]) -> None:
        """Have these heard; beyond `capacity` videos the others are not, until they are announced again."""
        with self._lock:
            for tally in tallies:
                if len(self._tallies) < self._capacity or tally.video in self._tallies:
                    self._tallies[tally.video] = tally
        self._wake()

    def missed(self) -> None:
        """Have the listener told that something may have been missed."""
        with self._lock:
            self._missed = True
        self._wake()

    def close(self) -> None:
        """End the iteration. In Trio's thread."""
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
                if self._say_missed:
                    self._say_missed = False
                    return []
                if self._waiting:
                    taken, self._waiting = self._waiting, []
                    self._say_missed, self._missed = self._missed, False
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
            # Idempotent: however much is put before Trio comes round, it is woken once.
            self._trio_token.run_sync_soon(self._set, idempotent=True)
        except trio.RunFinishedError:
            self._closed = True

    def _set(self) -> None:
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        if not self._closed:
            for tally in tallies.values():
                self._hear(tally)
        self._filled.set()
