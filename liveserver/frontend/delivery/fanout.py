"""The fan-out: one task that writes to the viewers of all channels of this node.

Rules:

1. No viewer is awaited. A flush of a segment is a few hundred non-blocking sends, followed by `YIELDS`
   checkpoints: in these turns a published event is read, accepted, received and answered, instead of one
   flush later each. Under load events coalesce: the longer a round takes, the more events go into one write.
2. A segment moves through four states:

       QUIET ──behind──▶ READY ──its turn: flush──▶ RESTING ──flush_interval──▶ READY if behind
         ▲                                             └──────────────────────▶ else QUIET

   So a quiet segment is flushed at once. A busy one rests for a part of `flush_interval` that depends on the
   load (`load.py`), unless its last write was cut at `max_write`: then it is ready again.
3. Channels take turns, a segment each, so that a hot video does not starve a small one.
4. Resting and quiet segments are ordered by their last flush, so the first one is due first: no segment has
   a timer. A segment that has been quiet for `heartbeat` seconds is sent a heartbeat.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Protocol

import msgspec
import trio

from liveserver.config import FrontendSettings
from liveserver.frontend.delivery.catchup import Withholding, finish_answer
from liveserver.frontend.delivery.expiry import Expirable, Expiries
from liveserver.frontend.delivery.flush_history import Delays
from liveserver.frontend.delivery.load import Load
from liveserver.frontend.delivery.long_poll import PollSegment, PollWaiter
from liveserver.frontend.delivery.scheduler import DelayedTip
from liveserver.frontend.delivery.segment import ScheduleState, Segment
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.frontend.delivery.viewer import AudienceInterface, Viewer, random_retry
from liveserver.transport.form import Reason
from liveserver.wakeup import Wakeup

YIELDS = 3  # checkpoints between two flushes
POLL_TICK = 0.25  # seconds between two checks of the deadlines of waiting polls
DELAY_TICK = 0.05  # seconds; what is due within one is shown to viewers behind live at once


def _step_end(due: float) -> float:
    """Return the end of the step of `DELAY_TICK` in which `due` lies."""
    return math.ceil(due / DELAY_TICK) * DELAY_TICK if due < math.inf else due


class Flushable(Protocol):
    """A connection with a partly written message."""

    async def flush_rest(self) -> None: ...


class FanOut:
    """Flushes segments; viewers that fall behind are caught up in tasks of `nursery`."""

    def __init__(self, settings: FrontendSettings, keep_alive: float, nursery: trio.Nursery) -> None:
        self.segment_size: int = settings.segment_size
        self.max_write: int = settings.max_write
        self.poll_bytes: int = settings.poll_bytes
        self.trace_flushes: int = settings.trace_flushes
        self.settings = settings
        self.counts = FanOutStatistics()
        self.delays = Delays()
        self.load = Load()
        self._withholding = Withholding()
        self._keep_alive = keep_alive
        self._nursery = nursery
        self._turns: deque[deque[Segment]] = deque()  # each channel's ready segments
        self._ready: dict[AudienceInterface, deque[Segment]] = {}
        self._resting: deque[Segment] = deque()
        self._quiet: OrderedDict[Segment, None] = OrderedDict()
        self._polls: set[PollSegment] = set()
        self._poll_tick = 0.0
        self._expiries = Expiries()
        self._delayed: dict[DelayedTip, None] = {}
        self._next_advance = math.inf  # when the tip of a delayed log is to move
        self._held: dict[Segment, float] = {}  # segments that hold back, and until when
        self._next_held = math.inf
        self._due = Wakeup()
        self._rest = 0.0  # seconds

    # Called by the audiences

    def schedule(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            if segment.schedule_state is ScheduleState.QUIET and segment.is_behind:
                del self._quiet[segment]
                self._make_ready(segment)

    def wake(self, segment: Segment) -> None:
        if segment.schedule_state is ScheduleState.UNKNOWN:
            segment.flushed_at = trio.current_time()
            self._make_quiet(segment)
            if isinstance(segment, PollSegment):
                self._polls.add(segment)
            self._due.set()  # this segment may be due before what the loop waits for
        if segment.schedule_state is ScheduleState.QUIET and segment.is_behind:
            del self._quiet[segment]
            self._make_ready(segment)

    def hold(self, segment: Segment, until: float) -> None:
        self._held[segment] = until
        self._next_held = min(self._next_held, until)

    def drop(self, segment: Segment) -> None:
        self._quiet.pop(segment, None)
        if segment.schedule_state is ScheduleState.QUIET:
            self._forget(segment)

    def add_expiry(self, expirable: Expirable) -> None:
        before = self._expiries.next_at
        self._expiries.add(expirable)
        if expirable.until < before:
            self._due.set()

    def remove_expiry(self, expirable: Expirable) -> None:
        self._expiries.discard(expirable)

    def add_delayed(self, delayed: DelayedTip) -> None:
        self._delayed[delayed] = None
        self.advance_at(delayed.due)

    def drop_delayed(self, delayed: DelayedTip) -> None:
        self._delayed.pop(delayed, None)

    def advance_at(self, due: float) -> None:
        due = _step_end(due)
        if due < self._next_advance:
            self._next_advance = due
            self._due.set()

    def catch_up(self, viewer: Viewer) -> None:
        self.counts.fell_behind += 1
        self._nursery.start_soon(self._withholding.catch_up, viewer, self.settings)

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        self.counts.writes += 1
        try:
            sent = waiter.peer.sock.send(response)
        except BlockingIOError:
            sent = 0
        except OSError:
            waiter.peer.close()
            sent = len(response)
        if sent == len(response):
            waiter.done(trio.current_time() + self._keep_alive)
        else:
            self._nursery.start_soon(
                finish_answer,
                waiter,
                memoryview(response)[sent:],
                self.settings.slow_timeout,
                self._keep_alive,
            )

    def push(self, socket: Flushable) -> None:
        """Write the rest of a partly written message, in a task."""
        self._nursery.start_soon(socket.flush_rest)

    # The loop

    async def run(self) -> None:
        """Flush the segments that are due, until cancelled."""
        while True:
            self._advance(trio.current_time())
            if not self._turns:
                await self._wait()
                continue
            effort = 0
            while self._turns and effort < self.segment_size:
                effort += self._take_turn()
            for _ in range(YIELDS):
                await trio.lowlevel.checkpoint()

    def _take_turn(self) -> int:
        """Flush one segment; return its cost, in writes."""
        ready = self._turns.popleft()
        segment = ready.popleft()
        if ready:
            self._turns.append(ready)
        else:
            del self._ready[segment.audience]
        began = trio.current_time()
        writes = segment.flush()
        segment.flushed_at = trio.current_time()
        self.load.add(segment.flushed_at - began)
        if segment.is_cut:
            self._make_ready(segment)
        else:
            segment.schedule_state = ScheduleState.RESTING
            self._resting.append(segment)
        self.counts.visits += 1
        self.counts.writes += writes
        if segment.schedule_state is ScheduleState.READY:  # a large write takes longer
            writes += self.segment_size // 16
        return writes + 1  # a flush has a cost even without viewers

    def _advance(self, now: float) -> None:
        """Move the segments that are due to their next state."""
        if self._next_advance <= now:
            self._advance_delayed(now)
        if self._next_held <= now:
            self._release_held(now)
        self._rest = self.settings.flush_interval * self.load.rest(now)
        while self._resting and self._rested_at(self._resting[0]) <= now:
            segment = self._resting.popleft()
            if segment.audience.is_closed:
                self._forget(segment)
            elif segment.is_behind:
                self._make_ready(segment)
            else:
                self._make_quiet(segment)
        while self._quiet and self._silent_at(segment := next(iter(self._quiet))) <= now:
            del self._quiet[segment]
            if segment.size == 0:
                self._forget(segment)
                continue
            self.counts.heartbeats += segment.send_heartbeat()
            segment.flushed_at = now
            self._make_quiet(segment)
        if self._expiries.next_at <= now:
            for expirable in self._expiries.take_due(now, self.segment_size):
                expirable.disconnect(Reason.EXPIRED, random_retry(self.settings))
        if self._polls and now >= self._poll_tick:
            self._poll_tick = now + POLL_TICK
            for poll in self._polls:
                self.counts.writes += poll.expire(now)

    def _advance_delayed(self, now: float) -> None:
        """Move the tips that are due."""
        for delayed in list(self._delayed):
            if delayed.due <= now:
                delayed.advance(now)
        due = min((delayed.due for delayed in self._delayed), default=math.inf)
        self._next_advance = max(_step_end(due), now + DELAY_TICK / 2)

    def _release_held(self, now: float) -> None:
        """Schedule the segments that have held back long enough."""
        due = [segment for segment, until in self._held.items() if until <= now]
        for segment in due:
            del self._held[segment]
        self._next_held = min(self._held.values(), default=math.inf)
        self.schedule(due)

    def _rested_at(self, segment: Segment) -> float:
        return segment.flushed_at + self._rest

    def _silent_at(self, segment: Segment) -> float:
        return segment.flushed_at + self.settings.heartbeat

    async def _wait(self) -> None:
        """Wait until there is something to do."""
        due = float("inf")
        if self._resting:
            due = self._rested_at(self._resting[0])
        elif self._quiet:
            due = self._silent_at(next(iter(self._quiet)))
        if self._polls:
            due = min(due, self._poll_tick)
        due = min(due, self._expiries.next_at, self._next_advance, self._next_held)
        await self._due.wait(due)

    def _make_ready(self, segment: Segment) -> None:
        segment.schedule_state = ScheduleState.READY
        ready = self._ready.get(segment.audience)
        if ready is None:
            ready = self._ready[segment.audience] = deque()
            self._turns.append(ready)
        ready.append(segment)
        self._due.set()

    def _make_quiet(self, segment: Segment) -> None:
        segment.schedule_state = ScheduleState.QUIET
        self._quiet[segment] = None

    def _forget(self, segment: Segment) -> None:
        self._held.pop(segment, None)
        segment.schedule_state = ScheduleState.UNKNOWN
        segment.audience.discard(segment)
        if isinstance(segment, PollSegment):
            self._polls.discard(segment)

    def statistics(self) -> FanOutStatistics:
        return msgspec.structs.replace(
            self.counts,
            byes=self.counts.byes.copy(),
            delay=self.delays.fan_out.read(),
            publish_to_write=self.delays.publish_to_write.read(),
        )
