"""Whether the process has a terminal: a SIGHUP may mean that it was closed."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Return whether this process has a terminal; that of a closed one cannot be opened."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
