"""The viewers of one channel on this node: in segments, joining, or lagging.

The audience manages the viewers and the fan-out the time: viewers are added to and removed from segments
here, and segments are passed to the fan-out whenever they have something to flush.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, cast

import trio

from liveserver.errors import TooMany
from liveserver.frontend.delivery.expiry import Expirable
from liveserver.frontend.delivery.flush_history import Delays, FlushHistory
from liveserver.frontend.delivery.long_poll import PollPages, PollSegment, PollWaiter
from liveserver.frontend.delivery.segment import FilteredSegment, Segment, StreamSegment
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.frontend.delivery.viewer import BRISK, AudienceInterface, State, Viewer, attempt
from liveserver.frontend.history.delayed import AudienceLog
from liveserver.transport.filter import Filter
from liveserver.transport.form import Form

SAMPLES = 5  # of the waiting polls: a client that has polled within them is counted as watching
VIEWERS = b"viewers"
RETRY = 2  # seconds

SegmentT = TypeVar("SegmentT", bound=Segment)


class DelayedInterface(Protocol):
    """The viewers of one delay, as the channel's audience and the fan-out use them."""

    due: float

    def advance(self, now: float) -> None: ...

    def on_appended(self) -> None: ...

    def set_viewer_count(self, viewers: bytes) -> None: ...

    def close(self) -> None: ...

    def viewers(self) -> list[Viewer]: ...

    def by_transport(self) -> Counter[str]: ...

    def all(self) -> Iterator[Audience]: ...


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

    def add_delayed(self, delayed: DelayedInterface) -> None:
        """Move the tip of this audience whenever it is `due`."""
        ...

    def drop_delayed(self, delayed: DelayedInterface) -> None:
        """Stop moving the tip of this audience."""
        ...

    def advance_at(self, due: float) -> None:
        """Run at that time (Trio's): an audience is due."""
        ...


class _Tally:
    """The number of a channel's viewers, whatever their delay; `waiting` of them are polls."""

    __slots__ = ("count", "empty_since", "filters", "most_waiting", "waiting")

    def __init__(self) -> None:
        self.count = self.waiting = 0
        self.filters: Counter[Filter] = Counter()  # viewers with each filter
        self.empty_since = trio.current_time()
        self.most_waiting: deque[int] = deque([0], maxlen=SAMPLES)  # maximum since each of the last samples


