"""Records of flushes: their delay, the positions written, the number of viewers, the time.

Rules:

1. A flush costs a few numbers, whatever its viewers and events: nothing here is per viewer or delivery.
2. Memory is bounded: the last flushes of a channel are numbers in one array, the last notes a short list.
   Both are dropped with the channel.
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
    """At `time` (Trio's) a flush did not deliver the positions from `start` to before `end` to some viewers.

    `what`: `withheld` (received elsewhere), `skipped` (no longer in the log), `late` (the socket was full,
    and the viewer catches up in a task of its own).
    """

    time: float
    what: str
    start: int
    end: int
    viewers: int


class Delays:
    """The node's histograms. One observation per flush: for the oldest event written, at its end."""

    def __init__(self) -> None:
        self.fan_out = Histogram(DELAYS)
        self.publish_to_write = Histogram(DELAYS)

    def note_trace(self, delay: float, data: bytes, written: float, trace_id: str) -> None:
        """Record that a flush belongs to a trace.

        It wrote `data`, its oldest event, `delay` seconds after its arrival, at `written` since the epoch.
        """
        self.fan_out.note_trace(delay, trace_id, written)
        accepted = accepted_at(data)
        if accepted is not None:
            self.publish_to_write.note_trace(max(0.0, written - accepted / 1000), trace_id, written)


class FlushHistory:
    """The flushes of one channel: at least the last `limit`, and up to twice as many."""

    __slots__ = ("_forgot", "_limit", "_log", "_numbers", "delays", "notes")

    def __init__(self, log: AudienceLog, delays: Delays, limit: int) -> None:
        self.notes: deque[DeliveryNote] = deque(maxlen=MAX_NOTES)
        self._log = log
        self.delays = delays
        self._limit = 8 * limit
        self._forgot = False
        self._numbers = array("d")  # four per flush

    def record(self, start: int, end: int, viewers: int) -> float:
        """Record a flush of these positions to so many viewers; return its time."""
        now = trio.current_time()
        self._numbers.extend((now, start, end, viewers))
        if len(self._numbers) > self._limit:
            del self._numbers[: self._limit // 2]
            self._forgot = True
        return now

    def measure(self, start: int, end: int, viewers: int) -> None:
        """Record a flush to viewers that were level, and observe the delay of its oldest event."""
        now = self.record(start, end, viewers)
        arrived = self._log.arrived_at(start)
        if arrived is None:
            return
        self.delays.fan_out.observe(now - arrived)
        accepted = accepted_at(self._log.items[start - self._log.base].data)
        if accepted is not None:
            # By the clocks of two machines, which may differ.
            delay = time.time() - accepted / 1000 - self._log.delay
            self.delays.publish_to_write.observe(max(0.0, delay))

    def add_note(self, what: str, start: int, end: int) -> None:
        """Add one viewer to the note of these positions."""
        viewers = 1
        if self.notes and self.notes[-1][1:4] == (what, start, end):
            viewers += self.notes.pop().viewers
        self.notes.append(DeliveryNote(trio.current_time(), what, start, end, viewers))

    def of(self, position: int) -> Iterator[FlushRecord]:
        """Yield the flushes that wrote this position, oldest first."""
        numbers = self._numbers
        for at in range(0, len(numbers), 4):
            if numbers[at + 1] <= position < numbers[at + 2]:
                yield FlushRecord(
                    numbers[at], int(numbers[at + 1]), int(numbers[at + 2]), int(numbers[at + 3])
                )

    def reaches_back_to(self, when: float) -> bool:
        """Return whether all flushes since then are still recorded."""
        return not self._forgot or self._numbers[0] <= when
