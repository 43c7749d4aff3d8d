"""How many connections one address may have at once, so that no single one takes all the seats.

Counted where they are accepted: who never sends a request has taken a seat, too. Loopback and trusted
proxies speak for many, and are not counted.
"""

from __future__ import annotations

from liveserver.auth.client_addresses import ClientAddresses
from liveserver.auth.rate_limits import ConcurrencyLimit
from liveserver.config import EdgeSettings


class ConnectionLimit:
    """`edge.max_per_address` of them for each address; any number where that is 0."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._places = ConcurrencyLimit("connections of this address", settings.max_per_address)
        self._addresses = ClientAddresses(settings.trusted_proxies)
        self.refused = 0

    def take(self, peer: str) -> str | None:
        """What to give back later, empty where nothing is counted; None when all seats are taken."""
        if not self._places or self._addresses.speaks_for_many(peer):
            return ""
        name = self._addresses.name(peer)
        if not self._places.is_free(name):
            self.refused += 1
            return None
        self._places.take(name)
        return name

    def give_back(self, name: str) -> None:
        if name:
            self._places.give_back(name)

    def __len__(self) -> int:
        """How many addresses are here."""
        return len(self._places)
