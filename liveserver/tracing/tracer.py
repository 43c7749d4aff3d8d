"""Which requests are traced, and the marks by which frontends learn of traced events.

Rules:

1. A request is traced if its `traceparent` says that it is sampled, or if it has none and is drawn
   (`tracing.sample`); and in either case only while there are fewer than `tracing.max_rate` traces a second,
   since clients write that header.
2. An event's trace context is carried beside the event, not in it: viewers do not see it, and logs do not
   keep it. A dispatcher publishes a *mark*, the id of an event and its context, in the site's log, which
   every node of every datacenter reads. A lost mark costs a span.
3. A frontend that has the event reconstructs its delivery from the records of flushes that are kept anyway.
   So neither the fan-out nor the receiver knows of traces.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Protocol, TypeVar

import msgspec
import trio

from liveserver.config import TracingSettings
from liveserver.errors import Problem
from liveserver.instruments import total
from liveserver.token_bucket import TokenBucket
from liveserver.tracing.context import (
    EVENTS_HEADER,
    HEADER,
    TraceContext,
    new_trace_id,
    parse,
    parse_events,
)
from liveserver.tracing.span import OpenSpan, SpanSink, TracedRequest, current
from liveserver.wakeup import Wakeup

MAX_MARKS = 1_000  # that wait to be published


class HasHeaders(Protocol):
    """A request, by lower-case names."""

    headers: dict[bytes, bytes]


Request = TypeVar("Request", bound=HasHeaders)
Peer = TypeVar("Peer")
Answer = TypeVar("Answer")


class Mark(msgspec.Struct, frozen=True):
    """A traced event: `trace` is the `traceparent` of the span that its delivery belongs to."""

    video: str
    event: str
    trace: str


class TracerStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    traces: Annotated[int, total("Requests and carried events that were traced.")]
    limited: Annotated[
        int, total("Requests that were not traced, as there were tracing.max_rate in a second.")
    ]
    marks_dropped: Annotated[int, total("Traced events whose delivery is not traced, as too many waited.")]
    exported: Annotated[int, total("Spans that the collector has accepted.")]
    dropped: Annotated[
        int, total("Spans dropped: tracing.queue were waiting, or the collector did not accept them.")
    ]


class Exporter(SpanSink, Protocol):
    """The interface of an exporter of spans."""

    exported: int
    dropped: int


class Tracer:
    """The traces of one process."""

    def __init__(self, settings: TracingSettings, exporter: Exporter) -> None:
        self.exporter = exporter
        self.marks: deque[Mark] = deque()
        self.marked = Wakeup()
        self._sample = 0.0
        self._rate = TokenBucket(1, 1)
        self._apply(settings)
        self._traces = self._limited = self._marks_dropped = 0

    def prepare(self, settings: TracingSettings) -> Callable[[], None]:
        """Return the function that puts other settings in force."""
        return lambda: self._apply(settings)

    def _apply(self, settings: TracingSettings) -> None:
        self._sample = settings.sample
        self._rate = TokenBucket(settings.max_rate, 1 / settings.max_rate)

    def begin(self, headers: Mapping[bytes, bytes]) -> OpenSpan | None:
        """Begin the span of a request; None if it is not traced (rule 1)."""
        header = headers.get(HEADER)
        parent = parse(header) if header is not None else None
        is_wanted = parent.is_sampled if parent is not None else random.random() < self._sample
        return self._open(parent) if is_wanted else None

    def _open(self, parent: TraceContext | None) -> OpenSpan | None:
        if not self._rate.acquire(trio.current_time()):
            self._limited += 1
            return None
        self._traces += 1
        if parent is None:
            return OpenSpan(self.exporter, new_trace_id(), None)
        return OpenSpan(self.exporter, parent.trace_id, parent.span_id)

    def begin_request(self, headers: Mapping[bytes, bytes]) -> TracedRequest | None:
        """Begin the spans of a request and of the events that it carries for others; None without any."""
        carried = headers.get(EVENTS_HEADER)
        if carried is None:
            own = self.begin(headers)
            return TracedRequest(own, []) if own is not None else None
        opened = [(event, self._open(context)) for event, context in parse_events(carried)]
        events = [(event, span) for event, span in opened if span is not None]
        return TracedRequest(None, events) if events else None

    def handler(
        self, name: str, handle: Callable[[Request, Peer], Awaitable[Answer]]
    ) -> Callable[[Request, Peer], Awaitable[Answer]]:
        """Return a route's handler with a span around it, named `name`."""

        async def traced(request: Request, peer: Peer) -> Answer:
            begun = self.begin_request(request.headers)
            if begun is None:
                return await handle(request, peer)
            spans = [span for _, span in begun.events] + ([begun.own] if begun.own is not None else [])
            error = "cancelled"
            token = current.set(begun)
            try:
                answer = await handle(request, peer)
            except Problem as problem:
                error = f"{problem.status} {problem.detail}"
                raise
            except Exception as fault:
                error = type(fault).__name__
                raise
            else:
                error = ""
                return answer
            finally:
                current.reset(token)
                for span in spans:
                    span.end(name, "server", error)

        return traced

    def mark(self, video: str, event: str, context: TraceContext) -> None:
        """Have the frontends trace an event's delivery."""
        if len(self.marks) >= MAX_MARKS:
            self._marks_dropped += 1
            return
        self.marks.append(Mark(video, event, str(context)))
        self.marked.set()

    def drop_mark(self, count: int = 1) -> None:
        """Count marks that are given up."""
        self._marks_dropped += count

    def statistics(self) -> TracerStatistics:
        return TracerStatistics(
            self._traces, self._limited, self._marks_dropped, self.exporter.exported, self.exporter.dropped
        )
