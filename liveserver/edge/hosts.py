"""The host names that the server accepts (RFC 9110 §7.4).

Another site can let its name resolve to 127.0.0.1 (DNS rebinding), so that its pages have the same origin as
a server here; but the Host header still has that name. So a server that listens on loopback only refuses
names other than this machine's, unless they are configured, for example those of a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from liveserver.errors import Misdirected

KNOWN = 1_000  # cached names


class AllowedHosts:
    """Checks host names.

    `allowed`: names without a port, `*.example.org` for subdomains, `*` for any. With `is_local`, this
    machine's names are allowed, and others only if configured; otherwise all are, unless some are configured.
    """

    def __init__(self, allowed: Sequence[str], *, is_local: bool) -> None:
        self._names = {name.lower() for name in allowed if not name.startswith("*")}
        self._suffixes = tuple(name[1:].lower() for name in allowed if name.startswith("*."))
        self.is_any = "*" in allowed or not (allowed or is_local)
        self.known: set[bytes] = set()  # Host headers found to be allowed

    def check(self, host: bytes | None) -> None:
        """Check the value of a Host header, None if there is none. Raises `Misdirected`."""
        if self.is_any or host is None or host in self.known:
            return
        name = _without_port(host.decode("latin-1")).lower().rstrip(".")
        if name not in self._names and not name.endswith(self._suffixes or "\0") and not _is_local(name):
            raise Misdirected("this server does not accept this Host; add it to edge.allow_hosts")
        if len(self.known) >= KNOWN:
            self.known.clear()
        self.known.add(host)


def _without_port(host: str) -> str:
    if host.startswith("["):
        address, bracket, _ = host[1:].partition("]")
        return address if bracket else host
    return host.partition(":")[0]


def _is_local(name: str) -> bool:
    """Return whether this is a name of this machine that DNS cannot redirect."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
