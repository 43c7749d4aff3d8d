"""The delivery of a marked event as one span, whatever its viewers."""

from __future__ import annotations

import msgspec
import trio
from trio.testing import MockClock

from liveserver.config import TracingSettings
from liveserver.frontend.tracing import WAITING, DeliveryTracer
from liveserver.tracing.context import TraceContext, new_span_id
from liveserver.tracing.tracer import Mark, Tracer
from tests.frontend.harness import stage
from tests.frontend.test_trace import publish
from tests.tracing.test_tracer import TRACE, Spans

CONTEXT = TraceContext(TRACE, new_span_id())


def marks(*events: str, video: str = "v") -> bytes:
    found = [Mark(video, event, str(CONTEXT)) for event in events]
    return msgspec.json.encode({"data": {"marks": found}})


async def test_one_span_for_an_event_and_exemplars_of_what_was_observed(autojump_clock: MockClock) -> None:
    spans = Spans()
    tracer = Tracer(TracingSettings(), spans)
    async with stage() as on, trio.open_nursery() as nursery:
        deliveries = DeliveryTracer(tracer, "n1", on.frontend.table.channels.get)
        nursery.start_soon(deliveries.run)
        clients = [(await on.ready())[0] for _ in range(3)]
        await deliveries.on_marks(marks("e2", "absent"))  # before the event, as it may come
        await deliveries.on_marks(marks("e2", video="unwatched"))
        await deliveries.on_marks(b"malformed")
        await publish(on, "e1", "e2")
        for client in clients:
            await client.events(2)
        await trio.sleep(2)
        (span,) = spans.spans
        assert (span.name, span.parent, span.context.trace_id) == ("deliver", CONTEXT.span_id, TRACE)
        assert span.attributes == {"video": "v", "event": "e2", "node": "n1", "flushes": 1, "viewers": 3}
        assert span.ended >= span.begun
        delay = on.frontend.statistics().fanout.delay  # by the virtual clock, as it was observed
        ((bucket, exemplar),) = delay.exemplars.items()
        assert exemplar.trace_id == TRACE
        assert delay.counts[bucket]
        nursery.cancel_scope.cancel()


async def test_waiting_marks_are_bounded(autojump_clock: MockClock) -> None:
    tracer = Tracer(TracingSettings(), Spans())
    async with stage() as on:
        await on.ready()
        deliveries = DeliveryTracer(tracer, "n1", on.frontend.table.channels.get)
        await deliveries.on_marks(marks(*(f"e{number}" for number in range(WAITING + 2))))
    assert tracer.statistics().marks_dropped == 2
