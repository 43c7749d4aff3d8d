"""W3C Trace Context's own cases for `traceparent`, and the header between nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.tracing.context import (
    MAX_EVENTS,
    TraceContext,
    new_span_id,
    new_trace_id,
    parse,
    parse_events,
    render_events,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f" 00-{TRACE}-{SPAN}-01\t", True),
        (f"00-{TRACE}-{SPAN}-03", True),  # flags of a later specification
        (f"cc-{TRACE}-{SPAN}-01", True),  # a later version
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_well_formed(header: str, is_sampled: bool) -> None:
    assert parse(header.encode()) == TraceContext(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",  # two headers
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-0é",
    ],
)
def test_malformed_ones_are_ignored(header: str) -> None:
    assert parse(header.encode("latin-1")) is None


@given(st.binary(max_size=80))
def test_anything_may_come(header: bytes) -> None:
    found = parse(header)
    assert found is None or parse(str(found).encode()) == found
    for event, context in parse_events(header):
        assert event
        assert context.is_sampled


def test_several_events_in_one_header() -> None:
    events = [(f"01J{number}", TraceContext(new_trace_id(), new_span_id())) for number in range(50)]
    assert parse_events(render_events(events).encode()) == events[:MAX_EVENTS]
    assert render_events([("an id, with=signs", events[0][1])]) == ""
    assert parse_events(b"a=b,,=," + render_events(events[:1]).encode()) == events[:1]
