"""A small cluster's file, and a log to wait on."""

from __future__ import annotations

import re
from pathlib import Path

import trio

CLUSTER = """
stop_after = "1s"

[settings.node]
drain_timeout = "100ms"

[[datacenters]]
name = "dc1"
redis = {}
nodes = [
    {{ name = "dc1-fe1", role = "frontend", public = {}, ops = {} }},
    {{ name = "dc1-di1", role = "dispatcher", public = {}, ops = {} }},
]
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "cluster.toml"
    path.write_text(text)
    return path


class Log:
    """Recorded lines, and a wait for a certain one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = trio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, pattern: str, times: int = 1, *, seconds: float = 60) -> re.Match[str]:
        """Wait for `times` lines that match the pattern; return the last."""
        with trio.fail_after(seconds):
            while True:
                found = [match for line in self.lines if (match := re.search(pattern, line))]
                if len(found) >= times:
                    return found[times - 1]
                await self._changed.wait()


async def read_lines(stdout: trio.abc.ReceiveStream, log: Log) -> None:
    """Tell the log what a process writes, line by line."""
    rest = ""
    async for chunk in stdout:
        *lines, rest = (rest + chunk.decode()).split("\n")
        for line in lines:
            log(line)
