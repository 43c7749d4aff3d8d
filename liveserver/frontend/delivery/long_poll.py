"""Those who wait in a long-poll: answered by the same visits, with the same bytes for the same place.

Waiting costs no timer either: the fan-out looks over the deadlines a few times a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from liveserver.cursor import Cursor
from liveserver.edge.answer import DeferredResponse, Peer
from liveserver.edge.response import json_response, with_headers
from liveserver.frontend.delivery.segment import Segment, SegmentAudience
from liveserver.frontend.history.log import GAP, ChannelLog
from liveserver.transport.longpoll import poll_body


class PollWaiter(DeferredResponse):
    """A long-poll whose answer is still to come, at the latest at `deadline` (Trio's time).

    `headers` are lines that this client's answer has besides; `on_leave` gives back what it takes.
    """

    __slots__ = (
        "_written",
        "deadline",
        "headers",
        "is_done",
        "limit",
        "on_leave",
        "peer",
        "position",
        "seen",
        "segment",
    )

    def __init__(
        self,
        peer: Peer,
        position: int,
        seen: Cursor | None,
        limit: int,
        deadline: float,
        headers: bytes = b"",
        on_leave: Callable[[], None] | None = None,
    ) -> None:
        self.on_leave = on_leave
        self.peer = peer
        self.position = position
        self.seen = seen
        self.limit = limit
        self.deadline = deadline
        self.headers = headers
        self.is_done = False
        self.segment: PollSegment | None = None
        self._written: trio.Event | None = None

    @property
    def is_written(self) -> bool:
        return self.is_done

    async def wait_written(self) -> None:
        while not self.is_done:
            if self._written is None:
                self._written = trio.Event()
            await self._written.wait()

    def done(self, deadline: float) -> None:
        """The answer is out; the connection may idle until `deadline`."""
        self.is_done = True
        self.peer.deadline = deadline
        if self._written is not None:
            self._written.set()

    def leave(self) -> None:
        """It waits no more; what its waiting took is given back."""
        self.segment = None
        if self.on_leave is not None:
            self.on_leave()

    def abandon(self) -> None:
        if self.segment is not None:
            self.segment.remove(self)


def poll_answer(
    log: ChannelLog, position: int, seen: Cursor | None, limit: int, *, gap: bool = False, empty: bool = False
) -> bytes | None:
    """The whole response for whoever stands at `position`; None when there is nothing to tell yet.

    `empty`: answer all the same.
    """
    if position < log.base:
        gap, position = True, log.base
    items = log.between(position, log.tip if seen else min(position + limit, log.tip))
    end = position + len(items)
    if seen is not None:
        news = [(at, item) for at, item in enumerate(items, position + 1) if not log.was_seen(item, seen)][
            :limit
        ]
        items = [item for _, item in news]
        if len(news) == limit:
            end = news[-1][0]
    cursor = log.cursor_at(end)
    if seen is not None:
        cursor = str(Cursor.read(cursor.decode()).merged(seen)).encode()
    if not items and not gap and not empty:
        return None
    gap = gap or any(item.event == GAP for item in items)
    return json_response(200, poll_body(cursor, gap, [item.data for item in items if item.event != GAP]))


class LongPollAudience(SegmentAudience, Protocol):
    """What waiting polls know of the audience they belong to."""

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        """Write a poll's answer; it waits no more."""
        ...

    def gave_up(self) -> None:
        """One is waiting no more, and went without an answer."""
        ...


class PollSegment(Segment):
    """Long-polls of one video that wait."""

    __slots__ = ("_position", "waiters")

    home: LongPollAudience

    def __init__(self, home: LongPollAudience) -> None:
        super().__init__(home)
        self.waiters: list[PollWaiter] = []
        self._position = home.log.tip

    @property
    def size(self) -> int:
        return len(self.waiters)

    @property
    def is_behind(self) -> bool:
        return bool(self.waiters) and self._position < self.home.log.tip

    @property
    def position(self) -> int:
        return self._position if self.waiters else self.home.log.tip

    def add(self, waiter: PollWaiter) -> None:
        self._position = min(self._position, waiter.position) if self.waiters else waiter.position
        self.waiters.append(waiter)
        waiter.segment = self

    def remove(self, waiter: PollWaiter) -> None:
        self.waiters.remove(waiter)
        waiter.leave()
        self.home.gave_up()

    def visit(self) -> int:
        return self._answer_where(lambda waiter: False)

    def expire(self, now: float) -> int:
        """Answer those whose wait is over; the number of writes."""
        if all(waiter.deadline > now for waiter in self.waiters):
            return 0
        return self._answer_where(lambda waiter: waiter.deadline <= now)

    def _answer_where(self, is_due: Callable[[PollWaiter], bool]) -> int:
        log = self.home.log
        shared: dict[tuple[int, int, bool], bytes | None] = {}
        waiting, self.waiters = self.waiters, []
        for waiter in waiting:
            due = is_due(waiter)
            if waiter.seen is not None:
                answer = poll_answer(log, waiter.position, waiter.seen, waiter.limit, empty=due)
            else:
                place = (waiter.position, waiter.limit, due)
                if place not in shared:
                    shared[place] = poll_answer(log, waiter.position, None, waiter.limit, empty=due)
                answer = shared[place]
            if answer is None:  # what came since was all seen elsewhere
                waiter.position = log.tip
                self.waiters.append(waiter)
                continue
            waiter.leave()
            self.home.counts.deliveries += min(waiter.limit, log.tip - waiter.position)
            self.home.answer(waiter, with_headers(answer, waiter.headers))
        answered = len(waiting) - len(self.waiters)
        if answered and self._position < log.tip:
            self.home.visits.measure(self._position, log.tip, answered)
        self._position = log.tip
        return answered
