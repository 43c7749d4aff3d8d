"""One child process: its output is passed on, and it is restarted if it ends by itself.

1. A child is a session of its own: Ctrl-C in the terminal reaches only the supervisor, which decides the
   order in which the processes end.
2. Cancelling `run` ends the process: SIGTERM, `stop_after` seconds, SIGKILL. `run` returns only when the
   process has ended, even if it hangs or was stopped.
3. The output of a process that is ending is still passed on.
4. `restart` ends the process like cancellation, and `run` starts it again without a pause.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import trio

from liveserver.errors import LiveserverError

# Seconds between restarts of a process that keeps ending; after SETTLED seconds the backoff is reset.
RESTART_FIRST = 0.5
RESTART_MOST = 15.0
SETTLED = 30.0

# Seconds to wait for the output of an ended process, which a grandchild may keep open.
LAST_OUTPUT = 1.0

MAX_LINE = 64 * 1024

# The exit code of `liveserver run` for wrong settings. After a successful start it has another cause (such as
# a port that was taken meanwhile), which may pass.
NEVER_RUNS = 2

Say = Callable[[str], None]


class Process(Protocol):
    """The part of `trio.Process` that `Child` uses."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> trio.abc.ReceiveStream | None: ...
    def poll(self) -> int | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, number: signal.Signals, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


OpenProcess = Callable[[Sequence[str], Mapping[str, str], int], Awaitable[Process]]


async def open_process(command: Sequence[str], environment: Mapping[str, str], stdin: int) -> Process:
    """Start a program in a session of its own, its standard output and error in one pipe."""
    return await trio.lowlevel.open_process(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
    )


class Child:
    """Keeps one command running. `say` prints one line of text.

    `environment` is added to this process' own. `open_process` starts the command.
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
        open_process: OpenProcess = open_process,
    ) -> None:
        self.name = name
        self._open_process = open_process
        self.starts = 0
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._stdin = stdin
        self._stop_after = stop_after
        self._output = output
        self._say = say
        self._process: Process | None = None
        self._must_restart = False
        self._begun = trio.Event()  # the next start

    @property
    def pid(self) -> int | None:
        """The running process' id; None between two runs."""
        return self._process.pid if self._process else None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process, if there is one."""
        if self._process and self._process.poll() is None:
            self._process.kill()

    async def restart(self) -> None:
        """Restart the process; return when the new one is running (not: ready).

        If `run` is about to start it anyway, wait for that.
        """
        begun = self._begun
        if (process := self._process) is not None:
            self._must_restart = True
            await self._end(process)
        await begun.wait()

    async def run(self) -> None:
        """Run the command repeatedly until cancelled.

        Raises `LiveserverError` if the first process exits with the code for wrong settings.
        """
        failures = 0
        while True:
            begun = trio.current_time()
            code = await self._run_once()
            if self._must_restart:
                self._must_restart = False
                failures = 0
                continue
            if code == NEVER_RUNS and self.starts == 1:
                raise LiveserverError(f"{self.name} cannot run with these settings; see its output above")
            failures = 1 if trio.current_time() - begun >= SETTLED else failures + 1
            delay = backoff(failures)
            self._say(f"{self.name} {describe(code)}; starting it again in {delay:.1f} s")
            await trio.sleep(delay)

    async def _run_once(self) -> int:
        process = await self._open_process(self._command, self._environment, self._stdin)
        self._process = process
        self.starts += 1
        self._begun.set()
        self._begun = trio.Event()
        if self.starts > 1:
            self._say(f"{self.name} is now process {process.pid}")
        reading = trio.CancelScope(shield=True)
        async with trio.open_nursery() as nursery:
            if process.stdout is not None:  # always; for the type checker
                nursery.start_soon(self._pass_output, process.stdout, reading)
            try:
                return await process.wait()
            finally:
                with trio.CancelScope(shield=True):
                    await self._end(process)
                self._process = None
                reading.deadline = trio.current_time() + LAST_OUTPUT

    async def _end(self, process: Process) -> None:
        if process.poll() is not None:
            return
        process.terminate()
        with trio.move_on_after(self._stop_after):
            await process.wait()
            return
        self._say(f"{self.name} did not end within {self._stop_after:g} s after SIGTERM; killed")
        process.kill()
        await process.wait()

    async def _pass_output(self, stdout: trio.abc.ReceiveStream, reading: trio.CancelScope) -> None:
        rest = b""
        with reading:
            async for chunk in stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._output(line.decode(errors="replace"))
        if rest:
            self._output(rest.decode(errors="replace"))


def backoff(failures: int) -> float:
    """Return the seconds before the next start after consecutive failures: exponential, with 20 % jitter."""
    longest: float = min(RESTART_MOST, RESTART_FIRST * 2 ** (failures - 1))
    return longest * random.uniform(0.8, 1.0)


def describe(code: int) -> str:
    """Describe a process' return code."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
