"""A publisher that takes part in traces: it marks what it has accepted, for the frontends."""

from __future__ import annotations

from liveserver.bus.interface import Bus
from liveserver.config import Settings
from liveserver.dispatcher.merge import PublishResult
from liveserver.dispatcher.parse import VideoBatch
from liveserver.dispatcher.publish import Publisher
from liveserver.tracing.span import OpenSpan, TracedRequest, current
from liveserver.tracing.tracer import Tracer

MARKED_VIDEOS = 8  # of one request


class TracedPublisher(Publisher):
    """Marks, of each traced request, the last event of each of its videos."""

    def __init__(self, tracer: Tracer, bus: Bus, settings: Settings) -> None:
        super().__init__(bus, settings.node.datacenter, settings.dispatcher, settings.history)
        self._tracer = tracer

    async def publish(self, video_batches: list[VideoBatch]) -> PublishResult:
        request = current.get()
        result = await super().publish(video_batches)
        if request is not None:
            self._on_accepted(request, video_batches, result)
        return result

    def _on_accepted(
        self, request: TracedRequest, video_batches: list[VideoBatch], result: PublishResult
    ) -> None:
        if request.own is not None:
            for batch in video_batches[:MARKED_VIDEOS]:
                self._mark(request.own, batch, _id(batch.lines[-1]))
            request.own.attributes["events"] = sum(len(batch.lines) for batch in video_batches)
            request.own.attributes["accepted"] = result.accepted
            self.note_trace(request.own.context.trace_id)
        for event, span in request.events:
            found = _batch_with(video_batches, event)
            if found is not None:
                self._mark(span, found, event)
                self.note_trace(span.context.trace_id)

    def _mark(self, span: OpenSpan, batch: VideoBatch, event: str) -> None:
        span.attributes["video"] = batch.video
        span.attributes["event"] = event
        self._tracer.mark(batch.video, event, span.context)


def _id(line: bytes) -> str:
    """Return the id of a line's event; events begin with it."""
    return line.partition(b'{"id":"')[2].partition(b'"')[0].decode("utf-8", "replace")


def _batch_with(video_batches: list[VideoBatch], event: str) -> VideoBatch | None:
    beginning = b'{"id":"%b",' % event.encode()
    for batch in video_batches:
        if any(beginning in line for line in batch.lines):
            return batch
    return None
