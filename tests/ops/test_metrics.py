"""Metrics, as Prometheus reads them."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from liveserver.dispatcher.publish import PublishStatistics
from liveserver.edge.server import EdgeStatistics
from liveserver.frontend.frontend import FrontendStatistics
from liveserver.ops.metrics import GAUGES, Parts, registry


class Inner(msgspec.Struct, frozen=True):
    """Deeper."""

    writes: int
    lagging: int


class Outer(msgspec.Struct, frozen=True):
    """What a part counts.

    More of it.
    """

    events: int
    seconds: float
    is_listening: bool
    name: str
    inner: Inner


def read(parts: Parts) -> dict[str, Metric]:
    text = generate_latest(registry(parts)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric) -> list[tuple[str, float]]:
    return [(sample.name, sample.value) for sample in family.samples]


def test_each_number_is_a_metric() -> None:
    families = read({"part": lambda: Outer(3, 1.5, True, "text", Inner(2**40, 7))})
    ours = {name: family for name, family in families.items() if name.startswith("liveserver_")}
    assert {name: (family.type, values(family)) for name, family in ours.items()} == {
        "liveserver_part_events": ("counter", [("liveserver_part_events_total", 3)]),
        "liveserver_part_seconds": ("counter", [("liveserver_part_seconds_total", 1.5)]),
        "liveserver_part_is_listening": ("gauge", [("liveserver_part_is_listening", 1)]),
        "liveserver_part_inner_writes": ("counter", [("liveserver_part_inner_writes_total", 2**40)]),
        "liveserver_part_inner_lagging": ("gauge", [("liveserver_part_inner_lagging", 7)]),
    }
    assert families["liveserver_part_events"].documentation == "What a part counts."


def test_the_process_is_there_too() -> None:
    assert {"process_open_fds", "process_resident_memory_bytes", "python_info"} <= set(read({}))


def test_metrics_are_read_when_somebody_asks() -> None:
    counted = [0]
    made = registry({"part": lambda: Inner(counted[0], 0)})
    assert counted == [0]
    for expected in (1, 2):
        counted[0] = expected
        assert f"liveserver_part_writes_total {expected}.0".encode() in generate_latest(made)


def fields(kind: type[Any]) -> set[str]:
    """All numbers' names, deep."""
    found = set()
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= fields(field.type)
        else:
            found.add(field.name)
    return found


def test_what_goes_down_again_is_a_gauge_and_nothing_else_is() -> None:
    assert fields(EdgeStatistics) & GAUGES == {"connections"}
    assert fields(PublishStatistics) & GAUGES == {"waiting"}
    assert fields(FrontendStatistics) & GAUGES >= {"videos", "viewers", "lagging"}
    grows = {
        "deliveries",
        "writes",
        "visits",
        "heartbeats",
        "fell_behind",
        "slow",
        "batches",
        "events",
        "holes",
    }
    assert fields(FrontendStatistics) >= grows
    assert not grows & GAUGES
