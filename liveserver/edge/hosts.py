"""For which names this server answers (RFC 9110 §7.4).

A page of another site can have its name resolve to 127.0.0.1 (DNS rebinding), and is then of the same
origin as a server here; but its requests still say that name. So where a server listens on this machine
only, other names than this machine's are refused, unless they are configured: those of a proxy in front,
for example.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from liveserver.errors import Misdirected

KNOWN = 1_000  # names whose check is remembered


class AllowedHosts:
    """`allowed`: names without a port, `*.example.org` for all below one, `*` for any. With `is_local`, this
    machine's names are allowed and others refused; else all are where none is configured."""

    def __init__(self, allowed: Sequence[str], *, is_local: bool) -> None:
        self._names = {name.lower() for name in allowed if not name.startswith("*")}
        self._suffixes = tuple(name[1:].lower() for name in allowed if name.startswith("*."))
        self.is_any = "*" in allowed or not (allowed or is_local)
        self.known: set[bytes] = set()  # what was found to be allowed

    def check(self, host: bytes | None) -> None:
        """Check the value of a Host header; None is a request without one. Raises `Misdirected`."""
        if self.is_any or host is None or host in self.known:
            return
        name = _without_port(host.decode("latin-1")).lower().rstrip(".")
        if name not in self._names and not name.endswith(self._suffixes or "\0") and not _is_local(name):
            raise Misdirected("this server does not answer for this Host; name it in edge.allow_hosts")
        if len(self.known) >= KNOWN:
            self.known.clear()
        self.known.add(host)


def _without_port(host: str) -> str:
    if host.startswith("["):
        address, bracket, _ = host[1:].partition("]")
        return address if bracket else host
    return host.partition(":")[0]


def _is_local(name: str) -> bool:
    """Whether it is a name of this machine that no resolver can make another's."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
