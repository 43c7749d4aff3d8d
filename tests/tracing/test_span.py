"""A span is handed over when it ends."""

from __future__ import annotations

from liveserver.tracing.span import OpenSpan
from tests.tracing.test_tracer import TRACE, Spans


def test_a_span_is_handed_over_when_it_ends() -> None:
    spans = Spans()
    open_span = OpenSpan(spans, TRACE, "00f067aa0ba902b7")
    open_span.attributes["video"] = "v1"
    assert spans.spans == []
    open_span.end("like", "server", "503 away")
    (span,) = spans.spans
    assert (span.name, span.kind, span.context, span.parent) == (
        "like", "server", open_span.context, "00f067aa0ba902b7",
    )  # fmt: skip
    assert span.begun <= span.ended
    assert (span.attributes, span.error) == ({"video": "v1"}, "503 away")
