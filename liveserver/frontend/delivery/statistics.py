"""What the fan-out and those it writes through count together, since the start."""

from __future__ import annotations

from typing import Annotated

import msgspec

from liveserver.instruments import DELAYS, Distribution, Histogram, histogram, total
from liveserver.transport.form import Reason

_NOTHING = Histogram(DELAYS).read()


class FanOutStatistics(msgspec.Struct):
    """The parts count in one of these; what `statistics()` gives away is a copy."""

    deliveries: Annotated[
        int,
        total(
            "Events times viewers they were written to. Divided by the writes it is the coalescing factor: "
            "how many events went out with one write, which grows by itself under load."
        ),
    ] = 0
    writes: Annotated[
        int,
        total(
            "Sends to viewers' sockets: what the fan-out's time goes into. A core does some 200,000 a second."
        ),
    ] = 0
    visits: Annotated[int, total("Visits to segments, each some hundred viewers at one position.")] = 0
    heartbeats: Annotated[int, total("Heartbeats written to quiet streams.")] = 0
    fell_behind: Annotated[
        int,
        total(
            "Viewers whose socket was full, or who withhold something, and who were caught up by themselves. "
            "Many at once: the network is at its limit, or frontend.send_buffer is too small for the rate."
        ),
    ] = 0
    slow: Annotated[
        int,
        total("Viewers let go since they took nothing for frontend.slow_timeout. They may come back."),
    ] = 0
    gaps: Annotated[
        int,
        total(
            "Times a viewer was sent `gap`: events were gone. Slow viewers, or history.max_events and "
            "history.max_age are too short for how long viewers stay away."
        ),
    ] = 0
    holes: Annotated[
        int,
        total(
            "Gaps in the datacenter's own log that all viewers of a video were sent. More than none "
            "means that Redis lost data, or a node was cut off for longer than the log reaches."
        ),
    ] = 0
    withheld: Annotated[
        int, total("Events that were not sent to a viewer since it had seen them at another node.")
    ] = 0
    byes: Annotated[
        dict[str, int],
        total(
            "Viewers told goodbye, by reason; overload and unavailable are those who were not let in. "
            "overload: add frontends, or raise edge.max_connections and the limit of descriptors.",
            label="reason",
        ),
    ] = msgspec.field(default_factory=lambda: {reason.word: 0 for reason in Reason})
    delay: Annotated[
        Distribution,
        histogram(
            "From an event's resumption at this node to the end of the visit that wrote it, of each visit's "
            "oldest event. A rising p99 means that this node's core is full: add frontends.",
            name="delay_seconds",
        ),
    ] = _NOTHING
    publish_to_write: Annotated[
        Distribution,
        histogram(
            "From an event's acceptance at a dispatcher to the end of the visit that wrote it, of each "
            "visit's oldest event, by two machines' clocks. High while the delay is low: look at the "
            "dispatchers, Redis or the clocks.",
            name="publish_to_write_seconds",
        ),
    ] = _NOTHING

    def count_bye(self, reason: Reason) -> None:
        """Somebody is let go, or not let in."""
        self.byes[reason.word] += 1
