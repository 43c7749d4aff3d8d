"""The viewers of one channel on this node: which segment each is in, which join, which lag.

The audience knows the viewers and the fan-out knows the time: segments are filled and thinned out
here, and handed to the fan-out whenever a visit to one of them would have something to do.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, cast

import trio

from liveserver.frontend.delivery.expiry import Expirable
from liveserver.frontend.delivery.flush_history import Delays, FlushHistory
from liveserver.frontend.delivery.long_poll import PollPages, PollSegment, PollWaiter
from liveserver.frontend.delivery.segment import Segment, StreamSegment
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.frontend.delivery.viewer import State, Viewer, attempt
from liveserver.frontend.history.log import ChannelLog
from liveserver.transport.form import Form

LOOKS = 5  # within which a poll is expected back: its client is still watching
VIEWERS = b"viewers"

SegmentT = TypeVar("SegmentT", bound=Segment)


class Scheduler(Protocol):
    """The fan-out, as far as the audiences know it."""

    segment_size: int
    max_write: int
    poll_bytes: int
    trace_flushes: int
    counts: FanOutStatistics
    delays: Delays

    def schedule(self, segments: Iterable[Segment]) -> None:
        """Flush these, as far as they are behind."""
        ...

    def drop(self, segment: Segment) -> None:
        """Forget a segment without viewers, of a channel that is closed."""
        ...

    def wake(self, segment: Segment) -> None:
        """Somebody has come to this segment."""
        ...

    def expect(self, expirable: Expirable) -> None:
        """This one may stay as long as its permission lasts."""
        ...

    def forget(self, expirable: Expirable) -> None:
        """It has gone by itself."""
        ...

    def catch_up(self, viewer: Viewer) -> None:
        """This viewer is not level."""
        ...

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        """Write this; a client that does not take it at once is waited for elsewhere."""
        ...


class Audience:
    """All viewers of a channel. `count` has those on streams, lagging ones too, and waiting polls.

    `empty_since`: since when there have been no viewers, in Trio's time, if there are none.
    """

    def __init__(self, log: ChannelLog, scheduler: Scheduler) -> None:
        self.log = log
        self.counts = scheduler.counts
        self.flush_history = FlushHistory(log, scheduler.delays, scheduler.trace_flushes)
        self.poll_pages = PollPages(log, scheduler.poll_bytes)
        self.is_closed = False
        self.count = 0
        self.empty_since = trio.current_time()
        self.lagging: set[Viewer] = set()
        self._scheduler = scheduler
        self._streams: dict[Form, list[StreamSegment]] = {}
        self._polls: list[PollSegment] = []
        self._appended: trio.Event | None = None
        self._waiting = 0  # polls, of `count`
        self._most_waiting: deque[int] = deque([0], maxlen=LOOKS)  # since each of the last looks
        self._viewers = b""  # the newest counts, as sent
        self._count_frames: dict[tuple[Form, int], bytes] = {}  # the same as frames, for each position

    @property
    def watching(self) -> int:
        """`count`, with the clients that are between two polls: as many as have waited lately."""
        return self.count - self._waiting + max(self._most_waiting)

    def sample_count(self) -> int:
        """Return `watching`, and begin a new stretch of time for long-polls."""
        self._most_waiting.append(self._waiting)
        return self.watching

    def set_viewer_count(self, viewers: bytes) -> None:
        """Send the counts, as JSON, to all level streams with their next flush."""
        self._viewers = viewers
        self._count_frames.clear()
        for segments in self._streams.values():
            for segment in segments:
                segment.count_pending = True
        self._scheduler.schedule(self.segments())

    @property
    def is_counted(self) -> bool:
        """Whether viewers are sent how many are watching."""
        return bool(self._viewers)

    def viewer_count_frame(self, form: Form, position: int, cursor: bytes = b"") -> bytes:
        """The frame with how many are watching, at a position or a cursor; empty before it is known."""
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
        """Have what the log has grown by sent."""
        self._scheduler.schedule(self.segments())
        if self._appended is not None:
            self._appended.set()
            self._appended = None

    async def wait_appended(self) -> None:
        if self._appended is None:
            self._appended = trio.Event()
        await self._appended.wait()

    def close(self) -> None:
        """Free what is held, now that there are no viewers."""
        self.is_closed = True
        for segment in list(self.segments()):
            self._scheduler.drop(segment)
        self.poll_pages.clear()
        self._count_frames.clear()

    def segments(self) -> Iterator[Segment]:
        for segments in self._streams.values():
            yield from segments
        yield from self._polls

    def viewers(self) -> list[Viewer]:
        """Return the viewers on streams, in the order of the segments; lagging ones come last."""
        seated = [
            viewer for each in self._streams.values() for segment in each for viewer in segment.members()
        ]
        return [*seated, *self.lagging]

    def by_transport(self) -> Counter[str]:
        """Return how many viewers each wire form has; `poll` counts waiting long-polls."""
        found: Counter[str] = Counter()
        for form, segments in self._streams.items():
            found[form.word] += sum(segment.size for segment in segments)
        for viewer in self.lagging:
            found[viewer.form.word] += 1
        found["poll"] = sum(segment.size for segment in self._polls)
        return found

    def poll_segments(self) -> list[PollSegment]:
        return self._polls

    @property
    def lag(self) -> int:
        """How many events those furthest behind have not been written yet."""
        behind = min((viewer.position for viewer in self.lagging), default=self.log.tip)
        return max(0, self.log.tip - min(self.needed(), behind))

    def needed(self) -> int:
        """Return the oldest position that a segment still needs."""
        return min((segment.position for segment in self.segments()), default=self.log.tip)

    def admit(self, viewer: Viewer, opening: bytes, shared: bytes = b"") -> None:
        """A new viewer on a stream; `opening` is the first it is sent, then what many are sent alike."""
        self.count += 1
        self._scheduler.expect(viewer)
        sent = attempt(viewer.send, opening)
        if sent != len(opening):
            self.on_partial_send(viewer, opening + shared, sent)
        elif shared and (sent := attempt(viewer.send, shared)) != len(shared):
            self.on_partial_send(viewer, shared, sent)
        else:
            self.add(viewer)

    def add(self, viewer: Viewer) -> None:
        """Give a viewer, new or level again, a place in a segment, where it last sat if it can."""
        if viewer.seen is not None:
            self._fall_behind(viewer)
            return
        segments = self._streams.setdefault(viewer.form, [])
        segment = cast("StreamSegment | None", viewer.segment)
        if segment is None or segment not in segments or segment.size >= self._scheduler.segment_size:
            segment = self._with_room(segments)
            if segment is None:
                segment = StreamSegment(self, viewer.form, self._scheduler.max_write)
                segments.append(segment)
        segment.add(viewer)
        self._scheduler.wake(segment)

    def wait(self, waiter: PollWaiter) -> None:
        """A long-poll begins to wait."""
        self.count += 1
        self._waiting += 1
        self._most_waiting[-1] = max(self._most_waiting[-1], self._waiting)
        segment = self._with_room(self._polls)
        if segment is None:
            segment = PollSegment(self)
            self._polls.append(segment)
        segment.add(waiter)
        self._scheduler.wake(segment)

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        """Write a poll's answer; a client that doesn't take it at once is waited for elsewhere."""
        self.on_poll_ended()
        self._scheduler.answer(waiter, response)

    def on_poll_ended(self) -> None:
        """A long-poll waits no more."""
        self._waiting -= 1
        self.left()

    def leave(self, viewer: Viewer) -> None:
        """A viewer has gone, or is let go. Idempotent."""
        if viewer.state is State.GONE:
            return
        if viewer.state is State.LAGGING:
            self.lagging.discard(viewer)
        elif viewer.segment is not None:
            viewer.segment.remove(viewer)
        viewer.state = State.GONE
        self._scheduler.forget(viewer)
        if viewer.on_leave is not None:
            viewer.on_leave()
        self.left()

    def left(self) -> None:
        """One viewer fewer."""
        self.count -= 1
        if self.count == 0:
            self.empty_since = trio.current_time()

    def on_partial_send(self, viewer: Viewer, chunk: bytes, sent: int) -> None:
        """A viewer's socket took only `sent` bytes of the chunk; -1: the socket is broken."""
        if sent < 0:
            viewer.state = State.LAGGING  # its segment has let go of it already
            self.leave(viewer)
            viewer.peer.close()
        else:
            viewer.save_unsent(chunk, sent)
            self._fall_behind(viewer)

    def _fall_behind(self, viewer: Viewer) -> None:
        viewer.state = State.LAGGING
        self.lagging.add(viewer)
        self._scheduler.catch_up(viewer)

    def rejoin(self, viewer: Viewer) -> None:
        """A viewer that lagged is level again."""
        self.lagging.discard(viewer)
        self.add(viewer)

    def discard(self, segment: Segment) -> None:
        """Drop a segment without viewers."""
        if isinstance(segment, PollSegment):
            self._polls.remove(segment)
            return
        for segments in self._streams.values():
            if segment in segments:
                segments.remove(segment)

    def _with_room(self, segments: list[SegmentT]) -> SegmentT | None:
        """The last segment, which is the one being filled; else the first that has thinned out."""
        if segments and segments[-1].size < self._scheduler.segment_size:
            return segments[-1]
        return next((each for each in segments if each.size <= self._scheduler.segment_size // 2), None)
