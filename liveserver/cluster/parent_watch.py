"""Ends all children of a supervisor that has ended, even by SIGKILL.

The standard input of every child is the reading end of one pipe. Nothing is written to it, and only the
supervisor has the writing end: when the supervisor ends, the kernel closes it, and all children read EOF.

Linux' PR_SET_PDEATHSIG would not need the child's cooperation, but exists on Linux only, and reacts to the
end of the *thread* that started the process: here a worker thread, which ends when idle.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

# Seconds, beyond the drain, in which a process may end by itself before it is killed.
PATIENCE = 3.0

# Reads until EOF, then ends the given process.
_GUARD = 'while read -r _; do :; done; kill "$1"'


class ParentWatch:
    """The pipe. `reading_end` is the children's standard input; leaving the block closes both ends."""

    def __init__(self) -> None:
        self.reading_end, writing_end = os.pipe()
        self._writing_end: int | None = writing_end

    def __enter__(self) -> ParentWatch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cut()
        os.close(self.reading_end)

    def cut(self) -> None:
        """Close the writing end, as the kernel does when this process ends."""
        if self._writing_end is not None:
            os.close(self._writing_end)
            self._writing_end = None

    @asynccontextmanager
    async def guarding(self, pid: int) -> AsyncIterator[None]:
        """Run a shell that watches the pipe for a program that does not; for the duration of the block."""
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
    """End this process, as SIGTERM does, when its standard input reaches EOF.

    Watched by a thread, so that a process whose event loop hangs is ended, too: `drain` + `PATIENCE` seconds
    later.
    """
    threading.Thread(target=_watch, args=(drain,), name="parent_watch", daemon=True).start()


def _watch(drain: float) -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(drain + PATIENCE)
    os._exit(1)
