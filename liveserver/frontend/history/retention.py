"""What a channel's log holds: for how long, and how many of each kind.

Rules:

1. `items` is bounded by `capacity` items besides `ephemeral_capacity` of the ephemeral types. What is cut off
   moves to `older`, unless it is ephemeral; `older` is bounded by what `items` leaves of the capacity.
2. Nothing that a segment still needs is dropped before twice the bounds are reached.
3. Items are looked at in steps of an eighth of the bounds, so each is counted once and moved a few times.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Collection
from itertools import accumulate
from math import inf
from operator import itemgetter

from liveserver.cursor import Cursor, Mark
from liveserver.event import SKIPPED
from liveserver.frontend.history.frames import GAP, SKIP
from liveserver.frontend.history.items import Item, LogItems
from liveserver.frontend.history.state_history import StateHistory
from liveserver.frontend.history.times import accepted_at

NO_POSITION = -(1 << 62)
TRIM_SHARE = 8  # of the capacity is appended before the log is trimmed again
_TIME, _TIP = itemgetter(0), itemgetter(1)


class RetainedItems(LogItems):
    """The items of one video, bounded by `age` seconds, and by `capacity` items besides
    `ephemeral_capacity` of the ephemeral types."""

    def __init__(
        self,
        capacity: int,
        age: float,
        cursor: Cursor,
        ephemeral: Collection[str] = (),
        ephemeral_capacity: int | None = None,
    ) -> None:
        super().__init__(cursor)
        self.capacity = capacity
        self.age = age
        self.ephemeral_capacity = capacity if ephemeral_capacity is None else ephemeral_capacity
        self._trim_step = max(1, min(capacity, self.ephemeral_capacity) // TRIM_SHARE)
        self.trim_at = self._trim_step  # the tip at which it is due
        self._ephemeral = frozenset(kind.encode() for kind in (*ephemeral, SKIPPED)) | {SKIP}
        self._older_times: list[float] = []  # when the items of `older` arrived
        self._ephemeral_count = 0  # in `items` before the position `_counted`
        self._counted = 0
        self._arrivals: deque[tuple[float, int]] = deque()  # (time, the tip then)
        self._live_from = 0  # the first position with a known arrival time
        self._prepended: tuple[float, int] | None = None  # when, and the position behind them
        self._expired = NO_POSITION  # before it, all is older than `age`
        self._estimates: list[float] | None = None  # when prepended items came; computed when needed
        self._cut_at = -inf  # when the newest item arrived that was dropped for lack of capacity
        self.delay = 0.0  # see DelayedLog
        self.reach = 0  # items that may be held for viewers behind live, beyond the capacity
        self.state = StateHistory()
        self.internal: set[int] = set()  # positions of events that only moderators are sent

    def arrived_at(self, position: int) -> float | None:
        """Return when the item at `position` arrived, in Trio's time.

        None if it was read from the datacenter's log, or is not held.
        """
        arrivals = self._arrivals
        if not arrivals or not (self.base <= position and self._live_from <= position < self.tip):
            return None
        if len(arrivals) == 1 or arrivals[-2][1] <= position:  # of the latest
            return arrivals[-1][0] if position < arrivals[-1][1] else None
        return arrivals[bisect_right(arrivals, position, key=_TIP)][0]

    def tip_at(self, when: float) -> int:
        """Return where the log ended at that time (Trio's), as far as it is held (see `delayed.py`)."""
        known = bisect_right(self._arrivals, when, key=_TIME)
        if known:
            return max(self._arrivals[known - 1][1], self.base)
        if self._prepended is None or when >= self._prepended[0]:
            return max(self._live_from, self.base)
        estimates, end = self._estimated(), self._prepended[1]
        return max(end - len(estimates) + bisect_right(estimates, when), self.base)

    def arrival_after(self, tip: int) -> float:
        """Return when the item at `tip`, or one behind it, came; infinity when nothing is there yet."""
        if tip >= self.tip:
            return inf
        if self._prepended is not None and tip < self._prepended[1]:
            estimates = self._estimated()
            return estimates[max(0, tip - self._prepended[1] + len(estimates))]
        known = bisect_right(self._arrivals, tip, key=_TIP)
        return self._arrivals[known][0] if known < len(self._arrivals) else -inf

    def is_lost_since(self, when: float) -> bool:
        """Return whether events that came after that time are not held any more."""
        if when < self._cut_at:
            return True
        if self._prepended is None or len(self._estimated()) < self.capacity:
            return False
        return when < self._estimated()[0]

    def _estimated(self) -> list[float]:
        """Return when each prepended item arrived, ascending: by its own time, at most when it was read.

        An item with a later time than those after it delays them: none is shown early.
        """
        assert self._prepended is not None
        if self._estimates is None:
            read_at, end = self._prepended
            offset = read_at - time.time()  # of Trio's clock to the wall's, as of about then
            times = (accepted_at(item.data) for item in self.items[: max(0, end - self.base)])
            stated = (-inf if at is None else min(read_at, at / 1000 + offset) for at in times)
            self._estimates = list(accumulate(stated, max))
        return self._estimates

    def trim(self, now: float, needed: int) -> bool:
        """Drop items beyond the limits, but none from `needed` on unless twice the limits are exceeded.
        Return whether some were dropped."""
        self.trim_at = self.tip + self._trim_step
        if self._prepended is not None and self._prepended[0] < now - self.age:
            self._expired = max(self._expired, self._prepended[1])
            self._prepended = None
        while self._arrivals and self._arrivals[0][0] < now - self.age:
            self._expired = self._live_from = self._arrivals.popleft()[1]
        self._count_ephemeral()
        cut = max(self._count_over(1), min(self._expired, self.tip) - self.base)
        most = min(self._count_over(2), len(self.items) - self.reach)
        cut = max(min(cut, needed - self.base), most)
        if cut > 0:
            self._drop_front(cut, now)
        oldest = len(self.older)
        self._drop_oldest(now, needed)
        if cut <= 0 and oldest == len(self.older):
            return False
        for index in self._origins.values():
            index.trim(self.kept_from)
        return True

    def _count_ephemeral(self) -> None:
        kinds = self._ephemeral
        new = self.items[self._counted - self.base :]
        self._ephemeral_count += len([None for item in new if item.event in kinds])
        self._counted = self.tip

    def _count_over(self, times: int) -> int:
        """Return how many of the oldest items are over so many times the bounds."""
        ephemeral = self._ephemeral_count - times * self.ephemeral_capacity
        others = len(self.items) - self._ephemeral_count - times * self.capacity
        if ephemeral <= 0 and others <= 0:
            return 0
        if self._ephemeral_count == 0:
            return others
        kinds = self._ephemeral
        for cut, item in enumerate(self.items):
            if ephemeral <= 0 and others <= 0:
                return cut
            if item.event in kinds:
                ephemeral -= 1
            else:
                others -= 1
        return len(self.items)

    def _drop_front(self, cut: int, now: float) -> None:
        """Drop the oldest items, but keep those of them that are not ephemeral in `older`."""
        end, gone = self.base + cut, dict(self.dropped)
        if end > self._expired:
            self._cut_at = max(self._cut_at, self.arrival_after(end - 1))
        if self._prepended is not None and self._estimates is not None:
            del self._estimates[:cut]
        kept: dict[str, list[tuple[str, int, int]]] = {}
        breaks: set[int] = set()
        newest: dict[str, Item] = {}
        ephemeral, count = self._ephemeral, len(self.older)
        for position, item in enumerate(self.items[:cut], self.base):
            if item.event not in ephemeral:
                self.older.append(item)
                self.older_at.append(position)
                self._older_times.append(self._arrival(position, now))
                if item.event != GAP:
                    kept.setdefault(item.origin, []).append((item.epoch, item.number, position))
            elif item.event == SKIP:
                breaks.add(position)
            else:
                newest[item.origin] = item
        self._ephemeral_count -= cut - (len(self.older) - count)
        for origin, item in newest.items():
            mark = Mark(item.epoch, item.number)
            if self._is_before(origin, gone.get(origin), mark):
                gone[origin] = mark
        if self.internal:
            held = set(self.older_at)
            self.internal = {position for position in self.internal if position >= end or position in held}
        self.dropped = Cursor(gone.items())
        for origin, index in self._origins.items():
            index.compact(self.base, end, kept.get(origin, ()))
        if breaks:
            self._gaps = [position for position in self._gaps if position not in breaks]
        self._base_cursor = Cursor.parse_trusted(self.items[cut - 1].cursor.decode())
        del self.items[:cut]
        self.base = end
        while self._arrivals and self._arrivals[0][1] <= end:
            self._live_from = self._arrivals.popleft()[1]
        self.state.trim(end)

    def _arrival(self, position: int, now: float) -> float:
        """Return when the item there came; positions ascend from call to call."""
        while self._arrivals and self._arrivals[0][1] <= position:
            self._live_from = self._arrivals.popleft()[1]
        if position >= self._live_from and self._arrivals:
            return self._arrivals[0][0]
        return self._prepended[0] if self._prepended is not None else now

    def _drop_oldest(self, now: float, needed: int) -> None:
        """Drop those of `older` that are over the bounds."""
        others = len(self.items) - self._ephemeral_count
        over = len(self.older) + others - self.capacity
        count = 0
        for position, when in zip(self.older_at, self._older_times, strict=True):
            if count >= over and position >= self._expired and when >= now - self.age:
                break
            if position >= needed and count >= over - self.capacity:
                break
            count += 1
        if not count:
            return
        lost = dict(self.lost)
        for item in self.older[:count]:
            lost[item.origin] = Mark(item.epoch, item.number)
        self.lost = Cursor(lost.items())
        self.kept_from = self.older_at[count - 1] + 1
        self.floor = Cursor.parse_trusted(self.older[count - 1].cursor.decode())
        del self.older[:count], self.older_at[:count], self._older_times[:count]
        if not self.older and self.floor == self._base_cursor:
            self.kept_from = self.base
        self._gaps = [position for position in self._gaps if position >= self.kept_from]
        if self.internal:
            self.internal = {position for position in self.internal if position >= self.kept_from}
