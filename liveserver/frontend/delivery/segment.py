"""A few hundred viewers at one position, and the flush that brings them to the tip.

Rules:

1. A flush sends the events between the segment's position and the tip, joined once, to one socket after the
   other, without awaiting any. It is the hottest loop of the server.
2. Viewers are in their order of arrival: the kernel's sockets are in that order in memory, and writing to
   them in it is up to a third faster than in random order.
3. A viewer whose socket is full leaves, with its own position and the unsent rest, and catches up in a task
   of its own. A joining viewer waits before the segment until a flush has brought both to one position; so
   no viewer receives an event twice, and none misses one.
4. The flush iterates over a list of `send`s, not of viewers: each additional object that it touches is a
   likely cache miss. The list is rebuilt after a change.
5. The viewer count is sent with the next flush, after the events. A socket that accepts none of it misses
   that count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import insort
from enum import Enum, auto
from operator import attrgetter
from typing import Protocol

import trio

from liveserver.frontend.delivery.count_frames import CountFrames
from liveserver.frontend.delivery.viewer import AudienceInterface, Send, State, Viewer, attempt
from liveserver.transport.form import Form

CURSOR_EVENTS, CURSOR_INTERVAL = 500, 5.0  # left out, or seconds, after which a cursor is sent alone
OMITTED_INTERVAL = 0.25  # seconds between two counts of omitted comments
_BY_SERIAL = attrgetter("serial")


class ScheduleState(Enum):
    """A segment's state in the fan-out: ready for a flush, resting after one, or quiet without new events."""

    QUIET = auto()
    READY = auto()
    RESTING = auto()
    UNKNOWN = auto()


class SegmentAudience(AudienceInterface, Protocol):
    """An audience, as its segments use it."""

    count_frames: CountFrames

    def discard(self, segment: Segment) -> None:
        """Drop a segment without viewers."""
        ...

    def hold(self, segment: Segment, until: float) -> None:
        """Flush a segment that holds back then (Trio's time)."""
        ...


class Segment(ABC):
    """A unit of the fan-out. `flushed_at` is in Trio's time; the fan-out sets `schedule_state`."""

    __slots__ = ("audience", "flushed_at", "is_apart", "schedule_state")

    def __init__(self, audience: SegmentAudience) -> None:
        self.audience = audience
        self.is_apart = False  # its viewers are further than the tip of a delayed log: no others join
        self.flushed_at = 0.0
        self.schedule_state = ScheduleState.UNKNOWN

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of viewers, including joining ones."""

    @property
    @abstractmethod
    def is_behind(self) -> bool:
        """Whether there is something to flush."""

    @property
    def is_cut(self) -> bool:
        """Whether the last write was bounded by its size, so that the next is due at once."""
        return False

    @property
    @abstractmethod
    def position(self) -> int:
        """The oldest position still needed here."""

    @abstractmethod
    def flush(self) -> int:
        """Send the new events; return the number of writes."""

    def send_heartbeat(self) -> int:
        """Send a heartbeat, as the segment has been quiet; return the number of writes."""
        return 0


class StreamSegment(Segment):
    """Viewers of one streaming form."""

    __slots__ = (
        "_end",
        "_form",
        "_frames",
        "_heartbeat",
        "_level_from",
        "_limit",
        "_sends",
        "count_pending",
        "joiners",
        "viewers",
    )

    def __init__(self, audience: SegmentAudience, form: Form, limit: int) -> None:
        super().__init__(audience)
        log = audience.log
        self.viewers: list[Viewer] = []
        self.joiners: list[Viewer] = []
        self._sends: list[Send] = []  # of `viewers`; empty if it has to be rebuilt
        self._end = log.tip
        self._level_from = log.tip  # events before this are from before the segment's viewers came
        self._frames = log.frames(form)
        self._limit = limit
        self._form = form
        self.count_pending = False  # the newest count of viewers
        self._heartbeat = form.envelope(form.heartbeat) if form.heartbeat else b""

    @property
    def size(self) -> int:
        return len(self.viewers) + len(self.joiners)

    @property
    def is_behind(self) -> bool:
        if self.joiners:
            return True
        return bool(self.viewers) and (self.count_pending or self._end < self.audience.log.tip)

    @property
    def is_cut(self) -> bool:
        return bool(self.viewers) and self._end < self.audience.log.tip

    @property
    def position(self) -> int:
        return self._end if self.viewers else self.audience.log.tip

    def members(self) -> list[Viewer]:
        return self.viewers + self.joiners

    def add(self, viewer: Viewer) -> bool:
        """Add a viewer; return whether it joined at once, being level, or waits for a flush."""
        viewer.segment = self
        if not self.viewers and not self.joiners:
            self._end = viewer.position
            self._level_from = self.audience.log.tip
        if viewer.position == self._end:
            insort(self.viewers, viewer, key=_BY_SERIAL)
            self._sends = []
            viewer.state = State.JOINED
            return True
        self.joiners.append(viewer)
        viewer.state = State.JOINING
        return False

    def remove(self, viewer: Viewer) -> None:
        (self.viewers if viewer.state is State.JOINED else self.joiners).remove(viewer)
        self._sends = []

    def reset_sends(self) -> None:
        self._sends = []

    def flush(self) -> int:
        writes = 0
        if self.viewers:
            chunk, end = self._frames.write(self._end, self._limit)
            events = chunk
            if self.count_pending:
                chunk += self._notice(end)
            if chunk:
                writes = self._send_all(chunk, self._end, end, optional=not events)
            if events:
                self.audience.counts.deliveries += self.audience.log.size_between(self._end, end) * writes
                # Events from before the viewers joined did not wait for a flush: not a delay.
                history = self.audience.flush_history
                record = history.measure if self._end >= self._level_from else history.record
                record(self._end, end, writes)
            self._end = end
        else:
            self._end = self.audience.log.tip
        if self.joiners:
            writes += self._admit()
        self.count_pending = False
        return writes

    def send_heartbeat(self) -> int:
        return self._send_all(self._heartbeat, self._end, self._end) if self._heartbeat else 0

    def _notice(self, position: int) -> bytes:
        form = self._form.for_one
        return form.envelope(self.audience.count_frames.at(form, position))

    def _send_all(self, chunk: bytes, start: int, end: int, *, optional: bool = False) -> int:
        """Send to all joined viewers; one that accepts nothing of an `optional` chunk stays."""
        if not self._sends:
            self._sends = [viewer.send for viewer in self.viewers]
        sends = self._sends
        if failed := _write(sends, chunk):
            for viewer, send in zip(self.viewers.copy(), sends, strict=True):
                if send in failed:
                    self._fail(viewer, chunk, failed[send], start, end, optional=optional)
        return len(sends)

    def _fail(self, viewer: Viewer, chunk: bytes, sent: int, start: int, end: int, *, optional: bool) -> None:
        if sent == 0 and optional:
            return
        self.remove(viewer)
        viewer.position = end
        self.audience.flush_history.add_note("late", start, end)
        self.audience.on_partial_send(viewer, chunk, sent)

    def _admit(self) -> int:
        """Bring the joining viewers to the segment's position."""
        writes = 0
        waiting, self.joiners = self.joiners, []
        for viewer in waiting:
            while viewer.position < self._end:
                start = viewer.position
                chunk, viewer.position = self._frames.write(start, self._limit)
                sent = attempt(viewer.send, chunk)
                writes += 1
                if sent != len(chunk):
                    self.audience.flush_history.add_note("late", start, viewer.position)
                    self.audience.on_partial_send(viewer, chunk, sent)
                    break
                self.audience.counts.deliveries += self.audience.log.size_between(start, viewer.position)
                self.audience.flush_history.record(start, viewer.position, 1)
            else:
                self.add(viewer)
                if self.count_pending:
                    end = viewer.position  # which may be beyond the segment's
                    notice = self._notice(end)
                    sent = attempt(viewer.send, notice)
                    writes += 1
                    if sent != len(notice):
                        self._fail(viewer, notice, sent, end, end, optional=True)
        return writes


