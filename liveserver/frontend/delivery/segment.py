"""A few hundred viewers at one position, and the flush that brings them to the tip.

Rules:

1. A visit sends what is between the segment's position and the tip, joined once, to one socket
   after the other, without awaiting anybody. It is the hottest loop of the house.
2. Viewers stand in the order in which they came: the kernel's sockets lie in that order in memory,
   and visiting them so is up to a third faster than at random.
3. A viewer whose socket is full leaves, with its own position and the unsent tail, and a task of its
   own catches it up. One that joins stands before the segment until a visit has brought both to
   one position; so no viewer gets an event twice, and none misses one.
4. The visit walks a list of `send`s, and not the viewers: with thousands of them, each object more that
   it touches is one more that is not in the processor's cache. The list is made anew after a change.
5. How many are watching goes out with the next visit, behind the events. A socket that takes none
   of it does without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import insort
from enum import Enum, auto
from operator import attrgetter
from typing import Protocol

from liveserver.frontend.delivery.viewer import AudienceInterface, Send, State, Viewer, attempt
from liveserver.transport.form import Form

_BY_SERIAL = attrgetter("serial")


class ScheduleState(Enum):
    """Where a segment waits in the fan-out: to be visited, to be let rest, or for something new."""

    QUIET = auto()
    READY = auto()
    RESTING = auto()
    UNKNOWN = auto()


class SegmentAudience(AudienceInterface, Protocol):
    """What a segment knows of the audience it belongs to."""

    def discard(self, segment: Segment) -> None:
        """Nobody is left in this one."""
        ...

    def viewer_count_frame(self, form: Form, position: int) -> bytes:
        """The frame with how many are watching."""
        ...


class Segment(ABC):
    """What the fan-out visits. `flushed_at` is in Trio's time; `schedule_state` is the fan-out's."""

    __slots__ = ("flushed_at", "home", "is_apart", "schedule_state")

    def __init__(self, home: SegmentAudience) -> None:
        self.home = home
        self.is_apart = False  # its viewers are further than the tip of a delayed log: no others join
        self.flushed_at = 0.0
        self.schedule_state = ScheduleState.UNKNOWN

    @property
    @abstractmethod
    def size(self) -> int:
        """How many viewers are here or about to be."""

    @property
    @abstractmethod
    def is_behind(self) -> bool:
        """Whether a visit has something to do."""

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
        """Send what there is; the number of writes."""

    def send_heartbeat(self) -> int:
        """Send a heartbeat to a segment that has been quiet; the number of writes."""
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

    def __init__(self, home: SegmentAudience, form: Form, limit: int) -> None:
        super().__init__(home)
        log = home.log
        self.viewers: list[Viewer] = []
        self.joiners: list[Viewer] = []
        self._sends: list[Send] = []  # of `viewers`; empty while it has to be made
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
        return bool(self.viewers) and (self.count_pending or self._end < self.home.log.tip)

    @property
    def is_cut(self) -> bool:
        return bool(self.viewers) and self._end < self.home.log.tip

    @property
    def position(self) -> int:
        return self._end if self.viewers else self.home.log.tip

    def members(self) -> list[Viewer]:
        return self.viewers + self.joiners

    def add(self, viewer: Viewer) -> bool:
        """Take a viewer in at once if it is level with this segment; else let it wait for a visit."""
        viewer.segment = self
        if not self.viewers and not self.joiners:
            self._end = viewer.position
            self._level_from = self.home.log.tip
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

    def renew(self) -> None:
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
                self.home.counts.deliveries += (end - self._end) * writes
                # What a viewer begins with did not wait for a flush: it is no delay.
                history = self.home.flush_history
                record = history.measure if self._end >= self._level_from else history.note
                record(self._end, end, writes)
            self._end = end
        else:
            self._end = self.home.log.tip
        if self.joiners:
            writes += self._admit()
        self.count_pending = False
        return writes

    def send_heartbeat(self) -> int:
        return self._send_all(self._heartbeat, self._end, self._end) if self._heartbeat else 0

    def _notice(self, position: int) -> bytes:
        return self._form.envelope(self.home.viewer_count_frame(self._form, position))

    def _send_all(self, chunk: bytes, start: int, end: int, *, optional: bool = False) -> int:
        """Send to all viewers that joined; one that takes nothing of an `optional` chunk stays."""
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
        self.home.flush_history.add_note("late", start, end)
        self.home.on_partial_send(viewer, chunk, sent)

    def _admit(self) -> int:
        """Bring the joining viewers to where the segment stands now."""
        writes = 0
        waiting, self.joiners = self.joiners, []
        for viewer in waiting:
            while viewer.position < self._end:
                start = viewer.position
                chunk, viewer.position = self._frames.write(start, self._limit)
                sent = attempt(viewer.send, chunk)
                writes += 1
                if sent != len(chunk):
                    self.home.flush_history.add_note("late", start, viewer.position)
                    self.home.on_partial_send(viewer, chunk, sent)
                    break
                self.home.counts.deliveries += viewer.position - start
                self.home.flush_history.note(start, viewer.position, 1)
            else:
                self.add(viewer)
                if self.count_pending:
                    end = viewer.position  # which may be beyond where the segment stands
                    notice = self._notice(end)
                    sent = attempt(viewer.send, notice)
                    writes += 1
                    if sent != len(notice):
                        self._fail(viewer, notice, sent, end, end, optional=True)
        return writes


def _write(sends: list[Send], chunk: bytes) -> dict[Send, int]:
    """Send to each as `attempt` does, without a call for each; what those took that did not take all."""
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
