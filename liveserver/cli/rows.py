"""A row of the table of `liveserver top`."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True):
    """The numbers of a node; None if the node does not have a number, or it needs a second answer.

    Rates are per second, `cpu` is a share of one core, `delay` (p99) and `uptime` are in seconds, `memory`
    is in bytes. `trouble` is the error if there are no numbers.
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
