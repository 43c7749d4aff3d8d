"""From a stored event to its publication: which body has which traced event."""

from __future__ import annotations

import msgspec
import pytest

from liveserver.config import TracingSettings
from liveserver.errors import DispatcherError
from liveserver.tracing.carrying import CARRIED, Carrier
from liveserver.tracing.context import EVENTS_HEADER, TraceContext, new_span_id, outgoing, parse_events
from liveserver.tracing.tracer import Tracer
from tests.tracing.test_tracer import TRACE, Spans

CONTEXT = TraceContext(TRACE, new_span_id())


class Dispatcher:
    """Keeps the header that each request would have; fails if `is_away`."""

    def __init__(self) -> None:
        self.headers: list[str | None] = []
        self.is_away = False

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        self.headers.append(outgoing.get().get(EVENTS_HEADER.decode()))
        if self.is_away:
            raise DispatcherError("away")
        return 0


def body(*events: dict[str, object]) -> bytes:
    return msgspec.json.encode(events)


async def test_an_event_is_carried_until_it_is_accepted() -> None:
    spans, dispatcher = Spans(), Dispatcher()
    carrier = Carrier(Tracer(TracingSettings(), spans), dispatcher)
    carrier.carry("v1", "e1", CONTEXT)
    await carrier.publish(body({"id": "e2", "video": "v1", "type": "like"}), retractions=False)
    dispatcher.is_away = True
    mine = body({"id": "e1", "video": "v1", "type": "like"})
    with pytest.raises(DispatcherError):
        await carrier.publish(mine, retractions=False)
    dispatcher.is_away = False
    await carrier.publish(mine, retractions=False)
    await carrier.publish(mine, retractions=False)
    assert [header is None for header in dispatcher.headers] == [True, False, False, True]
    failed, done = spans.spans
    assert (failed.error, done.error) == ("DispatcherError", "")
    assert done.parent == failed.parent == CONTEXT.span_id
    assert parse_events((dispatcher.headers[2] or "").encode()) == [("e1", done.context)]
    assert outgoing.get() == {}


async def test_a_like_that_is_summed_is_in_the_sums_of_its_video() -> None:
    dispatcher = Dispatcher()
    carrier = Carrier(Tracer(TracingSettings(), Spans()), dispatcher)
    carrier.carry("v1", "e1", CONTEXT)
    await carrier.publish(body({"id": "s2", "video": "v2", "type": "likes"}), retractions=False)
    await carrier.publish(body({"id": "s1", "video": "v1", "type": "likes"}), retractions=False)
    assert [header and parse_events(header.encode())[0][0] for header in dispatcher.headers] == [None, "s1"]


async def test_what_is_carried_is_bounded() -> None:
    dispatcher = Dispatcher()
    carrier = Carrier(Tracer(TracingSettings(), Spans()), dispatcher)
    for number in range(CARRIED + 1):
        carrier.carry("v1", f"e{number}", CONTEXT)
    await carrier.publish(body({"id": "e0", "video": "v1", "type": "comment"}), retractions=False)
    assert dispatcher.headers == [None]
