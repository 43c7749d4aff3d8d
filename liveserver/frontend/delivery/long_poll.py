"""Long-polls: answered by the same flushes as streams, with the same bytes for the same position.

Waiting polls have no timers: the fan-out checks their deadlines a few times a second.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import trio

from liveserver.auth.grant import Grant
from liveserver.cursor import Cursor
from liveserver.edge.answer import DeferredResponse, Peer
from liveserver.edge.response import with_headers
from liveserver.frontend.delivery.poll_pages import Chosen, PollPages
from liveserver.frontend.delivery.segment import Segment, SegmentAudience


class PollWaiter(DeferredResponse):
    """A waiting long-poll, answered at `deadline` (Trio's time) at the latest.

    `headers` are additional header lines of its answer; `on_leave` releases its limits. `is_internal`: the
    client is a moderator. `chosen`: its filter. `omitted`: comments after its cursor and before `position`
    that the filter's rate leaves out.
    """

    __slots__ = (
        "_written",
        "chosen",
        "compress",
        "deadline",
        "grant",
        "headers",
        "is_done",
        "is_internal",
        "limit",
        "omitted",
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
        *,
        is_internal: bool = False,
        chosen: Chosen = None,
        omitted: int = 0,
    ) -> None:
        self.grant: Grant | None = None
        self.compress: Callable[[bytes], bytes] | None = None  # what makes its answer from those of all
        self.is_internal = is_internal
        self.chosen = chosen
        self.omitted = omitted
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
        """Record that the answer is written; the connection may be idle until `deadline`."""
        self.is_done = True
        self.peer.deadline = deadline
        if self._written is not None:
            self._written.set()

    def response(self, answer: bytes) -> bytes:
        """Return an answer as this client is sent it; what it alone is sent is not compressed."""
        if self.compress is not None and self.seen is None:
            answer = self.compress(answer)
        return with_headers(answer, self.headers)

    def leave(self) -> None:
        """Leave the segment, and release the poll's limits."""
        self.segment = None
        if self.on_leave is not None:
            self.on_leave()

    def end_early(self) -> None:
        if self.segment is not None:
            self.segment.answer_early(self)

    def abandon(self) -> None:
        if self.segment is not None:
            self.segment.remove(self)


class LongPollAudience(SegmentAudience, Protocol):
    """An audience, as its waiting polls use it."""

    poll_pages: PollPages

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        """Write a poll's answer."""
        ...

    def on_poll_ended(self) -> None:
        """Count a poll that ended without an answer."""
        ...


class PollSegment(Segment):
    """Waiting long-polls of one video."""

    __slots__ = ("_position", "waiters")

    audience: LongPollAudience

    def __init__(self, audience: LongPollAudience) -> None:
        super().__init__(audience)
        self.waiters: list[PollWaiter] = []
        self._position = audience.log.tip

    @property
    def size(self) -> int:
        return len(self.waiters)

    @property
    def is_behind(self) -> bool:
        return bool(self.waiters) and self._position < self.audience.log.tip

    @property
    def position(self) -> int:
        return self._position if self.waiters else self.audience.log.tip

    def add(self, waiter: PollWaiter) -> None:
        self._position = min(self._position, waiter.position) if self.waiters else waiter.position
        self.waiters.append(waiter)
        waiter.segment = self

    def remove(self, waiter: PollWaiter) -> None:
        self.waiters.remove(waiter)
        waiter.leave()
        self.audience.on_poll_ended()

    def answer_early(self, waiter: PollWaiter) -> None:
        """Answer a poll whose client has shut down its sending side; it may still read."""
        answer = self.audience.poll_pages.answer(
            waiter.position,
            waiter.seen,
            waiter.limit,
            empty=True,
            internal=waiter.is_internal,
            chosen=waiter.chosen,
            omitted=waiter.omitted,
        )
        assert answer is not None
        self.remove(waiter)
        with suppress(OSError):
            waiter.peer.sock.send(waiter.response(answer))
        waiter.done(trio.current_time())

    def flush(self) -> int:
        return self._answer_where(lambda waiter: False)

    def expire(self, now: float) -> int:
        """Answer the polls whose deadline has passed; return the number of writes."""
        if all(waiter.deadline > now for waiter in self.waiters):
            return 0
        return self._answer_where(lambda waiter: waiter.deadline <= now)

    def end_where(self, does_end: Callable[[Grant], bool]) -> int:
        """Answer the polls with such grants at once; return their number."""
        ending = {waiter for waiter in self.waiters if waiter.grant is not None and does_end(waiter.grant)}
        return self._answer_where(ending.__contains__) if ending else 0

    def _answer_where(self, is_due: Callable[[PollWaiter], bool]) -> int:
        log, pages = self.audience.log, self.audience.poll_pages
        shared: dict[tuple[int, int, bool, bool, Chosen, int], bytes | None] = {}
        waiting, self.waiters = self.waiters, []
        for waiter in waiting:
            due = is_due(waiter)
            if waiter.seen is not None:
                answer = pages.answer(
                    waiter.position,
                    waiter.seen,
                    waiter.limit,
                    empty=due,
                    internal=waiter.is_internal,
                    chosen=waiter.chosen,
                    omitted=waiter.omitted,
                )
            else:
                omitted = waiter.omitted
                place = (waiter.position, waiter.limit, due, waiter.is_internal, waiter.chosen, omitted)
                if place not in shared:
                    shared[place] = pages.answer(
                        waiter.position,
                        None,
                        waiter.limit,
                        empty=due,
                        internal=waiter.is_internal,
                        chosen=waiter.chosen,
                        omitted=omitted,
                    )
                answer = shared[place]
            if answer is None:  # the client has received all new events elsewhere, or they are not due yet
                waiter.omitted += pages.count_omitted(waiter, log.tip)
                waiter.position = max(waiter.position, log.tip)
                self.waiters.append(waiter)
                continue
            waiter.leave()
            self.audience.counts.deliveries += max(0, min(waiter.limit, log.tip - waiter.position))
            self.audience.answer(waiter, waiter.response(answer))
        answered = len(waiting) - len(self.waiters)
        if answered and self._position < log.tip:
            self.audience.flush_history.measure(self._position, log.tip, answered)
        self._position = log.tip
        return answered
