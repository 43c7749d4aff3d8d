"""Which requests are traced, and how many."""

from __future__ import annotations

import pytest
import trio

from liveserver.config import TracingSettings
from liveserver.errors import BadRequest
from liveserver.tracing.context import EVENTS_HEADER, HEADER
from liveserver.tracing.span import Span, current
from liveserver.tracing.tracer import MAX_MARKS, Tracer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01".encode(), f"00-{TRACE}-{SPAN}-00".encode()


class Spans:
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.exported = self.dropped = 0

    def put(self, span: Span) -> None:
        self.spans.append(span)


class FakeRequest:
    """A request's headers."""

    def __init__(self, **headers: bytes) -> None:
        self.headers = {name.replace("_", "-").encode(): value for name, value in headers.items()}


def tracer(spans: Spans | None = None, *, sample: float = 0.0, max_rate: int = 50) -> Tracer:
    return Tracer(TracingSettings(sample=sample, max_rate=max_rate), spans or Spans())


async def test_a_sampled_parent_is_followed_and_an_unsampled_one_is_not() -> None:
    assert tracer().begin({}) is None
    assert tracer(sample=1.0).begin({HEADER: UNSAMPLED}) is None
    span = tracer().begin({HEADER: SAMPLED})
    assert span is not None
    assert span.context.trace_id == TRACE
    assert span.context.span_id != SPAN
    fresh = tracer(sample=1.0).begin({HEADER: b"nonsense"})
    assert fresh is not None
    assert fresh.context.trace_id != TRACE


async def test_traces_a_second_are_bounded_whatever_requests_ask_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    few = tracer(max_rate=3)
    assert sum(few.begin({HEADER: SAMPLED}) is not None for _ in range(100)) == 3
    await trio.sleep(1)
    assert sum(few.begin({HEADER: SAMPLED}) is not None for _ in range(100)) == 3
    assert few.statistics().traces == 6
    assert few.statistics().limited == 194


async def test_settings_can_change() -> None:
    made = tracer()
    made.prepare(TracingSettings(sample=1.0))()
    assert made.begin({}) is not None


async def test_a_handler_runs_in_its_span() -> None:
    spans = Spans()

    async def handle(request: FakeRequest, peer: None) -> bytes:
        begun = current.get()
        assert begun is not None
        assert begun.own is not None
        begun.own.attributes["seen"] = True
        return b"done"

    assert await tracer(spans).handler("like", handle)(FakeRequest(traceparent=SAMPLED), None) == b"done"
    assert current.get() is None
    (span,) = spans.spans
    assert (span.name, span.kind, span.parent, span.error) == ("like", "server", SPAN, "")
    assert span.attributes == {"seen": True}
    assert span.ended >= span.begun


async def test_a_refusal_is_the_spans_error() -> None:
    spans = Spans()

    async def refuse(request: FakeRequest, peer: None) -> bytes:
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        await tracer(spans).handler("like", refuse)(FakeRequest(traceparent=SAMPLED), None)
    assert [span.error for span in spans.spans] == ["400 no"]


async def test_a_request_carries_events_of_other_traces() -> None:
    other = f"00-{TRACE[::-1]}-{SPAN[::-1]}-01"
    header = b"e1=" + SAMPLED + b",e2=" + other.encode()
    begun = tracer().begin_request({EVENTS_HEADER: header})
    assert begun is not None
    assert begun.own is None
    assert [(event, span.context.trace_id) for event, span in begun.events] == [
        ("e1", TRACE),
        ("e2", TRACE[::-1]),
    ]
    assert tracer().begin_request({EVENTS_HEADER: b"e1"}) is None


async def test_marks_are_bounded() -> None:
    made = tracer()
    begun = made.begin({HEADER: SAMPLED})
    assert begun is not None
    for number in range(MAX_MARKS + 5):
        made.mark("v", str(number), begun.context)
    assert len(made.marks) == MAX_MARKS
    assert made.statistics().marks_dropped == 5
