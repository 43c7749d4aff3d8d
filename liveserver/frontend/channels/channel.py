"""A video as this node sees it: its recent log and its audience.

Rules:

1. `epoch` and `offset` say how far this node has followed the datacenter's log. A batch is next in
   number (appended), already known (dropped), or beyond a missing range, and then nothing is appended
   until the range has been read from the log: viewers get events in the log's order or not at all.
2. Batches that arrive during a backfill wait in a short stash. Losing them only costs another read of the
   log, since every forwarded batch was logged before.
3. Events that the datacenter's log has lost are a gap in this log, which viewers pass like an event.
4. No event of an origin is appended twice, whatever its place in the datacenter's log, and none of an
   epoch that its origin has left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import trio

from liveserver.bus.interface import Head, Slice
from liveserver.config import HistorySettings
from liveserver.cursor import Cursor, Mark
from liveserver.event import Batch
from liveserver.frontend.channels.viewer_count import ChannelViewerCount
from liveserver.frontend.delivery.audience import Audience
from liveserver.frontend.delivery.delayed import DelayedAudience
from liveserver.frontend.delivery.scheduler import Scheduler
from liveserver.frontend.history.delayed import DelayedLog
from liveserver.frontend.history.log import ChannelLog
from liveserver.single_flight import SingleFlight

STASH = 1_000  # batches


class Channel:
    """One video on this node. Made by the subscription table; open once `is_open`."""

    def __init__(self, video: str, scheduler: Scheduler, history: HistorySettings) -> None:
        self.video = video
        self.log = ChannelLog(
            video,
            history.max_events,
            history.max_age,
            ephemeral=history.ephemeral_types,
            ephemeral_capacity=history.ephemeral_events,
        )
        self.audience = Audience(self.log, scheduler)
        self.opened_at = 0.0  # in Trio's time
        self._scheduler = scheduler
        self._history = history
        self.viewer_count = ChannelViewerCount(video)
        self.epoch = ""
        self.offset = 0
        self.is_open = False
        self.settled = trio.Event()  # set once it is open, or closed without having been open
        self.arriving = 0  # viewers that are about to join
        self.is_backfilling = True  # batches are stashed until it is open
        self.first = 0  # offset of the oldest event held, in the epoch it was opened in
        self.is_complete = False  # nothing older than what is held is in the datacenter's log
        self.filling = trio.Lock()
        self.reading = SingleFlight()  # its log's head
        self.on_banned: Callable[[Channel], None] | None = None
        self.on_grown: Callable[[Channel], None] | None = None  # called once the tip is at `check_at`
        self.check_at, self.checked_at = 0, 0.0
        self._stash: deque[Batch] = deque(maxlen=STASH)

    def open(self, head: Head, state: Sequence[bytes] = ()) -> None:
        """Begin to follow the log at `head`, with the state's lines at that point."""
        self.epoch, self.offset = head.epoch, head.offset
        self.first = head.offset + 1
        self.is_complete = head.offset == 0
        self.log.start_at(head.cursor, state, head.kept)
        self.opened_at = trio.current_time()
        self.is_open = True
        self.settled.set()

    def close(self) -> None:
        """Free what the channel holds, now that it has no viewers."""
        self.settled.set()
        self.audience.close()
        self.log.clear()
        self._stash.clear()

    def audience_behind(self, delay: int, limit: int) -> Audience:
        """Return the audience that stands `delay` seconds behind live; for a viewer that joins it at once.

        Of more than `limit` delays, the nearest one that there is, rather a longer one than a shorter.
        """
        if delay == 0:
            return self.audience
        delays = self.audience.delayed
        if delay not in delays and len(delays) >= limit:
            delay = min(delays, key=lambda other: (other < delay, abs(other - delay)))
        found = delays.get(delay)
        if found is None:
            self.log.reach = self._history.delayed_events
            log = DelayedLog(self.log, delay, trio.current_time())
            found = delays[delay] = DelayedAudience(self.audience, log, self._scheduler)
            self._scheduler.add_delayed(found)
        assert isinstance(found, DelayedAudience)
        found.keep_open()
        return found

    def reaches_back(self, seconds: float) -> bool:
        """Return whether the log here has all that the datacenter's has of so many seconds."""
        return self.is_complete or trio.current_time() - self.opened_at >= seconds

    def append_batch(self, batch: Batch) -> bool:
        """Append a received batch; return False if a missing range, a new epoch or a gap precedes it.

        After a gap, viewers are sent the state that the bus has.
        """
        if self.is_backfilling:
            self._stash.append(batch)
            return True
        if self._is_gap(batch) or not self._append(batch):
            self._stash.append(batch)
            return False
        self._notify()
        return True

    def loses_state(self, part: Slice) -> bool:
        """Return whether keyed events may be missing before or within this part of the log."""
        if part.head.epoch != self.epoch or any(map(self.log.has_jump, part.batches)):
            return True
        ends = {batch.origin: batch.number + len(batch.lines) - 1 for batch in part.batches}
        here = self.log.cursor
        return any(mark.number > ends.get(origin, _number(here, origin)) for origin, mark in part.head.cursor)

    def apply_slice(self, part: Slice, state: Sequence[bytes] = ()) -> None:
        """Append a part of the log that reaches to its head; events missing before it are lost.

        `state` are the lines of the bus' state, read afterwards, if the part `loses_state`.
        """
        self.log.reload_state(state)
        if part.head.epoch != self.epoch:
            self.epoch = part.head.epoch
            self.offset = 0
            self.is_complete = True  # earlier events are lost
            self._append_gaps(_missing_before(part))
        for batch in part.batches:
            self.offset = max(self.offset, batch.first - 1)  # only ephemeral events are missing before it
            self._append(batch)
        self.offset = max(self.offset, part.end)
        if part.end == part.head.offset:
            self.log.append_missing(part.head.cursor, part.head.kept, trio.current_time())
        self.log.end_reload()
        self.log.append_skip(trio.current_time())
        self._notify()

    def _append_gaps(self, cursor: Cursor) -> None:
        """Continue at `cursor`, the datacenter's own, with a gap in each origin in which it is further."""
        now = trio.current_time()
        self.audience.counts.holes += 1
        for origin, mark in cursor:
            seen = self.log.cursor.get(origin)
            if seen is not None and mark.epoch != self.epoch:  # another origin's
                if mark.epoch == seen.epoch:
                    is_known = mark.number <= seen.number
                else:
                    is_known = self.log.is_newer(origin, seen.epoch, mark.epoch) is True
                if is_known:  # although it comes once more in the log's new epoch
                    continue
            if mark != seen and (seen is not None or mark.number > 0):
                self.log.append_gap(origin, mark, now)

    def drain_stash(self) -> bool:
        """Append the stashed batches; return False if a range or another epoch is still missing."""
        self.is_backfilling = False
        while self._stash:
            batch = self._stash.popleft()
            if self._is_gap(batch) or not self._append(batch):
                self._stash.clear()
                self.is_backfilling = True
                break
        self._notify()
        return not self.is_backfilling

    def is_behind(self, head: Head) -> bool:
        """Return whether the log's head is beyond this channel's; this reveals a lost last event."""
        return head.epoch != self.epoch or head.offset > self.offset

    def prepend(self, batches: list[Batch]) -> None:
        """Prepend older events, which reach to the oldest one held."""
        if batches:
            self.log.prepend(batches, trio.current_time())
            self.first = batches[0].first
        self.is_complete = True

    def is_behind_cursor(self, cursor: Cursor, origin: str) -> bool:
        """Return whether `cursor` covers events of `origin` that were not received here yet."""
        seen, here = cursor.get(origin), self.log.cursor.get(origin)
        if seen is None or here is None:
            return False
        if seen.epoch == here.epoch:
            return seen.number > here.number
        return self.log.is_newer(origin, seen.epoch, here.epoch) is True

    def knows_epoch(self, cursor: Cursor, origin: str) -> bool:
        """Return whether the cursor's epoch of `origin`, if it has one, is known here."""
        seen = cursor.get(origin)
        return seen is None or self.log.has_epoch(origin, seen.epoch)

    def _is_gap(self, batch: Batch) -> bool:
        """Return whether the batch is next in number, and yet events of its origin are missing before it."""
        return batch.epoch == self.epoch and batch.last > self.offset and self.log.has_jump(batch)

    def _append(self, batch: Batch) -> bool:
        if batch.epoch != self.epoch or batch.first > self.offset + 1:
            return False
        if batch.last > self.offset:
            known = self.offset + 1 - batch.first
            seen = self.log.cursor.get(batch.origin)
            if seen is not None:
                if seen.epoch == batch.origin_epoch:
                    known = max(known, seen.number + 1 - batch.number)
                elif self.log.is_newer(batch.origin, seen.epoch, batch.origin_epoch):
                    known = len(batch.lines)
            if known < len(batch.lines):
                self.log.append(batch, known, trio.current_time())
            self.offset = batch.last
        return True

    def _notify(self) -> None:
        """Notify the audience that the log has grown, and bound the log."""
        self.audience.schedule()
        if self.log.state.banned and self.on_banned is not None:
            self.on_banned(self)
        if self.log.tip >= self.check_at and self.on_grown is not None:
            self.on_grown(self)
        if self.log.tip >= self.log.trim_at:
            self.trim()

    def trim(self) -> None:
        """Drop items beyond the limits; called once a second, too."""
        self.log.reach = self._history.delayed_events if self.audience.delayed else 0
        self.log.trim(trio.current_time(), self.audience.needed())


def _missing_before(part: Slice) -> Cursor:
    """Return per origin the number up to which events, other than ephemeral ones, may be missing before the
    part. It reaches to the log's head.
    """
    marks = dict(part.head.cursor) | dict(part.head.kept or ())
    for batch in reversed(part.batches):
        marks[batch.origin] = Mark(batch.origin_epoch, batch.after)
    return Cursor(marks.items())


def _number(cursor: Cursor, origin: str) -> int:
    mark = cursor.get(origin)
    return 0 if mark is None else mark.number
