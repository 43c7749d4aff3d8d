"""Ctrl-C for this process alone, under a program that would not let it end in its own way.

`make` dies of SIGINT whatever its recipes do: it waits for them, then ends itself by the signal, and the
exit code of a server that has ended well is lost. So `make run` has the server take the terminal, as a
shell does for each of its jobs (POSIX.1-2017, XBD 11.1.4): Ctrl-C then reaches the server's process group
only, `make` waits for it, and passes on its exit code.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STANDARD_INPUT = 0


@contextmanager
def in_foreground(wanted: bool) -> Iterator[None]:
    """Put this process alone in the foreground of its terminal, within the block.

    Nothing happens if not `wanted`, without a terminal, or when another process group is in its foreground.
    """
    before = os.getpgrp()
    if not wanted or before == os.getpid() or _foreground_group() != before:
        yield
        return
    # SIGTTOU: giving the terminal away from the background would stop us. SIGTSTP: Ctrl-Z would stop us
    # alone, while the shell that could have us go on waits for the one who waits for us.
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
    """The process group that Ctrl-C reaches; None without a terminal."""
    try:
        return os.tcgetpgrp(STANDARD_INPUT)
    except OSError:
        return None
