"""Metrics, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from liveserver.backend.backend import BackendStatistics
from liveserver.bus.memory.bus import MemoryStatistics
from liveserver.bus.redis.bus import RedisStatistics
from liveserver.dispatcher.publish import PublishStatistics
from liveserver.dispatcher.subscriptions import LeaseStatistics
from liveserver.edge.statistics import EdgeStatistics
from liveserver.frontend.status import FrontendStatistics
from liveserver.instruments import Distribution, Histogram, gauge, histogram, total
from liveserver.ops.metrics import Parts, registry

KINDS = (
    BackendStatistics,
    EdgeStatistics,
    FrontendStatistics,
    LeaseStatistics,
    MemoryStatistics,
    PublishStatistics,
    RedisStatistics,
)


class Inner(msgspec.Struct, frozen=True):
    """Deeper."""

    channel: str
    writes: Annotated[int, total("Written.")]
    open: Annotated[bool, gauge("Open now.")]


class Outer(msgspec.Struct, frozen=True):
    """What a part counts."""

    plain: int
    name: str
    inner: Inner
    took: Annotated[Distribution, histogram("Took.", name="took_seconds")]
    byes: Annotated[dict[str, int], total("Let go.", label="reason")]
    listeners: Annotated[list[Inner], gauge("", name="listener", label="channel")]


def took(*values: float) -> Distribution:
    made = Histogram((0.1, 1))
    for value in values:
        made.observe(value)
    return made.read()


OUTER = Outer(
    plain=3,
    name="text",
    inner=Inner("", 2**40, True),
    took=took(0.05, 0.1, 0.5, 7),
    byes={"slow": 2, 'quo"ted\n': 1},
    listeners=[Inner("one", 1, False), Inner("two", 2, True)],
)


def read(parts: Parts) -> dict[str, Metric]:
    text = generate_latest(registry(parts, {"node": "n1", "roles": ["a", "b"]})).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric) -> list[tuple[str, dict[str, str], float]]:
    return [(sample.name, sample.labels, sample.value) for sample in family.samples]


def test_numbers_are_metrics_whose_meaning_stands_beside_them() -> None:
    families = read({"part": lambda: OUTER})
    family = families["liveserver_part_inner_writes"]
    assert (family.type, family.documentation) == ("counter", "Written.")
    assert values(family) == [("liveserver_part_inner_writes_total", {}, 2**40)]
    family = families["liveserver_part_inner_open"]
    assert (family.type, values(family)) == ("gauge", [("liveserver_part_inner_open", {}, 1)])
    assert values(families["liveserver_part_plain"]) == [("liveserver_part_plain", {}, 3)]
    assert "liveserver_part_name" not in families


def test_a_distribution_is_a_histogram_with_cumulative_buckets() -> None:
    family = read({"part": lambda: OUTER})["liveserver_part_took_seconds"]
    name = "liveserver_part_took_seconds"
    assert (family.type, family.documentation) == ("histogram", "Took.")
    assert values(family) == [
        (f"{name}_bucket", {"le": "0.1"}, 2),
        (f"{name}_bucket", {"le": "1.0"}, 3),
        (f"{name}_bucket", {"le": "+Inf"}, 4),
        (f"{name}_count", {}, 4),
        (f"{name}_sum", {}, pytest.approx(7.65)),
    ]


def test_labels_distinguish_and_are_escaped() -> None:
    families = read({"part": lambda: OUTER})
    name = "liveserver_part_byes_total"
    assert values(families["liveserver_part_byes"]) == [
        (name, {"reason": "slow"}, 2),
        (name, {"reason": 'quo"ted\n'}, 1),
    ]
    assert values(families["liveserver_part_listener_open"]) == [
        ("liveserver_part_listener_open", {"channel": "one"}, 0),
        ("liveserver_part_listener_open", {"channel": "two"}, 1),
    ]


def test_the_node_and_the_process_are_there_too() -> None:
    families = read({})
    assert {"process_open_fds", "process_resident_memory_bytes", "python_info"} <= set(families)
    assert values(families["liveserver_node_info"]) == [
        ("liveserver_node_info", {"node": "n1", "roles": "a,b"}, 1)
    ]


def test_metrics_are_read_at_each_scrape() -> None:
    counted = [0]
    made = registry({"part": lambda: Inner("", counted[0], True)}, {})
    assert counted == [0]
    for expected in (1, 2):
        counted[0] = expected
        assert f"liveserver_part_writes_total {expected}.0".encode() in generate_latest(made)


def numbers(kind: type[Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Each field that becomes a metric, deep, with its annotations."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        plain, *annotations = get_args(hint) if get_args(hint) else (hint,)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct) and plain is not Distribution:
            yield from numbers(plain)
        elif plain is not str:
            yield f"{kind.__name__}.{name}", tuple(annotations)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_says_what_it_means(kind: type[Any]) -> None:
    found = dict(numbers(kind))
    assert found
    for name, notes in found.items():
        metas = [each for each in notes if isinstance(each, msgspec.Meta)]
        assert metas, f"{name} has no annotation of liveserver.instruments"
        extra = metas[0].extra or {}
        assert metas[0].description or extra["label"], name
        assert extra["kind"] in ("counter", "gauge", "histogram")
