"""Whose request it is, by address; through proxies only where they are trusted to say so.

Of an IPv6 address the first 64 bits count: the others are the client's own to choose.
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
    """`trusted`: addresses and networks of proxies, `10.0.0.0/8`, whose X-Forwarded-For is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """Raises `ConfigError`."""
        self._trusted: list[Network] = []
        for text in trusted:
            try:
                self._trusted.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                raise ConfigError(
                    "edge.trusted_proxies", f"{text!r} is no address or network like 10.0.0.0/8"
                ) from None

    def name(self, peer: str, forwarded: bytes = b"") -> str:
        """What to count by: the nearest address on the way here that is no trusted proxy's.

        `peer` is the connection's other end, `forwarded` the X-Forwarded-For of the request.
        """
        address = parse(peer)
        if address is None:
            return peer
        if forwarded and self._is_trusted(address):
            for text in reversed(forwarded.split(b",")[-MAX_HOPS:]):
                hop = parse(text.strip().decode("latin-1"))
                if hop is None:
                    break  # what stands before it may be invented
                address = hop
                if not self._is_trusted(address):
                    break
        return _name(address)

    def speaks_for_many(self, peer: str) -> bool:
        """Whether the other end of a connection is this machine, a trusted proxy, or no network address."""
        address = parse(peer)
        return address is None or address.is_loopback or self._is_trusted(address)

    def _is_trusted(self, address: IPAddress) -> bool:
        return any(address in network for network in self._trusted)


class HasPeer(Protocol):
    """A socket, or what takes its place."""

    def getpeername(self) -> Any: ...


def peer_address(sock: HasPeer) -> str:
    """The address of a connection's other end; empty when it has none."""
    try:
        name = sock.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""


@lru_cache(10_000)
def parse(text: str) -> IPAddress | None:
    """An address, with or without a port or brackets; None when it is none."""
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
