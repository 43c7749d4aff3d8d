"""The measured server: started on one core, watched from outside, ended by itself."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import HOST, free_ports

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """A running liveserver process, seen from outside: addresses, CPU time, memory, metrics."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, ops: int) -> None:
        self.process, self.port, self.ops = process, port, ops

    def cpu_seconds(self) -> float:
        """User and system time so far, of the process and all its threads."""
        return sum(cpu_times(Path(f"/proc/{self.process.pid}")))

    def user_seconds(self) -> float:
        return cpu_times(Path(f"/proc/{self.process.pid}"))[0]

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics, those of one name added up; empty if it cannot be read."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.ops}/metrics", timeout=20) as response:
                text = response.read().decode()
        except (OSError, urllib.error.URLError):
            return {}
        found: dict[str, float] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
        return found


@contextmanager
def run_server(core: int, *settings: str, command: str | None = None) -> Iterator[Server]:
    """A server process of all roles on `core`, ready; ended with SIGTERM, then by force, when the block ends.

    `settings` are `section.name=value`. Its log goes to a file that is shown when it does not become ready.
    `command` replaces `python -m liveserver run`, for another server with the same options.
    """
    port, ops = free_ports(2)
    overrides = [f"listen.public={HOST}:{port}", f"listen.ops={HOST}:{ops}", "node.drain=1s", *settings]
    start = shlex.split(command) if command else [sys.executable, "-m", "liveserver", "run"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*start, *(word for text in overrides for word in ("--set", text))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # no threads here
        )
        server = Server(process, port, ops)
        try:
            if not _becomes_ready(server):
                log.seek(0)
                raise RuntimeError(
                    f"the server did not become ready:\n{log.read().decode(errors='replace')[-4000:]}"
                )
            yield server
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class CoreUse:
    """What one core did since this was made, as shares of the time.

    On loopback the sender's core also does the receiver's half of the kernel's work: mostly within the send,
    and so in `cpu`, the measured process' own; when there is much, in the kernel's thread `ksoftirqd`.
    `foreign` is what other programs took.
    """

    def __init__(self, core: int) -> None:
        self._core = core
        self._thread = next(
            (
                comm.parent
                for comm in Path("/proc").glob("[0-9]*/comm")
                if _text(comm) == f"ksoftirqd/{core}\n"
            ),
            None,
        )
        self._before = self._read()

    def since(self, own_seconds: float) -> dict[str, float]:
        busy, idle, thread = (now - before for before, now in zip(self._before, self._read(), strict=True))
        shares = {
            "cpu": own_seconds,
            "ksoftirqd": thread,
            "foreign": max(0.0, busy - own_seconds - thread),
            "idle": idle,
        }
        return {name: seconds / (busy + idle) for name, seconds in shares.items()}

    def _read(self) -> tuple[float, float, float]:
        lines = Path("/proc/stat").read_text().splitlines()
        fields = next(line.split() for line in lines if line.startswith(f"cpu{self._core} "))
        user, nice, system, idle, iowait, irq, softirq, steal = (int(field) / _TICK for field in fields[1:9])
        thread = sum(cpu_times(self._thread)) if self._thread else 0.0
        return user + nice + system + irq + softirq + steal, idle + iowait, thread


def cpu_times(process: Path) -> tuple[float, float]:
    """User and system seconds so far of `/proc/PID`, all its threads together."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICK, int(fields[12]) / _TICK


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""


def _becomes_ready(server: Server, patience: float = 20.0) -> bool:
    until = time.monotonic() + patience
    while time.monotonic() < until and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{server.ops}/readyz", timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    return False
