"""Viewers behind live: for each delay an audience of its own, on the log as of then.

Rules:

1. A viewer behind live is a position like any other: the same segments, catch-up, long-polls and frames, on a
   log whose tip is that of `delay` seconds ago (`history/delayed.py`). No queue, and no timer per viewer.
2. Delays are whole seconds, so that there are few; the fan-out moves all tips that are due in one step of its
   loop, at most every `TICK`. Without such viewers it compares one number.
3. Positions are the same for all delays. A viewer that changes to a longer delay, or comes from another node,
   may be further than the tip: it waits in a segment of its own until the tip is there, then joins others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from liveserver.frontend.delivery.audience import Audience
from liveserver.frontend.delivery.flush_history import FlushHistory
from liveserver.frontend.delivery.scheduler import Scheduler
from liveserver.frontend.delivery.segment import StreamSegment
from liveserver.frontend.delivery.viewer import State
from liveserver.frontend.history.delayed import DelayedLog

if TYPE_CHECKING:
    from liveserver.frontend.delivery.viewer import Viewer

LINGER = 10.0  # seconds that a delay without viewers is kept: long-polls come back


class DelayedFlushHistory(FlushHistory):
    """What the flushes of a delayed audience did, counted with those of its channel."""

    __slots__ = ("_channel",)

    def __init__(self, channel: FlushHistory, log: DelayedLog) -> None:
        super().__init__(log, channel.delays, 0)
        self._channel = channel
        self.notes = channel.notes

    def record(self, start: int, end: int, viewers: int) -> float:
        return self._channel.record(start, end, viewers)


class DelayedAudience(Audience):
    """The viewers of a channel that stand `delay` seconds behind live. They count as the channel's."""

    def __init__(self, channel: Audience, log: DelayedLog, scheduler: Scheduler) -> None:
        super().__init__(log, scheduler, channel)
        self.delayed_log = log
        self.flush_history = DelayedFlushHistory(channel.flush_history, log)
        self._channel = channel
        self._empty_since = trio.current_time()
        self._next_due = log.next_due()
        self._has_apart = False  # segments that the tip has not reached
        self.due = min(self._next_due, self._empty_since + LINGER)

    def advance(self, now: float) -> None:
        """Move the tip, and send the events up to it; close after `LINGER` without viewers."""
        if self.delayed_log.advance(now):
            if self._has_apart:
                self._rejoin_ahead()
            self.schedule()
        if any(segment.size for segment in self.segments()) or self.lagging:
            self._empty_since = now
        elif now - self._empty_since >= LINGER:
            self.close()
            self._channel.remove_delayed(self)
            return
        self._next_due = self.delayed_log.next_due()
        self.due = min(self._next_due, self._empty_since + LINGER)

    def keep_open(self) -> None:
        """Keep the audience open: a viewer is about to join."""
        self._empty_since = trio.current_time()

    def on_appended(self) -> None:
        """Note that the channel's log has grown."""
        if self._next_due < math.inf:
            return  # older events are waited for
        due = self._next_due = self.delayed_log.next_due()
        if due < self.due:
            self.due = due
            self._scheduler.advance_at(due)

    def add(self, viewer: Viewer) -> None:
        if viewer.seen is None and viewer.position > self.log.tip:
            segment = self._new_segment(viewer.form)
            segment.is_apart = self._has_apart = True
            segment.add(viewer)
            self._scheduler.wake(segment)
        else:
            super().add(viewer)

    def _rejoin_ahead(self) -> None:
        """Merge segments whose own position the tip has reached into the others."""
        self._has_apart = False
        for segment in [each for each in self.segments() if isinstance(each, StreamSegment)]:
            if segment.is_apart and segment.position <= self.log.tip:
                segment.is_apart = False
                for viewer in segment.members():
                    if viewer.state is State.JOINED:
                        viewer.position = segment.position
                    segment.remove(viewer)
                    viewer.segment = None
                    super().add(viewer)
            self._has_apart = self._has_apart or segment.is_apart
