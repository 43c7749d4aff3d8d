"""A video as this node sees it: its recent log and its audience.

Rules:

1. `epoch` and `offset` say how far this node has followed the datacenter's log. What comes is next
   in number (taken), already known (dropped), or beyond a hole, and then nothing is taken until the
   hole has been mended from the log: viewers get events in the log's order or not at all.
2. What comes while a hole is being mended waits in a short stash. Losing it costs nothing but
   another look at the log, since whatever was forwarded was logged before.
3. Events that nobody can give any more are a gap in the log, which tells the viewers by itself.
4. Of each origin nothing is taken twice, whatever place it has in the datacenter's log.
"""

from __future__ import annotations

from collections import deque

import trio

from liveserver.bus.interface import Head, Slice
from liveserver.config import HistorySettings
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.frontend.channels.viewer_count import ChannelViewerCount
from liveserver.frontend.delivery.audience import Audience, Scheduler
from liveserver.frontend.history.log import ChannelLog, cursor_before

STASH = 1_000  # batches


class Channel:
    """One video on this node. Made by the subscription table; open once `opened` is set."""

    def __init__(self, video: str, visitor: Scheduler, history: HistorySettings) -> None:
        self.video = video
        self.log = ChannelLog(video, history.max_events, history.max_age)
        self.audience = Audience(self.log, visitor)
        self.watching = ChannelViewerCount(video)
        self.epoch = ""
        self.offset = 0
        self.opened = trio.Event()
        self.arriving = 0  # viewers on their way in
        self.is_mending = True  # until it is opened there is nothing to append to
        self.first = 0  # offset of the oldest event held, in the epoch it was opened in
        self.is_complete = False  # nothing older than what is held is in the datacenter's log
        self.filling = trio.Lock()
        self.looking = trio.Lock()
        self.looks_begun = self.looks_done = 0  # by the number of the last one
        self._stash: deque[Batch] = deque(maxlen=STASH)

    def open(self, head: Head) -> None:
        """Begin to follow the log at `head`."""
        self.epoch, self.offset = head.epoch, head.offset
        self.first = head.offset + 1
        self.is_complete = head.offset == 0
        self.log.begin(head.cursor)
        self.opened.set()

    def take(self, batch: Batch) -> bool:
        """Take what comes; False when a hole, or a new epoch, is before it."""
        if self.is_mending:
            self._stash.append(batch)
            return True
        if not self._append(batch):
            self._stash.append(batch)
            return False
        self._publish()
        return True

    def follow(self, stretch: Slice) -> None:
        """Take what was read from the log, up to its head; what lies before it is gone."""
        batches = stretch.batches
        if stretch.head.epoch != self.epoch or stretch.oldest > self.offset + 1:
            self.epoch = stretch.head.epoch
            self.offset = stretch.oldest - 1
            self.is_complete = True  # what was before that is gone
            # What was seen of other origins stays so, although it comes once more in the log's new life.
            before = cursor_before(stretch.head.cursor, batches)
            self.log.append_gap(before.merged(self.log.cursor), trio.current_time())
            self.audience.counts.holes += 1
        for batch in batches:
            self._append(batch)
        self._publish()

    def take_stash(self) -> bool:
        """Go on with what came meanwhile; False when a hole, or another epoch, is left: look once more."""
        self.is_mending = False
        while self._stash:
            if not self._append(self._stash.popleft()):
                self._stash.clear()
                self.is_mending = True
                break
        self._publish()
        return not self.is_mending

    def is_behind(self, head: Head) -> bool:
        """Whether the log's head is beyond what this channel has; a lost last event shows here."""
        return head.epoch != self.epoch or head.offset > self.offset

    def fill(self, batches: list[Batch]) -> None:
        """Put older events, up to the oldest held, in front."""
        if batches:
            self.log.prepend(batches)
            self.first = batches[0].first
        self.is_complete = True

    def stands_before(self, cursor: Cursor, origin: str) -> bool:
        """Whether `cursor` has seen events of `origin` that did not come here yet."""
        seen, here = cursor.get(origin), self.log.cursor.get(origin)
        return (
            seen is not None and here is not None and seen.epoch == here.epoch and seen.number > here.number
        )

    def has_life(self, cursor: Cursor, origin: str) -> bool:
        """Whether what `cursor` has seen of `origin`, if anything, is of a life that is known here."""
        seen = cursor.get(origin)
        return seen is None or self.log.has_life(origin, seen.epoch)

    def _append(self, batch: Batch) -> bool:
        if batch.epoch != self.epoch or batch.first > self.offset + 1:
            return False
        if batch.last > self.offset:
            known = self.offset + 1 - batch.first
            seen = self.log.cursor.get(batch.origin)
            if seen is not None and seen.epoch == batch.origin_epoch:
                known = max(known, seen.number + 1 - batch.number)
            if known < len(batch.lines):
                self.log.append(batch, known, trio.current_time())
            self.offset = batch.last
        return True

    def _publish(self) -> None:
        """Let everybody know that the log has grown."""
        self.audience.moved()
        if len(self.log.items) > self.log.capacity // 2:
            self.log.trim(trio.current_time(), self.audience.needed())
