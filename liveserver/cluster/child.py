"""One node's process: its output passed through, begun again when it dies by itself, ended when asked.

1. A child is a session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then
   decides the order in which things end.
2. Cancelling `run` ends the process: SIGTERM, `stop_after` seconds, SIGKILL. `run` returns only when
   the process is gone, so nothing is left behind, not even one that hangs or was stopped.
3. What it writes while it ends is still passed through.
4. `restart` ends the process as cancelling does, and `run` begins it again without waiting.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

import trio

from liveserver.errors import LiveserverError

# Between the restarts of a node that keeps dying, in seconds; one that lived for SETTLED begins anew.
RESTART_FIRST = 0.5
RESTART_MOST = 15.0
SETTLED = 30.0

# A grandchild may hold on to the output of a child that has ended; it is not waited for longer than this.
LAST_WORDS = 1.0

LONGEST_LINE = 64 * 1024

# The exit code by which `liveserver run` says that its settings are wrong. Where they were right once,
# something else is (its port was taken in between, say), and may pass.
NEVER_RUNS = 2

Say = Callable[[str], None]


class Child:
    """Keeps one command running. `say` takes one line of text, without its end.

    `environment` comes on top of this process' own.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: int,
        stop_after: float,
        output: Say,
        say: Say,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.starts = 0
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._stdin = stdin
        self._stop_after = stop_after
        self._output = output
        self._say = say
        self._process: trio.Process | None = None
        self._is_asked = False  # to be begun again
        self._begun = trio.Event()  # the next start

    @property
    def pid(self) -> int | None:
        """The running process' id; None between two."""
        return self._process.pid if self._process else None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal. Does nothing when there is no process."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, now. Does nothing when there is no process."""
        if self._process and self._process.poll() is None:
            self._process.kill()

    async def restart(self) -> None:
        """Have the process end, and another one begun; returns when that runs (not: when it is ready).

        While `run` waits to begin one again, that one it is.
        """
        begun = self._begun
        if (process := self._process) is not None:
            self._is_asked = True
            await self._end(process)
        await begun.wait()

    async def run(self) -> None:
        """Run the command, again and again, until cancelled.

        Error handling: raises `LiveserverError` when the process says that it can never run.
        """
        failures = 0
        while True:
            begun = trio.current_time()
            code = await self._run_once()
            if self._is_asked:
                self._is_asked = False
                failures = 0
                continue
            if code == NEVER_RUNS and self.starts == 1:
                raise LiveserverError(f"{self.name} cannot run with these settings; what it said is above")
            failures = 1 if trio.current_time() - begun >= SETTLED else failures + 1
            delay = backoff(failures)
            self._say(f"{self.name} {describe(code)}; starting it again in {delay:.1f} s")
            await trio.sleep(delay)

    async def _run_once(self) -> int:
        process = await trio.lowlevel.open_process(
            self._command,
            stdin=self._stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=self._environment,
        )
        self._process = process
        self.starts += 1
        self._begun.set()
        self._begun = trio.Event()
        if self.starts > 1:
            self._say(f"{self.name} is process {process.pid} now")
        reading = trio.CancelScope(shield=True)
        async with trio.open_nursery() as nursery:
            if process.stdout is not None:  # it never is: for the type's sake
                nursery.start_soon(self._pass_output, process.stdout, reading)
            try:
                return await process.wait()
            finally:
                with trio.CancelScope(shield=True):
                    await self._end(process)
                self._process = None
                reading.deadline = trio.current_time() + LAST_WORDS

    async def _end(self, process: trio.Process) -> None:
        if process.poll() is not None:
            return
        process.terminate()
        with trio.move_on_after(self._stop_after):
            await process.wait()
            return
        self._say(f"{self.name} did not end within {self._stop_after:g} s of being asked; killed")
        process.kill()
        await process.wait()

    async def _pass_output(self, stdout: trio.abc.ReceiveStream, reading: trio.CancelScope) -> None:
        rest = b""
        with reading:
            async for chunk in stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._output(line.decode(errors="replace"))
        if rest:
            self._output(rest.decode(errors="replace"))


def backoff(failures: int) -> float:
    """Seconds before the next start after so many deaths in a row: doubling, up to a fifth less by chance."""
    longest: float = min(RESTART_MOST, RESTART_FIRST * 2 ** (failures - 1))
    return longest * random.uniform(0.8, 1.0)


def describe(code: int) -> str:
    """What a process' return code means, in words."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
