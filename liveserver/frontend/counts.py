"""What the fan-out and those it writes through count together, since the start."""

from __future__ import annotations

import msgspec


class FanOutStatistics(msgspec.Struct):
    """Counts since the start. `deliveries` are events times viewers; `writes` are sends.

    The parts count in one of these; what `statistics()` gives away is a copy.
    """

    deliveries: int = 0
    writes: int = 0
    visits: int = 0
    heartbeats: int = 0
    fell_behind: int = 0
    slow: int = 0
