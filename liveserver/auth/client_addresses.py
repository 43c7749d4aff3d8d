"""The client address of a request; X-Forwarded-For is used only from trusted proxies.

Of an IPv6 address only the first 64 bits are used: clients can choose the others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from liveserver.errors import ConfigError

MAX_HOPS = 32

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class ClientAddresses:
    """Determines client addresses. `trusted`: addresses and networks of proxies, such as `10.0.0.0/8`."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """Parse the networks. Raises `ConfigError`."""
        self._trusted: list[Network] = []
        for text in trusted:
            try:
                self._trusted.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                raise ConfigError(
                    "edge.trusted_proxies", f"{text!r} is not an address or network like 10.0.0.0/8"
                ) from None

    def name(self, peer: str, forwarded: bytes = b"") -> str:
        """Return the name to count by: the last address on the path that is not a trusted proxy's.

        `peer` is the connection's remote address, `forwarded` the request's X-Forwarded-For.
        """
        address = parse(peer)
        if address is None:
            return peer
        if forwarded and self._is_trusted(address):
            for text in reversed(forwarded.split(b",")[-MAX_HOPS:]):
                hop = parse(text.strip().decode("latin-1"))
                if hop is None:
                    break  # entries before a malformed one may be forged
                address = hop
                if not self._is_trusted(address):
                    break
        return _name(address)

    def is_shared(self, peer: str) -> bool:
        """Return whether a connection may carry many clients: from loopback, a trusted proxy, a Unix
        socket.
        """
        address = parse(peer)
        return address is None or address.is_loopback or self._is_trusted(address)

    def _is_trusted(self, address: IPAddress) -> bool:
        return any(address in network for network in self._trusted)


class HasPeer(Protocol):
    """A socket, or an object in its place."""

    def getpeername(self) -> Any: ...


def peer_address(sock: HasPeer) -> str:
    """Return the remote address of a connection; empty if it has none."""
    try:
        name = sock.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""


@lru_cache(10_000)
def parse(text: str) -> IPAddress | None:
    """Parse an address, with or without port and brackets; None if it is malformed."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _name(address: IPAddress) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)
