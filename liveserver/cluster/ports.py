"""Check whether a port is in use, before anything is started, so that the error names the port."""

from __future__ import annotations

import errno
import socket

from liveserver.config import Address


def is_busy(address: Address) -> bool:
    """Return whether `address` is in use. Port 0 never is."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do it: connections of an earlier server that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
            probe.listen(1)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
