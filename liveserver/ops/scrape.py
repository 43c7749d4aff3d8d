"""`/metrics`, answered by the edge: on a busy node a scrape does not import the web application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from liveserver.deferred_import import import_in_thread
from liveserver.edge.answer import Peer
from liveserver.edge.request import Request
from liveserver.edge.response import head
from liveserver.edge.router import Router

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

METRICS = "liveserver.ops.metrics"  # imports prometheus-client


class MetricsRoute:
    """The metrics of the parts. `guard` raises `Unauthorized` for headers without access."""

    def __init__(
        self,
        parts: Mapping[str, Callable[[], msgspec.Struct]],
        identity: Mapping[str, Any],
        guard: Callable[[Mapping[bytes, bytes]], None],
    ) -> None:
        self._parts = parts
        self._identity = identity
        self._guard = guard
        self._registry: CollectorRegistry | None = None

    def add_to(self, router: Router) -> None:
        """Register the handler."""
        router.add("GET", "/metrics", self._metrics)

    async def _metrics(self, request: Request, peer: Peer) -> bytes:
        self._guard(request.headers)
        metrics = await import_in_thread(METRICS)
        if self._registry is None:
            self._registry = metrics.registry(self._parts, self._identity)
        accept = request.headers.get(b"accept", b"").decode("latin-1")
        rendered: tuple[bytes, str] = metrics.render(self._registry, accept)
        text, content_type = rendered
        headers = b"content-type: " + content_type.encode(), b"content-length: %d" % len(text)
        return head(200, *headers) + text
