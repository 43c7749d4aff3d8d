"""Limits the connections per address, so that no single address exhausts `edge.max_connections`.

Connections are counted when they are accepted, before their first request. Those from loopback and trusted
proxies, which have many clients, are not limited.
"""

from __future__ import annotations

from liveserver.auth.client_addresses import ClientAddresses
from liveserver.auth.rate_limits import ConcurrencyLimit
from liveserver.config import EdgeSettings


class ConnectionLimit:
    """Admits `edge.max_per_address` connections of each address; 0: no limit."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._limit = ConcurrencyLimit("connections of this address", settings.max_per_address)
        self._addresses = ClientAddresses(settings.trusted_proxies)
        self.refused = 0

    def acquire(self, peer: str) -> str | None:
        """Count a connection; return the name to `release` later, empty if not limited, None if refused."""
        if not self._limit or self._addresses.is_shared(peer):
            return ""
        name = self._addresses.name(peer)
        if not self._limit.has_room(name):
            self.refused += 1
            return None
        self._limit.acquire(name)
        return name

    def release(self, name: str) -> None:
        if name:
            self._limit.release(name)

    def __len__(self) -> int:
        """Return the number of addresses with connections."""
        return len(self._limit)
