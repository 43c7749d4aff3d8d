"""How nothing outlives a supervisor, even one that was killed with -9.

Every process it starts has, as its standard input, the reading end of one pipe. Nothing is ever
written to it, and only the supervisor holds the writing end: when the supervisor is gone, whatever
the reason, the kernel closes it, and all children read the end of the file.

Linux' PR_SET_PDEATHSIG would do it without the process' help, but it is Linux' alone, and it means
the death of the *thread* that started the process: for us a worker thread, which ends when idle.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

# Beyond the drain: what a process may take to end by itself before it is made to.
PATIENCE = 3.0

# Reads until the end of its input, then ends the process that it was given.
_GUARD = 'while read -r _; do :; done; kill "$1"'


class ParentWatch:
    """The pipe. `reading_end` is for the children's standard input; leaving the block closes both ends."""

    def __init__(self) -> None:
        self.reading_end, writing_end = os.pipe()
        self._writing_end: int | None = writing_end

    def __enter__(self) -> ParentWatch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cut()
        os.close(self.reading_end)

    def cut(self) -> None:
        """Close the writing end, as the kernel does when this process is gone."""
        if self._writing_end is not None:
            os.close(self._writing_end)
            self._writing_end = None

    @asynccontextmanager
    async def guarding(self, pid: int) -> AsyncIterator[None]:
        """For a program that does not watch its input: while in the block, a small shell does so for it."""
        guard = await trio.lowlevel.open_process(
            ["/bin/sh", "-c", _GUARD, "liveserver-guard", str(pid)],
            stdin=self.reading_end,
            start_new_session=True,
        )
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                guard.kill()
                await guard.wait()


def end_with_standard_input(drain: float) -> None:
    """From now on, the end of standard input ends this process, as SIGTERM does.

    A thread and not a task, so that a process whose event loop hangs ends too: `drain` seconds and a
    little patience later, without being asked again.
    """
    threading.Thread(target=_watch, args=(drain,), name="parent_watch", daemon=True).start()


def _watch(drain: float) -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(drain + PATIENCE)
    os._exit(1)
