"""Spans to a real receiver over OTLP/HTTP; a collector that hangs, refuses or is away delays nothing."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest
import trio

from liveserver.config import TracingSettings
from liveserver.errors import ConfigError
from liveserver.tracing.context import TraceContext
from liveserver.tracing.exporting import open_tracer
from liveserver.tracing.span import Span
from tests.tracing.collector import Collector, collecting

TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def span(name: str = "like", error: str = "") -> Span:
    attributes: dict[str, str | int | float | bool] = {"video": "v1", "viewers": 3}
    return Span(name, "server", TraceContext(TRACE, SPAN), PARENT, 10**18, 10**18 + 5, attributes, error)


async def test_a_span_arrives_as_it_is(collector: Collector) -> None:
    async with open_tracer(TracingSettings(endpoint=collector.url), "n1") as tracer:
        tracer.exporter.put(span(error="400 no"))
    (received,) = collector.spans
    assert received == (
        "like",
        TRACE,
        SPAN,
        PARENT,
        10**18,
        10**18 + 5,
        {"video": "v1", "viewers": 3},
        "n1",
        "400 no",
    )
    assert (tracer.exporter.exported, tracer.exporter.dropped) == (1, 0)


async def test_the_queue_is_bounded_and_what_is_dropped_is_counted(collector: Collector) -> None:
    collector.hang.clear()
    async with open_tracer(TracingSettings(endpoint=collector.url, queue=10), "n1") as tracer:
        tracer.exporter.put(span())
        await trio.to_thread.run_sync(collector.asked.wait, 30)
        for _ in range(25):
            tracer.exporter.put(span())
        assert tracer.exporter.dropped == 15
        collector.hang.set()
    assert len(collector.spans) == tracer.exporter.exported == 11


async def test_what_a_collector_refuses_is_counted(collector: Collector) -> None:
    collector.status = 400
    async with open_tracer(TracingSettings(endpoint=collector.url), "n1") as tracer:
        tracer.exporter.put(span())
    assert (tracer.exporter.exported, tracer.exporter.dropped) == (0, 1)


async def test_a_collector_that_hangs_does_not_keep_a_node(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveserver.tracing.exporting.LEAVE_TIMEOUT", 0.05)
    collector.hang.clear()
    with trio.fail_after(20):  # it hangs for 30
        async with open_tracer(TracingSettings(endpoint=collector.url), "n1") as tracer:
            tracer.exporter.put(span())


async def test_missing_libraries_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, globals: Mapping[str, object] | None = None, *rest: Any) -> ModuleType:  # noqa: A002
        if name.startswith("opentelemetry"):
            raise ImportError(f"No module named {name!r}")
        return real(name, globals, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"tracing.endpoint: .*install liveserver\[otel\]"):
        async with open_tracer(TracingSettings(endpoint="http://127.0.0.1:1/v1/traces"), "n1"):
            pass


def test_a_node_without_traces_does_not_import_the_libraries() -> None:
    """Without Redis, whose client imports them by itself where they are installed."""
    program = (
        "import sys, liveserver.node.process, liveserver.backend.role, liveserver.dispatcher_client.publish;"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests', 'google'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
