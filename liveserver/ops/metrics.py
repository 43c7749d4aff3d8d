"""Prometheus metrics, read from the parts' `statistics()` when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

# Statistics that go down again, as what is true or not does anyway; all others only grow.
GAUGES = frozenset(
    {"videos", "viewers", "lagging", "connections", "waiting", "ids", "tokens", "appending", "round_trip"}
)

Parts = Mapping[str, Callable[[], msgspec.Struct]]


class StatisticsCollector(Collector):
    """Turns each number of each part's statistics into `liveserver_PART_NAME`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        for part, statistics in self._parts.items():
            yield from _metrics(f"liveserver_{part}", statistics())


def _metrics(prefix: str, statistics: msgspec.Struct) -> Iterator[Metric]:
    help_text = (type(statistics).__doc__ or "").strip().partition("\n")[0]
    for name in statistics.__struct_fields__:
        value = getattr(statistics, name)
        if isinstance(value, msgspec.Struct):
            yield from _metrics(f"{prefix}_{name}", value)
        elif isinstance(value, int | float):
            is_gauge = isinstance(value, bool) or name in GAUGES
            family = GaugeMetricFamily if is_gauge else CounterMetricFamily
            yield family(f"{prefix}_{name}", help_text, value=float(value))


def registry(parts: Parts) -> CollectorRegistry:
    """The parts' metrics, and the process's own (memory, CPU, descriptors)."""
    made = CollectorRegistry(auto_describe=False)
    made.register(StatisticsCollector(parts))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    return made
