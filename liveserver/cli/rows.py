"""A line of the table that `liveserver top` shows."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One line of the table; None is what a node has not, or what one answer alone does not tell.

    Rates are per second, `cpu` is a share of one core, `delay` (p99) and `uptime` are in seconds, `memory`
    in bytes. `trouble` says why there is nothing.
    """

    url: str
    node: str = ""
    roles: str = ""
    trouble: str = ""
    videos: int | None = None
    viewers: int | None = None
    deliveries: float | None = None
    publishes: float | None = None
    coalescing: float | None = None
    delay: float | None = None
    lagging: int | None = None
    lag: int | None = None
    gaps: int | None = None
    memory: int | None = None
    cpu: float | None = None
    uptime: float | None = None
