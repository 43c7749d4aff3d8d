"""The access log: a line for each request, or for those that were refused (`edge.access_log`).

Streams are logged when they begin. Queries are left out, since they may hold tokens. Events written to
viewers are not requests, so the log costs nothing per event.
"""

from __future__ import annotations

from typing import Any

import structlog

from liveserver.auth.client_addresses import ClientAddresses
from liveserver.config import EdgeSettings

MAX_PATH = 200  # characters

log = structlog.get_logger(__name__)


class AccessLog:
    """Logs the requests of one node, as `settings` say; those may be replaced at any time."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self._addresses = ClientAddresses(settings.trusted_proxies)

    @property
    def is_on(self) -> bool:
        return self.settings.access_log != "off"

    def record(
        self, method: str, path: str, status: int, peer: Any, forwarded: bytes, request_id: str
    ) -> None:
        """Log a request; `peer` is the result of `getpeername`, `forwarded` the request's X-Forwarded-For."""
        if self.settings.access_log == "refused" and status < 400:
            return
        address = str(peer[0]) if isinstance(peer, tuple) and peer else str(peer or "")
        log.info(
            "request",
            method=method,
            path=path[:MAX_PATH],
            status=status,
            address=self._addresses.name(address, forwarded),
            request=request_id,
        )