class Audience:
    """Viewers of a channel: all, or those behind live by one delay (`delayed.py`), which `channel` has, too.

    `count` is the number of the channel's streams, including lagging ones, and waiting polls. `empty_since`:
    since when there have been no viewers, in Trio's time, if there are none. `delayed` are those per delay.
    """

    def __init__(self, log: AudienceLog, scheduler: Scheduler, channel: Audience | None = None) -> None:
        self.log = log
        self.delayed: dict[int, DelayedInterface] = {}
        self._tally: _Tally = _Tally() if channel is None else channel._tally
        self.counts = scheduler.counts
        self.flush_history = FlushHistory(log, scheduler.delays, scheduler.trace_flushes)
        self.poll_pages = PollPages(log, scheduler.poll_bytes)
        self.is_closed = False
        self.lagging: set[Viewer] = set()
        self._reading: dict[Viewer, float] = {}  # lagging ones → when their sockets last accepted more
        self._scheduler = scheduler
        self._streams: dict[Form, list[StreamSegment]] = {}
        self._polls: list[PollSegment] = []
        self._appended: trio.Event | None = None
        self._viewers = b""  # the newest counts, as sent
        self._count_frames: dict[tuple[Form, int], bytes] = {}  # the same as frames, for each position

    @property
    def count(self) -> int:
        return self._tally.count

    @property
    def empty_since(self) -> float:
        return self._tally.empty_since

    @property
    def watching(self) -> int:
        """`count`, including the clients that are between two polls."""
        return self.count - self._tally.waiting + max(self._tally.most_waiting)

    def sample_count(self) -> int:
        """Return `watching`, and begin a new sample of the waiting polls."""
        self._tally.most_waiting.append(self._tally.waiting)
        return self.watching

    def set_viewer_count(self, viewers: bytes) -> None:
        """Send the counts, as JSON, to all level streams with their next flush."""
        self._viewers = viewers
        self._count_frames.clear()
        for segments in self._streams.values():
            for segment in segments:
                segment.count_pending = True
        self._scheduler.schedule(self.segments())
        for delayed in self.delayed.values():
            delayed.set_viewer_count(viewers)

    @property
    def is_counted(self) -> bool:
        """Whether viewers are sent viewer counts."""
        return bool(self._viewers)

    def viewer_count_frame(self, form: Form, position: int, cursor: bytes = b"") -> bytes:
        """Return the frame with the viewer counts, at a position or cursor; empty before they are known."""
        if not self._viewers:
            return b""
        if cursor:
            return form.control(cursor, VIEWERS, self._viewers)
        frame = self._count_frames.get((form, position))
        if frame is None:
            cursor = self.log.cursor_at(position) if position >= self.log.base else b""
            frame = self._count_frames[form, position] = form.control(cursor, VIEWERS, self._viewers)
        return frame

    def schedule(self) -> None:
        """Send the events that were appended to the log."""
        self._scheduler.schedule(self.segments())
        if self._appended is not None:
            self._appended.set()
            self._appended = None
        for delayed in self.delayed.values():
            delayed.on_appended()

    async def wait_appended(self) -> None:
        if self._appended is None:
            self._appended = trio.Event()
        await self._appended.wait()

    def close(self) -> None:
        """Release all segments and caches; there are no viewers any more."""
        self.is_closed = True
        for segment in list(self.segments()):
            self._scheduler.drop(segment)
        self.poll_pages.clear()
        self._count_frames.clear()
        for delayed in list(self.delayed.values()):
            delayed.close()
            self.remove_delayed(delayed)

    def remove_delayed(self, delayed: DelayedInterface) -> None:
        """Remove the audience of a delay, which is closed."""
        self.delayed = {delay: each for delay, each in self.delayed.items() if each is not delayed}
        self._scheduler.drop_delayed(delayed)

    def segments(self) -> Iterator[Segment]:
        """Yield the segments; without those of the delays."""
        for segments in self._streams.values():
            yield from segments
        yield from self._polls

    def all(self) -> Iterator[Audience]:
        """Yield this audience, and those of the delays."""
        yield self
        for delayed in self.delayed.values():
            yield from delayed.all()

    def viewers(self) -> list[Viewer]:
        """Return the viewers on streams, in the order of the segments; lagging ones come last."""
        found = [
            viewer for each in self._streams.values() for segment in each for viewer in segment.members()
        ]
        found += self.lagging
        for delayed in self.delayed.values():
            found += delayed.viewers()
        return found

    def by_transport(self) -> Counter[str]:
        """Return how many viewers each wire form has; `poll` counts waiting long-polls."""
        found: Counter[str] = Counter()
        for form, segments in self._streams.items():
            found[form.word] += sum(segment.size for segment in segments)
        for viewer in self.lagging:
            found[viewer.form.word] += 1
        found["poll"] = sum(segment.size for segment in self._polls)
        for delayed in self.delayed.values():
            found.update(delayed.by_transport())
        return found

    def poll_segments(self) -> list[PollSegment]:
        return [segment for audience in self.all() for segment in audience._polls]

    @property
    def lagging_count(self) -> int:
        """The number of lagging viewers, of all delays."""
        return sum(len(audience.lagging) for audience in self.all())

    @property
    def lag(self) -> int:
        """The number of events not yet written to the viewers furthest behind."""
        lag = 0
        for audience in self.all():
            tip = audience.log.tip
            behind = min((viewer.position for viewer in audience.lagging), default=tip)
            lag = max(lag, tip - min(audience.needed_here(), behind))
        return lag

    @property
    def brisk_lag(self) -> int:
        """`lag`, without viewers behind live, and without lagging ones that have paused for `BRISK`."""
        since = trio.current_time() - BRISK
        brisk = (viewer.position for viewer, at in self._reading.items() if at >= since)
        behind = min(brisk, default=self.log.tip)
        return self.log.tip - min(self.needed_here(), behind)

    def needed(self) -> int:
        """Return the oldest position that a segment, or one of the delays, still needs."""
        return min(audience.needed_here() for audience in self.all()) if self.delayed else self.needed_here()

    def needed_here(self) -> int:
        """Return the oldest position that a segment still needs, without those of the delays."""
        return min((min(segment.position, self.log.tip) for segment in self.segments()), default=self.log.tip)

    def admit(self, viewer: Viewer, opening: bytes, shared: bytes = b"") -> None:
        """Add a new stream viewer; it is sent `opening`, then `shared`, whose bytes are shared with
        others.
        """
        self._tally.count += 1
        self._scheduler.add_expiry(viewer)
        sent = attempt(viewer.send, opening)
        if sent != len(opening):
            self.on_partial_send(viewer, opening + shared, sent)
        elif shared and (sent := attempt(viewer.send, shared)) != len(shared):
            self.on_partial_send(viewer, shared, sent)
        else:
            self.add(viewer)

    def add(self, viewer: Viewer) -> None:
        """Add a viewer, new or level again, to a segment; to its last one if possible."""
        if viewer.seen is not None:
            self._fall_behind(viewer)
            return
        segments = self._streams.setdefault(viewer.form, [])
        segment = cast("StreamSegment | None", viewer.segment)
        if (
            segment is None
            or segment.is_apart
            or segment not in segments
            or segment.size >= self._scheduler.segment_size
        ):
            segment = self._with_room(segments)
            if segment is None:
                segment = self._new_segment(viewer.form)
        segment.add(viewer)
        self._scheduler.wake(segment)

    def hold_filter(self, chosen: Filter, most: int) -> None:
        """Count a viewer with this filter; it has to `release_filter`.

        Raises `TooMany` beyond `most` filters.
        """
        filters = self._tally.filters
        if chosen not in filters:
            held = {form.filter for each in self.all() for form, found in each._streams.items() if found}
            held = (held | set(filters)) - {None}
            if chosen not in held and len(held) >= most:
                raise TooMany("this video is watched with too many different filters; try another", RETRY)
            for each in self.all():
                each.log.keep_filters(held)
        filters[chosen] += 1

    def release_filter(self, chosen: Filter) -> None:
        """Count a viewer with this filter no more."""
        filters = self._tally.filters
        filters[chosen] -= 1
        if not filters[chosen]:
            del filters[chosen]

    def _new_segment(self, form: Form) -> StreamSegment:
        kind = StreamSegment if form.filter is None else FilteredSegment
        segment = kind(self, form, self._scheduler.max_write)
        self._streams.setdefault(form, []).append(segment)
        return segment

    def wait(self, waiter: PollWaiter) -> None:
        """Add a waiting long-poll."""
        tally = self._tally
        tally.count += 1
        tally.waiting += 1
        tally.most_waiting[-1] = max(tally.most_waiting[-1], tally.waiting)
        segment = self._with_room(self._polls)
        if segment is None:
            segment = PollSegment(self)
            self._polls.append(segment)
        segment.add(waiter)
        self._scheduler.wake(segment)

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        """Write a poll's answer; the rest of it, if the socket is full, in a task."""
        self.on_poll_ended()
        self._scheduler.answer(waiter, response)

    def on_poll_ended(self) -> None:
        """Count a long-poll that has ended."""
        self._tally.waiting -= 1
        self.left()

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer. Idempotent."""
        if viewer.state is State.GONE:
            return
        if viewer.state is State.LAGGING:
            self._no_longer_lagging(viewer)
        elif viewer.segment is not None:
            viewer.segment.remove(viewer)
        viewer.state = State.GONE
        self._scheduler.remove_expiry(viewer)
        if viewer.on_leave is not None:
            viewer.on_leave()
        self.left()

    def left(self) -> None:
        """Count a viewer that has left."""
        self._tally.count -= 1
        if self._tally.count == 0:
            self._tally.empty_since = trio.current_time()

    def on_partial_send(self, viewer: Viewer, chunk: bytes, sent: int) -> None:
        """Let a viewer lag whose socket accepted only `sent` bytes of the chunk; -1: the socket is broken."""
        if sent < 0:
            viewer.state = State.LAGGING  # it was removed from its segment already
            self.leave(viewer)
            viewer.peer.close()
        else:
            viewer.save_unsent(chunk, sent)
            self._fall_behind(viewer)

    def _fall_behind(self, viewer: Viewer) -> None:
        viewer.state = State.LAGGING
        self.lagging.add(viewer)
        if viewer.seen is None:
            self._reading[viewer] = trio.current_time()
        self._scheduler.catch_up(viewer)

    def _no_longer_lagging(self, viewer: Viewer) -> None:
        self.lagging.discard(viewer)
        self._reading.pop(viewer, None)

    def note_reading(self, viewer: Viewer, now: float) -> None:
        """Note that a lagging viewer's socket has just accepted more."""
        if viewer.state is State.LAGGING and viewer.seen is None:
            self._reading[viewer] = now

    def rejoin(self, viewer: Viewer) -> None:
        """Add a viewer that lagged and is level again to a segment."""
        self._no_longer_lagging(viewer)
        self.add(viewer)

    def move(self, viewer: Viewer, audience: AudienceInterface) -> None:
        """Move a viewer to another audience of the channel, at its position."""
        if audience is self:
            return
        if viewer.state is State.LAGGING:
            self._no_longer_lagging(viewer)
        elif viewer.segment is not None:
            if viewer.state is State.JOINED:
                viewer.position = viewer.segment.position
            viewer.segment.remove(viewer)
        viewer.segment = None
        audience.take(viewer)

    def take(self, viewer: Viewer) -> None:
        """Add a viewer that is moved here from another audience of the channel."""
        viewer.audience = self
        if viewer.state is State.LAGGING:  # its catch-up task continues here
            self.lagging.add(viewer)
        else:
            self.add(viewer)

    def hold(self, segment: Segment, until: float) -> None:
        """Flush a segment that holds back then (Trio's time)."""
        self._scheduler.hold(segment, until)

    def discard(self, segment: Segment) -> None:
        """Drop a segment without viewers."""
        if isinstance(segment, PollSegment):
            self._polls.remove(segment)
            return
        for segments in self._streams.values():
            if segment in segments:
                segments.remove(segment)

    def _with_room(self, segments: list[SegmentT]) -> SegmentT | None:
        """Return the last segment, which is being filled, or the first that is half empty, or None."""
        if segments and segments[-1].size < self._scheduler.segment_size and not segments[-1].is_apart:
            return segments[-1]
        most = self._scheduler.segment_size // 2
        return next((each for each in segments if each.size <= most and not each.is_apart), None)
