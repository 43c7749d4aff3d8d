"""Marks in the site's log."""

from __future__ import annotations

import msgspec
import trio
from trio.testing import MockClock

from liveserver.config import TracingSettings
from liveserver.errors import Unavailable
from liveserver.event import SITE
from liveserver.tracing.announcing import BATCH_SIZE, announce, read_marks
from liveserver.tracing.context import TraceContext, new_span_id, new_trace_id
from liveserver.tracing.tracer import Mark, Tracer
from tests.tracing.test_tracer import Spans


class Site:
    """Keeps the bodies that it takes."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.is_away = False

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        if self.is_away:
            raise Unavailable("away")
        self.bodies.append(body)
        return 0


async def test_marks_are_published_together_and_read_again(autojump_clock: MockClock) -> None:
    tracer, site = Tracer(TracingSettings(), Spans()), Site()
    context = TraceContext(new_trace_id(), new_span_id())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announce, tracer, site)
        for number in range(BATCH_SIZE + 1):
            tracer.mark("v1", f"e{number}", context)
        await trio.sleep(1)
        site.is_away = True
        tracer.mark("v1", "lost", context)
        await trio.sleep(1)
        site.is_away = False
        tracer.mark("v1", "last", context)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    events = [event for body in site.bodies for event in msgspec.json.decode(body)]
    assert {event["video"] for event in events} == {SITE}
    marks = [read_marks(msgspec.json.encode(event)) for event in events]
    assert [len(some) for some in marks] == [BATCH_SIZE, 1, 1]
    assert marks[0][0] == Mark("v1", "e0", str(context))
    assert marks[2][0].event == "last"
    assert tracer.statistics().marks_dropped == 1


def test_a_malformed_event_has_no_marks() -> None:
    for event in (b"", b"{}", b'{"data":{"marks":[{"video":1}]}}', b"\xff", b"[" * 10_000):
        assert read_marks(event) == []
