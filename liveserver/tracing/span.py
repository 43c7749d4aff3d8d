"""A finished span, and the request that is being traced."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple, Protocol, TypeAlias

from liveserver.tracing.context import TraceContext, new_span_id

Attributes: TypeAlias = Mapping[str, "str | int | float | bool"]


class Span(NamedTuple):
    """A finished span. Times are in nanoseconds since the epoch; `error` is empty if there was none."""

    name: str
    kind: str  # `server`, `producer`, `consumer`
    context: TraceContext
    parent: str | None  # the id of a span
    begun: int
    ended: int
    attributes: Attributes
    error: str = ""


class SpanSink(Protocol):
    """Takes finished spans; never blocks, and raises nothing."""

    def put(self, span: Span) -> None: ...


class OpenSpan:
    """A span that has begun: `context` is passed on to its children."""

    __slots__ = ("_parent", "_sink", "attributes", "begun", "context")

    def __init__(self, sink: SpanSink, trace_id: str, parent: str | None) -> None:
        self._sink = sink
        self._parent = parent
        self.context = TraceContext(trace_id, new_span_id())
        self.begun = time.time_ns()
        self.attributes: dict[str, str | int | float | bool] = {}

    def end(self, name: str, kind: str, error: str = "") -> None:
        """Hand the span over for export."""
        self._sink.put(
            Span(name, kind, self.context, self._parent, self.begun, time.time_ns(), self.attributes, error)
        )


class TracedRequest(NamedTuple):
    """What is traced of a request: itself, and the events that it carries for others."""

    own: OpenSpan | None
    events: list[tuple[str, OpenSpan]]


current: ContextVar[TracedRequest | None] = ContextVar("current", default=None)
"""The traced request that this task serves."""
