"""What a dispatcher marks of traced requests."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from liveserver.config import Settings, TracingSettings
from liveserver.dispatcher.parse import VideoBatch
from liveserver.dispatcher.tracing import MARKED_VIDEOS, TracedPublisher
from liveserver.tracing.span import OpenSpan, TracedRequest, current
from liveserver.tracing.tracer import Tracer
from tests.dispatcher.harness import Bus
from tests.tracing.test_tracer import TRACE, Spans


def batch(video: str, *names: str) -> VideoBatch:
    return VideoBatch(video, [f'like {{"id":"{name}","at":1}}'.encode() for name in names], list(names))


async def test_the_last_event_of_each_video_is_marked_and_those_that_were_carried(
    autojump_clock: MockClock,
) -> None:
    spans = Spans()
    tracer = Tracer(TracingSettings(), spans)
    publisher = TracedPublisher(tracer, Bus(), Settings())
    own, carried = OpenSpan(spans, TRACE, None), OpenSpan(spans, TRACE[::-1], None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        await publisher.publish([batch("v", "untraced")])
        assert not tracer.marks
        assert publisher.statistics().commit_time.exemplars == {}
        token = current.set(TracedRequest(own, [("b", carried), ("absent", carried)]))
        await publisher.publish([batch("v", "a", "b", "c"), batch("w", "d")])
        await publisher.publish([batch(f"v{number}", "x") for number in range(MARKED_VIDEOS + 1)])
        current.reset(token)
        nursery.cancel_scope.cancel()
    found = [(mark.video, mark.event, mark.trace) for mark in tracer.marks]
    assert found[:3] == [
        ("v", "c", str(own.context)),
        ("w", "d", str(own.context)),
        ("v", "b", str(carried.context)),
    ]
    assert len(found) == 3 + MARKED_VIDEOS
    assert (carried.attributes["event"], own.attributes["accepted"]) == ("b", MARKED_VIDEOS + 1)
    (exemplar,) = publisher.statistics().commit_time.exemplars.values()
    assert exemplar.trace_id == TRACE
