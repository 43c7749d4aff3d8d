"""Viewers in several client processes, used as one: more of them than one process has descriptors for."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import viewers
from bench.harness import Core, Worker, percentile

PER_PROCESS = viewers.PORTS_PER_SOURCE  # below 20,000 descriptors, and each with an address of its own
QUIET = 3.0  # seconds without anything new, after which nothing more is waited for


@dataclass(frozen=True)
class Group:
    """`count` viewers of one client process: where they watch, in turn on each of `paths`."""

    host: str
    port: int
    paths: Sequence[str]
    count: int
    source: str = ""


def groups(
    targets: Sequence[tuple[str, int]], path: str, count: int, per_process: int = PER_PROCESS
) -> list[Group]:
    """Spread `count` viewers of one path evenly over the targets, in as many client processes as necessary.

    Each process connects from an address of its own, if all is on this machine.
    """
    parts = max(len(targets), -(-count // per_process))
    shares = [count // parts + (index < count % parts) for index in range(parts)]
    found = []
    for index, share in enumerate(shares):
        host, port = targets[index % len(targets)]
        source = f"127.0.0.{2 + index}" if parts > 1 and host.startswith("127.") else ""
        found.append(Group(host, port, [path], share, source))
    return found


class ViewerProcesses:
    """Client processes on one core, each with its group of viewers."""

    def __init__(self, plan: Sequence[Group], core: Core) -> None:
        self.plan = plan
        self.count = sum(group.count for group in plan)
        self._workers = [Worker(viewers.run, core, forked=True) for _ in plan]

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """Send a request to all at once; return their answers."""
        for worker in self._workers:
            worker.tell(method, *arguments)
        return [worker.answer() for worker in self._workers]

    def connect(self, keep: int = 0) -> float:
        """Connect all, in all processes at once; return the seconds until each viewer has its `ready`.

        Raises `TimeoutError` after 3 minutes and 1 ms for each viewer.
        """
        began = time.perf_counter()
        for worker, group in zip(self._workers, self.plan, strict=True):
            worker.tell("connect", group.host, group.port, group.paths, group.count, group.source, keep)
        for worker in self._workers:
            worker.answer(180.0 + self.count / 1000)
        return time.perf_counter() - began

    def window(self) -> dict[str, float]:
        """Return what all have received since `begin`: sums of rates, percentiles of all ages."""
        windows = self.ask("window")
        ages = sorted(age for each in self.ask("ages") for age in each)
        return {
            "seconds": max(window["seconds"] for window in windows),
            **{
                name: sum(window[name] for window in windows)
                for name in ("deliveries_per_s", "reads_per_s", "bytes_per_s", "client_cpu")
            },
            "p50_ms": percentile(ages, 0.5),
            "p90_ms": percentile(ages, 0.9),
            "p99_ms": percentile(ages, 0.99),
            "max_ms": ages[-1] if ages else float("nan"),
        }

    def settle(self, expected: int) -> list[str]:
        """Wait until every viewer has `expected` events, or none arrive any more; return what is wrong
        then.
        """
        received, since = -1, time.monotonic()
        while True:
            tallies = self.ask("tally", expected)
            now = sum(tally["received"] for tally in tallies)
            if sum(tally["exact"] for tally in tallies) == self.count or time.monotonic() > since + QUIET:
                break
            if now != received:
                received, since = now, time.monotonic()
            time.sleep(0.1)
        time.sleep(0.2)  # duplicates would arrive now
        tallies = self.ask("tally", expected)
        faults = [fault for each in self.ask("verify", expected) for fault in each]
        if sum(tally["exact"] for tally in tallies) != self.count:
            total = {name: sum(tally[name] for tally in tallies) for name in tallies[0]}
            faults.append(f"not every viewer has exactly the {expected} events: {total}")
        return faults

    def expect_one(self, patience: float, token: bytes) -> None:
        """Begin to wait for one event, which has `token` in it; `moments` says when it came."""
        for worker in self._workers:
            worker.tell("lone", patience, token)

    def moments(self) -> array[float]:
        """When each viewer had it, by `time.monotonic`, in order."""
        return array("d", sorted(moment for worker in self._workers for moment in worker.answer()))

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
