"""Takes the foreground of the terminal, so that Ctrl-C reaches only this process.

`make` ends by SIGINT, after waiting for its recipes, so that the exit code of a server that has ended
successfully is lost. With `make run` the server therefore takes the terminal, as a shell does for each of its
jobs (POSIX.1-2017, XBD 11.1.4): Ctrl-C then reaches only the server's process group, `make` waits for it, and
returns its exit code.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STANDARD_INPUT = 0


@contextmanager
def in_foreground(wanted: bool) -> Iterator[None]:
    """Put only this process in the foreground of its terminal, for the duration of the block.

    Does nothing if not `wanted`, without a terminal, or if another process group is in its foreground.
    """
    before = os.getpgrp()
    if not wanted or before == os.getpid() or _foreground_group() != before:
        yield
        return
    # SIGTTOU: changing the foreground from the background would stop this process. SIGTSTP: Ctrl-Z would stop
    # only this process, while the shell that could continue it waits for its parent.
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTTOU, signal.SIGTSTP)}
    os.setpgid(0, 0)
    os.tcsetpgrp(STANDARD_INPUT, os.getpgrp())
    try:
        yield
    finally:
        with suppress(OSError):  # it was closed
            os.tcsetpgrp(STANDARD_INPUT, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _foreground_group() -> int | None:
    """Return the foreground process group; None without a terminal."""
    try:
        return os.tcgetpgrp(STANDARD_INPUT)
    except OSError:
        return None
