"""The viewers of one channel on this node: in segments, joining, or lagging.

The audience manages the viewers and the fan-out the time: viewers are added to and removed from segments
here, and segments are passed to the fan-out whenever they have something to flush.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol, TypeVar, cast

import trio

from liveserver.errors import TooMany
from liveserver.frontend.delivery.count_frames import CountFrames
from liveserver.frontend.delivery.flush_history import FlushHistory
from liveserver.frontend.delivery.lagging import LaggingViewers
from liveserver.frontend.delivery.long_poll import PollSegment, PollWaiter
from liveserver.frontend.delivery.poll_pages import PollPages
from liveserver.frontend.delivery.scheduler import DelayedTip, Scheduler
from liveserver.frontend.delivery.segment import FilteredSegment, Segment, StreamSegment
from liveserver.frontend.delivery.viewer import AudienceInterface, State, Viewer, attempt
from liveserver.frontend.delivery.viewer_totals import ViewerTotals
from liveserver.frontend.history.delayed import AudienceLog
from liveserver.transport.filter import Filter
from liveserver.transport.form import Form

RETRY = 2  # seconds

SegmentT = TypeVar("SegmentT", bound=Segment)


class DelayedInterface(DelayedTip, Protocol):
    """The viewers of one delay, as the channel's audience uses them."""

    def on_appended(self) -> None: ...

    def set_viewer_count(self, viewers: bytes) -> None: ...

    def close(self) -> None: ...

    def viewers(self) -> list[Viewer]: ...

    def by_transport(self) -> Counter[str]: ...

    def all(self) -> Iterator[Audience]: ...


class Audience:
    """Viewers of a channel: all, or those behind live by one delay (`delayed.py`), which `channel` has, too.

    `totals` counts the channel's streams, including lagging ones, and waiting polls. `delayed` are those per
    delay.
    """

    def __init__(self, log: AudienceLog, scheduler: Scheduler, channel: Audience | None = None) -> None:
        self.log = log
        self.delayed: dict[int, DelayedInterface] = {}
        self.totals: ViewerTotals = ViewerTotals() if channel is None else channel.totals
        self.counts = scheduler.counts
        self.flush_history = FlushHistory(log, scheduler.delays, scheduler.trace_flushes)
        self.poll_pages = PollPages(log, scheduler.poll_bytes)
        self.is_closed = False
        self.lagging = LaggingViewers()
        self._scheduler = scheduler
        self._streams: dict[Form, list[StreamSegment]] = {}
        self._polls: list[PollSegment] = []
        self._appended: trio.Event | None = None
        self.count_frames = CountFrames(log)

    def set_viewer_count(self, viewers: bytes) -> None:
        """Send the counts, as JSON, to all level streams with their next flush."""
        self.count_frames.set(viewers)
        for segments in self._streams.values():
            for segment in segments:
                segment.count_pending = True
        self._scheduler.schedule(self.segments())
        for delayed in self.delayed.values():
            delayed.set_viewer_count(viewers)

    @property
    def is_counted(self) -> bool:
        """Whether viewers are sent viewer counts."""
        return bool(self.count_frames)

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
        self.count_frames.clear()
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
            lag = max(lag, tip - min(audience.needed_here(), audience.lagging.behind(tip)))
        return lag

    @property
    def reading_lag(self) -> int:
        """`lag`, without viewers behind live, and without lagging ones that paused for `READING_PAUSE`."""
        tip = self.log.tip
        return tip - min(self.needed_here(), self.lagging.reading_behind(tip))

    def needed(self) -> int:
        """Return the oldest position that a segment, or one of the delays, still needs."""
        return min(audience.needed_here() for audience in self.all()) if self.delayed else self.needed_here()

    def needed_here(self) -> int:
        """Return the oldest position that a segment still needs, without those of the delays."""
        return min((min(segment.position, self.log.tip) for segment in self.segments()), default=self.log.tip)

    def admit(self, viewer: Viewer, opening: bytes, shared: bytes = b"") -> None:
        """Add a new stream viewer; it is sent `opening`, then `shared`, which others are sent, too."""
        self.totals.add()
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

    def hold_filter(self, chosen: Filter, limit: int) -> None:
        """Count a viewer with this filter; it has to call `totals.remove_filter`.

        Raises `TooMany` beyond `limit` filters.
        """
        used = self.totals.filters
        if chosen not in used:
            held = {form.filter for each in self.all() for form, found in each._streams.items() if found}
            held = (held | used) - {None}
            if chosen not in held and len(held) >= limit:
                raise TooMany("this video is watched with too many different filters; try another", RETRY)
            for each in self.all():
                each.log.keep_filters(held)
        self.totals.add_filter(chosen)

    def _new_segment(self, form: Form) -> StreamSegment:
        kind = StreamSegment if form.filter is None else FilteredSegment
        segment = kind(self, form, self._scheduler.max_write)
        self._streams.setdefault(form, []).append(segment)
        return segment

    def wait(self, waiter: PollWaiter) -> None:
        """Add a waiting long-poll."""
        self.totals.add_poll()
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
        self.totals.remove_poll()

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer. Idempotent."""
        if viewer.state is State.GONE:
            return
        if viewer.state is State.LAGGING:
            self.lagging.discard(viewer)
        elif viewer.segment is not None:
            viewer.segment.remove(viewer)
        viewer.state = State.GONE
        self._scheduler.remove_expiry(viewer)
        if viewer.on_leave is not None:
            viewer.on_leave()
        self.totals.remove()

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
        self._scheduler.catch_up(viewer)

    def note_reading(self, viewer: Viewer, now: float) -> None:
        """Note that a lagging viewer's socket has just accepted more."""
        if viewer.state is State.LAGGING:
            self.lagging.note_reading(viewer, now)

    def rejoin(self, viewer: Viewer) -> None:
        """Add a viewer that lagged and is level again to a segment."""
        self.lagging.discard(viewer)
        self.add(viewer)

    def move(self, viewer: Viewer, audience: AudienceInterface) -> None:
        """Move a viewer to another audience of the channel, at its position."""
        if audience is self:
            return
        if viewer.state is State.LAGGING:
            self.lagging.discard(viewer)
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
            self.lagging.take(viewer)
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
        limit = self._scheduler.segment_size // 2
        return next((each for each in segments if each.size <= limit and not each.is_apart), None)
