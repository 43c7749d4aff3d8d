"""Reads processes, cores and kernel memory from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Family:
    """A process with all its descendants, measured together."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_seconds(self) -> float:
        """Return user and system time so far, of all threads of running processes."""
        return sum(sum(cpu_times(process)) for process in self.processes())

    def user_seconds(self) -> float:
        return sum(cpu_times(process)[0] for process in self.processes())

    def resident_bytes(self) -> int:
        return sum(int((process / "statm").read_text().split()[1]) for process in self.processes()) * _PAGE

    def private_bytes(self) -> int:
        """Return the memory that no other process shares."""
        rollups = (_text(process / "smaps_rollup").splitlines() for process in self.processes())
        return sum(
            int(line.split()[1]) * 1024 for lines in rollups for line in lines if line.startswith("Private_")
        )

    def precise_seconds(self) -> float:
        """Return `cpu_seconds` by the scheduler's clock, for differences of less than some ticks of 10 ms."""
        threads = (path for process in self.processes() for path in process.glob("task/*/schedstat"))
        return sum(int(text.split()[0]) for path in threads if (text := _text(path))) / 1e9

    def processes(self) -> list[Path]:
        """Return `/proc/PID` of each process."""
        found, pending = [], [self.pid]
        while pending:
            process = Path(f"/proc/{pending.pop()}")
            if process.exists():
                found.append(process)
                for children in process.glob("task/*/children"):
                    pending += [int(child) for child in _text(children).split()]
        return found


class CoreUse:
    """What one core did since this object was made, as shares of the time.

    On loopback the sender's core also does the receiver's half of the kernel's work: mostly within the send,
    counted in `cpu`, the measured process; under load in the kernel's thread `ksoftirqd`. `foreign` is what
    other programs took.
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
    """Return user and system seconds so far of `/proc/PID`, all its threads together."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICK, int(fields[12]) / _TICK


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""


def available_bytes() -> int:
    """Return the memory available without swapping."""
    lines = _text(Path("/proc/meminfo")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def kernel_bytes() -> dict[str, int]:
    """Return the kernel's slab memory, in bytes by cache; empty if /proc/slabinfo is not readable.

    A cache's objects times their size, whether used or only held for the next ones.
    """
    lines = _text(Path("/proc/slabinfo")).splitlines()[2:]
    return {name: int(objects) * int(size) for name, _, objects, size, *_ in map(str.split, lines)}
