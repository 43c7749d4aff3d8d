"""The fan-out, as the audiences use it: it decides when segments are flushed, and runs what takes a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from liveserver.frontend.delivery.expiry import Expirable
from liveserver.frontend.delivery.flush_history import Delays
from liveserver.frontend.delivery.long_poll import PollWaiter
from liveserver.frontend.delivery.segment import Segment
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.frontend.delivery.viewer import Viewer


class DelayedTip(Protocol):
    """An audience behind live, as the fan-out uses it: its tip moves when it is `due`, in Trio's time."""

    due: float

    def advance(self, now: float) -> None:
        """Move the tip; set `due`."""
        ...


class Scheduler(Protocol):
    """The fan-out, as the audiences use it."""

    segment_size: int
    max_write: int
    poll_bytes: int
    trace_flushes: int
    counts: FanOutStatistics
    delays: Delays

    def schedule(self, segments: Iterable[Segment]) -> None:
        """Flush those of the segments that are behind."""
        ...

    def drop(self, segment: Segment) -> None:
        """Drop a segment without viewers, of a closed channel."""
        ...

    def wake(self, segment: Segment) -> None:
        """Schedule a segment that a viewer has joined."""
        ...

    def hold(self, segment: Segment, until: float) -> None:
        """Schedule a segment then (Trio's time)."""
        ...

    def add_expiry(self, expirable: Expirable) -> None:
        """Disconnect a connection when its grant expires."""
        ...

    def remove_expiry(self, expirable: Expirable) -> None:
        """Drop a connection that has disconnected."""
        ...

    def catch_up(self, viewer: Viewer) -> None:
        """Let a viewer catch up, in a task."""
        ...

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        """Write a poll's response; the rest of it, if the socket is full, in a task."""
        ...

    def add_delayed(self, delayed: DelayedTip) -> None:
        """Move the tip of this audience whenever it is `due`."""
        ...

    def drop_delayed(self, delayed: DelayedTip) -> None:
        """Stop moving the tip of this audience."""
        ...

    def advance_at(self, due: float) -> None:
        """Run at that time (Trio's): an audience is due."""
        ...
