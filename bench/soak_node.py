"""A node that a soak restarts on its ports, and samples of its memory and descriptors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import trio

from bench.harness import HOST, free_ports
from bench.nodes import CONFIG
from bench.procfs import Family

MIB = 1 << 20
READY = 60.0  # seconds to become ready


class Sample(NamedTuple):
    """A sample of one process; `second` counts from the run's beginning."""

    second: float
    viewers: int
    mib: float
    descriptors: int


class Node(Family):
    """One node's process, which may be restarted on its ports."""

    def __init__(self, role: str, settings: Sequence[str], directory: Path) -> None:
        super().__init__(0)
        self.port, self.ops = free_ports(2)
        self.name = f"{role} {self.port}"
        self.samples: list[Sample] = []
        self._log = directory / f"{self.name}.log"
        given = [f"listen.public={HOST}:{self.port}", f"listen.ops={HOST}:{self.ops}", *settings]
        options = [word for setting in given for word in ("--set", setting)]
        self._command = [sys.executable, "-m", "liveserver", "run", "--config", str(CONFIG / f"{role}.toml")]
        self._command += options

    async def start(self) -> None:
        """Start the node; return when it is ready. Raises `RuntimeError` with the end of its log."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220  # forks; the kernel does the rest
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self.process.pid
        self.samples = []
        with trio.move_on_after(READY):
            async with httpx.AsyncClient(trust_env=False) as client:
                while self.process.poll() is None:
                    try:
                        if (await client.get(f"http://{HOST}:{self.ops}/readyz")).is_success:
                            return
                    except httpx.HTTPError:
                        pass
                    await trio.sleep(0.1)
        raise RuntimeError(f"{self.name} did not become ready:\n{self._log.read_text()[-2000:]}")

    async def stop(self) -> None:
        self.process.terminate()
        await trio.to_thread.run_sync(self.process.wait)

    def sample(self, second: float, viewers: int) -> None:
        if self.process.poll() is None:
            descriptors = len(os.listdir(f"/proc/{self.pid}/fd"))
            self.samples.append(Sample(second, viewers, self.resident_bytes() / MIB, descriptors))
