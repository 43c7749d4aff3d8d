"""The model of docs/sizing.md: from the costs of one core to sites of any size.

Rules:

1. A write costs `write_us`, and `kib_us` for each KiB in it. A viewer is written to once for each event, but
   at most every `flush_interval`. When a core is full, events coalesce: what reading events (`event_us`) and
   copying leave of the core is the number of writes.
2. An event reaches the viewers in the course of one pass over them: the median after half of it (a bit more
   on a full core), the 99th percentile after a quarter more than one. A viewer that was written to within
   `flush_interval` waits for the rest of it, which is not predicted: ages of few viewers are longer by that.
3. Memory: per process, per viewer in the process, per viewer in the kernel.
4. Redis does a commit, and a message for each node with viewers of the video; a video is on one shard.

Nothing here measures. `bench.sizing` measures the unit costs of a machine and compares the predictions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

KIB = 1024
GIB = 1 << 30


@dataclass(frozen=True)
class UnitCosts:
    """Measured costs of one core. The defaults are those of bench/RESULTS.md."""

    write_us: float = 4.63  # to one viewer, without its bytes
    kib_us: float = 0.244  # of a write, each KiB
    event_us: float = 37.0  # an event's way to the fan-out: in one process with its publish
    connect_us: float = 80.0
    viewer_bytes: float = 3_660.0  # in the process
    kernel_bytes: float = 5_000.0  # one end of a connection
    process_mb: float = 100.0
    event_bytes: float = 167.0  # as an event stream, to each viewer
    sums_bytes: float = 284.0  # a likes event with totals: 568 bytes/s at 2 a second
    sums_rate: float = 2.0  # a second and store (`likes.tick`)
    publish_us: float = 50.0  # at a dispatcher with Redis, one a request
    commit_us: float = 20.0  # at Redis, with one message
    message_us: float = 4.0  # at Redis, each further inbox
    like_us: float = 1_700.0  # at the likes backend, its database included


@dataclass(frozen=True)
class Core:
    """One frontend process with a core of its own."""

    busy: float  # share of the core
    writes_per_s: float
    events_per_write: float
    pass_ms: float  # to write to all; on a full core also the time between two writes to a viewer
    p50_ms: float
    p99_ms: float
    bytes_per_s: float
    memory_bytes: float

    @property
    def deliveries_per_s(self) -> float:
        return self.writes_per_s * self.events_per_write


def core(
    viewers: int,
    rate: float,
    costs: UnitCosts,
    event_bytes: float | None = None,
    flush_interval: float = 0.02,
    share: float = 1.0,
) -> Core:
    """Predict one process with `viewers` of one video at `rate` events/s, and a `share` of a core."""
    size = costs.event_bytes if event_bytes is None else event_bytes
    reading = rate * costs.event_us / 1e6
    copying = viewers * rate * size / KIB * costs.kib_us / 1e6
    visits = (
        min(rate, 1 / flush_interval) if flush_interval else rate
    )  # a second and viewer, while there is time
    wanted = viewers * visits * costs.write_us / 1e6
    left = max(share - reading - copying, 0.0)
    if wanted > left:
        visits = left / (viewers * costs.write_us / 1e6)
        wanted = left
    is_full = wanted >= left
    write_us = costs.write_us + size / KIB * costs.kib_us * (rate / visits if visits else 0.0)
    one_pass = 1e3 / visits if is_full and visits else viewers * write_us / 1e3
    return Core(
        busy=min(share, reading + copying + wanted),
        writes_per_s=viewers * visits,
        events_per_write=rate / visits if visits else math.inf,
        pass_ms=one_pass,
        p50_ms=one_pass * (0.55 if is_full else 0.5),
        p99_ms=one_pass * 1.25,
        bytes_per_s=viewers * rate * size,
        memory_bytes=costs.process_mb * 1e6 + viewers * costs.viewer_bytes,
    )


@dataclass(frozen=True)
class Prices:
    """Prices of cores and traffic. Defaults: round figures of public clouds, without discounts."""

    core_hour: float = 0.04  # a virtual core with 4 GiB
    gib_hour: float = 0.005  # memory beyond that
    egress_gb: float = 0.02  # to viewers, at this volume
    link_gb: float = 0.02  # between regions
    currency: str = "$"


@dataclass(frozen=True)
class Plan:
    """A site for one hot video."""

    viewers: int
    datacenters: int
    frontend_cores: int
    memory_gib: float
    gbit_per_s: float  # to viewers
    redis_messages_per_s: float  # of a datacenter, for this video
    redis_busy: float  # of the one shard's core, in a datacenter
    redis_shards: int  # masters, in all datacenters, each with a replica
    dispatcher_cores: int
    backend_cores: int
    link_mbit_per_s: float  # out of each datacenter, to all others
    per_hour: float

    @property
    def per_viewer_hour(self) -> float:
        return self.per_hour / self.viewers


def plan(
    viewers: int,
    likes_per_s: float,
    costs: UnitCosts,
    prices: Prices,
    *,
    datacenters: int = 1,
    viewers_per_core: int = 10_000,
    single_likes: bool = False,
    spare: float = 0.3,
) -> Plan:
    """Size a site for one video; `spare` is the share of frontends that may be lost.

    Each datacenter has a store of its own for its likes, so with sums a viewer gets those of all stores.
    """
    here = math.ceil(viewers / datacenters)
    rate = likes_per_s if single_likes else costs.sums_rate * datacenters
    size = costs.event_bytes if single_likes else costs.sums_bytes
    nodes = math.ceil(here / viewers_per_core)
    frontends = math.ceil(nodes * (1 + spare))
    commits = rate  # one by one, at worst
    redis_busy = commits * (costs.commit_us + costs.message_us * (frontends - 1)) / 1e6
    memory = frontends * costs.process_mb * 1e6 + here * (costs.viewer_bytes + costs.kernel_bytes)
    backends = max(2, math.ceil(likes_per_s / datacenters * costs.like_us / 1e6 * 2))
    dispatchers = max(2, math.ceil(rate * costs.publish_us / 1e6 * 2))
    link = rate / datacenters * size * (datacenters - 1)
    shards = 1  # for one video, however hot
    egress = here * rate * size
    cores = datacenters * (frontends + dispatchers + backends + 2 * shards)
    gib = datacenters * memory / GIB
    per_hour = (
        cores * prices.core_hour
        + max(0.0, gib - 4 * cores) * prices.gib_hour
        + datacenters * (egress * prices.egress_gb + link * prices.link_gb) * 3600 / 1e9
    )
    return Plan(
        viewers=viewers,
        datacenters=datacenters,
        frontend_cores=datacenters * frontends,
        memory_gib=gib,
        gbit_per_s=datacenters * egress * 8 / 1e9,
        redis_messages_per_s=commits * frontends,
        redis_busy=redis_busy,
        redis_shards=datacenters * shards,
        dispatcher_cores=datacenters * dispatchers,
        backend_cores=datacenters * backends,
        link_mbit_per_s=link * 8 / 1e6,
        per_hour=per_hour,
    )
