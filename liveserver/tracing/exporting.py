"""Exports spans to an OpenTelemetry collector over OTLP/HTTP, in a thread of its own.

Rules:

1. `put` never blocks: spans wait in a bounded queue, and those that do not fit are dropped and counted.
2. What the collector does not accept is dropped and counted; the exporter's own retries end with `timeout`.
3. The thread is a daemon; at the end it has `LEAVE_TIMEOUT` seconds: a collector that hangs delays nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
import trio

from liveserver import __version__
from liveserver.config import TracingSettings
from liveserver.errors import ConfigError
from liveserver.tracing.span import Span
from liveserver.tracing.tracer import Tracer

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

BATCH = 256  # spans in one request
PAUSE = 0.5  # seconds in which spans are gathered
LEAVE_TIMEOUT = 2.0  # seconds for the last spans

log = structlog.get_logger(__name__)


def check_libraries() -> None:
    """Raise `ConfigError` if the OpenTelemetry libraries are not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        raise ConfigError("tracing.endpoint", f"{error}; install liveserver[otel]") from None


class SpanExporter:
    """A `SpanSink` that exports what it is given; `run` is the thread."""

    def __init__(self, settings: TracingSettings, node: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource

        self.exported = self.dropped = 0
        self._queue: list[Span] = []
        self._capacity = settings.queue
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._ending = threading.Event()
        self._is_failing = False
        self._exporter: OTLPSpanExporter = OTLPSpanExporter(
            endpoint=settings.endpoint, timeout=float(settings.timeout)
        )
        self._resource: Resource = Resource.create(
            {"service.name": settings.service, "service.instance.id": node, "service.version": __version__}
        )
        self._thread = threading.Thread(target=self._run, name="export spans", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, span: Span) -> None:
        with self._lock:
            if len(self._queue) >= self._capacity:
                self.dropped += 1
                return
            self._queue.append(span)
        self._filled.set()

    def end(self) -> None:
        """Export what waits, and end the thread; returns at once."""
        self._ending.set()
        self._filled.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        while True:
            self._filled.wait()
            self._ending.wait(PAUSE)
            self._filled.clear()
            while spans := self._take():
                self._export(spans)
            if self._ending.is_set():
                return

    def _take(self) -> list[Span]:
        with self._lock:
            taken, self._queue = self._queue[:BATCH], self._queue[BATCH:]
        return taken

    def _export(self, spans: Sequence[Span]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        reason = "the collector did not accept them"
        try:
            result = self._exporter.export([self._readable(span) for span in spans])
        except Exception as error:  # rule 2: any failure, of any library
            result, reason = SpanExportResult.FAILURE, f"{type(error).__name__}: {error}"
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
            self._is_failing = False
            return
        self.dropped += len(spans)
        if not self._is_failing:
            log.warning("spans_not_exported", spans=len(spans), reason=reason)
        self._is_failing = True

    def _readable(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        trace_id, flags = int(span.context.trace_id, 16), TraceFlags(TraceFlags.SAMPLED)
        parent = None
        if span.parent is not None:
            parent = SpanContext(trace_id, int(span.parent, 16), is_remote=True, trace_flags=flags)
        return ReadableSpan(
            name=span.name,
            context=SpanContext(trace_id, int(span.context.span_id, 16), is_remote=False, trace_flags=flags),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind[span.kind.upper()],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.begun,
            end_time=max(span.begun, span.ended),
            instrumentation_scope=InstrumentationScope("liveserver", __version__),
        )


@asynccontextmanager
async def open_tracer(settings: TracingSettings, node: str) -> AsyncIterator[Tracer]:
    """Trace for the duration of the block. Raises `ConfigError`."""
    check_libraries()
    # Failures are logged here, once and without the collector's answers; these libraries log each attempt.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = SpanExporter(settings, node)
    exporter.start()
    try:
        yield Tracer(settings, exporter)
    finally:
        exporter.end()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(exporter.join, LEAVE_TIMEOUT)
