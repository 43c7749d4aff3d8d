"""What flushes did: how late they were, and what was written to how many viewers, when.

Rules:

1. A visit pays for a few numbers, whatever its viewers and events: nothing here is per viewer or delivery.
2. What is kept is bounded: the last visits of a channel as numbers in one array, the last notes in
   a short list. Both are forgotten with the channel.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import trio

from liveserver.frontend.history.delayed import AudienceLog
from liveserver.frontend.history.times import accepted_at
from liveserver.instruments import DELAYS, Histogram

MAX_NOTES = 256  # of a channel


class FlushRecord(NamedTuple):
    """At `time` (Trio's) the positions from `start` to before `end` were written to `viewers`."""

    time: float
    start: int
    end: int
    viewers: int


class DeliveryNote(NamedTuple):
    """At `time` (Trio's) so many viewers were not simply sent the positions from `start` to before `end`.

    `what`: `withheld` (it had seen them elsewhere), `skipped` (out of the log's reach), `late` (its socket
    was full; it is caught up by itself).
    """

    time: float
    what: str
    start: int
    end: int
    viewers: int


class Delays:
    """The node's histograms. One observation per visit: of the oldest event it wrote, at its end."""

    def __init__(self) -> None:
        self.fan_out = Histogram(DELAYS)
        self.publish_to_write = Histogram(DELAYS)


class FlushHistory:
    """Of one channel. Remembers the last `limit` visits, at least, and up to twice as many."""

    __slots__ = ("_forgot", "_limit", "_log", "_numbers", "delays", "notes")

    def __init__(self, log: AudienceLog, delays: Delays, limit: int) -> None:
        self.notes: deque[DeliveryNote] = deque(maxlen=MAX_NOTES)
        self._log = log
        self.delays = delays
        self._limit = 8 * limit
        self._forgot = False
        self._numbers = array("d")  # four for each visit

    def note(self, start: int, end: int, viewers: int) -> float:
        """So many were written these positions just now; the time."""
        now = trio.current_time()
        self._numbers.extend((now, start, end, viewers))
        if len(self._numbers) > self._limit:
            del self._numbers[: self._limit // 2]
            self._forgot = True
        return now

    def measure(self, start: int, end: int, viewers: int) -> None:
        """As `note`, for viewers that were level: the delay of the oldest event is theirs."""
        now = self.note(start, end, viewers)
        arrived = self._log.arrived_at(start)
        if arrived is None:
            return
        self.delays.fan_out.observe(now - arrived)
        accepted = accepted_at(self._log.items[start - self._log.base].data)
        if accepted is not None:
            # Of two machines' clocks: they may differ.
            delay = time.time() - accepted / 1000 - self._log.delay
            self.delays.publish_to_write.observe(max(0.0, delay))

    def add_note(self, what: str, start: int, end: int) -> None:
        """One viewer more of whom this is to be said."""
        viewers = 1
        if self.notes and self.notes[-1][1:4] == (what, start, end):
            viewers += self.notes.pop().viewers
        self.notes.append(DeliveryNote(trio.current_time(), what, start, end, viewers))

    def of(self, position: int) -> Iterator[FlushRecord]:
        """Those that wrote this position, the oldest first."""
        numbers = self._numbers
        for at in range(0, len(numbers), 4):
            if numbers[at + 1] <= position < numbers[at + 2]:
                yield FlushRecord(
                    numbers[at], int(numbers[at + 1]), int(numbers[at + 2]), int(numbers[at + 3])
                )

    def reaches_back_to(self, when: float) -> bool:
        """Whether no visit since then is forgotten."""
        return not self._forgot or self._numbers[0] <= when
