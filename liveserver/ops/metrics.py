"""Prometheus metrics, collected from the parts' `statistics()` at each request.

A metric's kind, name and HELP are in the annotation of its field (`liveserver/instruments.py`). Nothing is
counted only for Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, get_type_hints

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from liveserver.instruments import Distribution

Parts = Mapping[str, Callable[[], msgspec.Struct]]

_FAMILIES: dict[str, Callable[..., Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "unknown": UnknownMetricFamily,
}


class Meaning(NamedTuple):
    """The metadata of a field; of one without an annotation, only its name."""

    name: str
    kind: str = "unknown"
    text: str = ""
    label: str | None = None


class StatisticsCollector(Collector):
    """Converts each number of each part's statistics to a metric, `liveserver_PART_NAME`."""

    def __init__(self, parts: Parts, identity: Mapping[str, Any]) -> None:
        self._parts = parts
        self._identity = identity

    def collect(self) -> Iterator[Metric]:
        about = {name: _word(value) for name, value in self._identity.items()}
        yield InfoMetricFamily("liveserver_node", "Which node this is, and its version.", about)
        for part, statistics in self._parts.items():
            yield from _metrics(f"liveserver_{part}", statistics())


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _metrics(prefix: str, statistics: msgspec.Struct) -> Iterator[Metric]:
    for field, meaning in _meanings(type(statistics)).items():
        value = getattr(statistics, field)
        name = f"{prefix}_{meaning.name}"
        if isinstance(value, Distribution):
            family = HistogramMetricFamily(name, meaning.text)
            family.add_metric([], _buckets(value), value.sum)
            yield family
        elif isinstance(value, msgspec.Struct):
            yield from _metrics(name, value)
        elif isinstance(value, dict):
            yield _labelled(name, meaning, value.items())
        elif isinstance(value, list):
            yield from _of_each(name, meaning, value)
        elif isinstance(value, int | float):
            yield _FAMILIES[meaning.kind](name, meaning.text, value=float(value))


def _of_each(prefix: str, meaning: Meaning, structs: list[msgspec.Struct]) -> Iterator[Metric]:
    """Yield the metrics of several structs of one kind, labelled by one of their fields."""
    if not structs or meaning.label is None:
        return
    names = [getattr(each, meaning.label) for each in structs]
    for field, inner in _meanings(type(structs[0])).items():
        values = [getattr(each, field) for each in structs]
        if all(isinstance(value, int | float) for value in values):
            yield _labelled(
                f"{prefix}_{inner.name}", inner._replace(label=meaning.label), zip(names, values, strict=True)
            )


def _labelled(name: str, meaning: Meaning, values: Iterable[tuple[str, float]]) -> Metric:
    family: Metric = _FAMILIES[meaning.kind](name, meaning.text, labels=[meaning.label or "name"])
    for label, value in values:
        family.add_metric([label], float(value))  # type: ignore[attr-defined]  # each family has its own
    return family


def _buckets(distribution: Distribution) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """Return the cumulative buckets of a Prometheus histogram, with the exemplars that OpenMetrics has."""
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    count = 0
    bounds = [*(str(float(bound)) for bound in distribution.bounds), "+Inf"]
    for index, (bound, here) in enumerate(zip(bounds, distribution.counts, strict=True)):
        count += here
        found = distribution.exemplars.get(index)
        if found is None:
            buckets.append((bound, float(count)))
        else:
            exemplar = Exemplar({"trace_id": found.trace_id}, found.value, found.at)
            buckets.append((bound, float(count), exemplar))
    return buckets


@cache
def _meanings(kind: type[msgspec.Struct]) -> dict[str, Meaning]:
    """Return the metadata of each field of a struct."""
    found = {}
    for field, hint in get_type_hints(kind, include_extras=True).items():
        meta = next(
            (each for each in getattr(hint, "__metadata__", ()) if isinstance(each, msgspec.Meta)), None
        )
        if meta is None or meta.extra is None:
            found[field] = Meaning(field)
        else:
            extra = meta.extra
            found[field] = Meaning(
                extra["name"] or field, extra["kind"], meta.description or "", extra["label"]
            )
    return found


def render(metrics: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return all metrics and their content type: OpenMetrics if it is accepted, else Prometheus' text."""
    encode, content_type = choose_encoder(accept)
    return encode(metrics), content_type


def registry(parts: Parts, identity: Mapping[str, Any]) -> CollectorRegistry:
    """Return the registry of the parts' metrics and the process' own (memory, CPU, descriptors)."""
    made = CollectorRegistry(auto_describe=False)
    made.register(StatisticsCollector(parts, identity))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    return made
