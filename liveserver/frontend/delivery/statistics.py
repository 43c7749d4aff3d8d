"""The statistics of the fan-out, counted by all parts of delivery."""

from __future__ import annotations

from typing import Annotated

import msgspec

from liveserver.instruments import DELAYS, Distribution, Histogram, histogram, total
from liveserver.transport.form import Reason

_NOTHING = Histogram(DELAYS).read()


class FanOutStatistics(msgspec.Struct):
    """The parts increment one of these; `statistics()` returns a copy."""

    deliveries: Annotated[
        int,
        total(
            "Deliveries: events times the viewers they were written to. Divided by the writes it is the "
            "coalescing factor, events per write, which grows under load."
        ),
    ] = 0
    writes: Annotated[
        int,
        total("Sends to viewers' sockets, which take most of the fan-out's time; about 200,000/s per core."),
    ] = 0
    visits: Annotated[int, total("Flushes of segments, each of some hundred viewers at one position.")] = 0
    heartbeats: Annotated[int, total("Heartbeats written to quiet streams.")] = 0
    fell_behind: Annotated[
        int,
        total(
            "Viewers that had to catch up in a task of their own: their socket was full, or they withhold "
            "events. Many at once: the network is at its limit, or frontend.send_buffer is too small."
        ),
    ] = 0
    slow: Annotated[
        int,
        total("Viewers disconnected as they accepted nothing for frontend.slow_timeout. They may resume."),
    ] = 0
    gaps: Annotated[
        int,
        total(
            "Viewers sent `gap`, as the log no longer had their events: they are slow, or history.max_events "
            "and history.max_age are too short for how long viewers are away."
        ),
    ] = 0
    holes: Annotated[
        int,
        total(
            "Gaps in the datacenter's own log, sent to all viewers of a video: Redis lost data or a node was "
            "cut off for longer than the log reaches."
        ),
    ] = 0
    withheld: Annotated[
        int, total("Events not sent to a viewer, as it had received them at another node.")
    ] = 0
    byes: Annotated[
        dict[str, int],
        total(
            "Viewers sent `bye`, by reason; overload and unavailable: viewers that were not admitted. "
            "If overload grows, add frontends, or raise edge.max_connections and the descriptor limit.",
            label="reason",
        ),
    ] = msgspec.field(default_factory=lambda: {reason.word: 0 for reason in Reason})
    delay: Annotated[
        Distribution,
        histogram(
            "Time from an event's arrival at this node to the end of the flush that wrote it, for the oldest "
            "event of each flush. If its p99 rises, this node's core is saturated: add frontends.",
            name="delay_seconds",
        ),
    ] = _NOTHING
    publish_to_write: Annotated[
        Distribution,
        histogram(
            "Time from an event's acceptance at a dispatcher to the end of the flush that wrote it, for the "
            "oldest event of each flush, by the clocks of two machines. If high while delay is low, check "
            "dispatchers, Redis and clocks.",
            name="publish_to_write_seconds",
        ),
    ] = _NOTHING

    def count_bye(self, reason: Reason) -> None:
        """Count a viewer that is disconnected or not admitted."""
        self.byes[reason.word] += 1
