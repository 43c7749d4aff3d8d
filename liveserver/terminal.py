"""The terminal that a process was started in: whether a SIGHUP means that it was closed."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Whether this process has a terminal; of one that was closed, the device cannot be opened."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