class FilteredSegment(StreamSegment):
    """Viewers of a form with a filter. They are sent the cursor alone while nothing else comes, or what they
    resume from would fall out of the log. While comments are left out, they are flushed every
    `OMITTED_INTERVAL`, since each flush says how many."""

    __slots__ = ("_held_until", "_omitted_at", "_sent_at", "_sent_end")

    def __init__(self, audience: SegmentAudience, form: Form, limit: int) -> None:
        super().__init__(audience, form, limit)
        self._sent_at, self._sent_end = 0.0, self._end
        self._omitted_at = self._held_until = -OMITTED_INTERVAL

    def add(self, viewer: Viewer) -> bool:
        if not self.size:
            self._sent_at, self._sent_end = trio.current_time(), viewer.position
        return super().add(viewer)

    def _holds_back(self) -> bool:
        """Return whether it is too soon for another flush, each of which reports the omitted comments."""
        log, chosen = self.audience.log, self._form.filter
        if chosen is None or chosen.rate is None or self.joiners or not self.viewers:
            return False
        now = trio.current_time()
        is_soon = now < self._omitted_at + OMITTED_INTERVAL and log.tip - self._end < CURSOR_EVENTS
        if not log.ranks.count_omitted(chosen, self._end, log.tip):
            return False
        if not is_soon:
            self._omitted_at = now
        return is_soon

    @property
    def is_held(self) -> bool:
        return not self.joiners and trio.current_time() < self._held_until

    @property
    def is_behind(self) -> bool:
        return super().is_behind and not self.is_held

    @property
    def is_cut(self) -> bool:
        return super().is_cut and not self.is_held

    def flush(self) -> int:
        if self._holds_back():
            self._held_until = self._omitted_at + OMITTED_INTERVAL
            self.audience.hold(self, self._held_until)
            return 0
        writes = super().flush()
        if self.viewers and self._sent_end < self._end:
            is_long = self._end - self._sent_end >= CURSOR_EVENTS
            if is_long or trio.current_time() - self._sent_at >= CURSOR_INTERVAL:
                writes += self._send_cursor()
        return writes

    def send_heartbeat(self) -> int:
        return self._send_cursor() if self._sent_end < self._end else super().send_heartbeat()

    def _send_cursor(self) -> int:
        frame = self._form.cursor_frame(self.audience.log.video, self.audience.log.cursor_at(self._end))
        return self._send_all(self._form.envelope(frame), self._end, self._end)

    def _send_all(self, chunk: bytes, start: int, end: int, *, optional: bool = False) -> int:
        self._sent_at, self._sent_end = trio.current_time(), end
        return super()._send_all(chunk, start, end, optional=optional)


def _write(sends: list[Send], chunk: bytes) -> dict[Send, int]:
    """Send to each, as `attempt` does, without a call for each; return the incomplete results."""
    size = len(chunk)
    failed: dict[Send, int] = {}
    for send in sends:
        try:
            sent = send(chunk)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = -1
        if sent != size:
            failed[send] = sent
    return failed
