"""In a terminal: Ctrl-C ends everything in order and well, also under make; closing the terminal, too."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from liveserver.cluster import ports
from liveserver.cluster.redis_server import free_port
from liveserver.config import Address
from tests.cluster.harness import CLUSTER, Log, write
from tests.conftest import Until

pytestmark = [pytest.mark.process, pytest.mark.redis]

ROOT = Path(__file__).parents[2]
CTRL_C = b"\x03"


class Terminal:
    """A terminal with one program in it, the leader of its session."""

    def __init__(self, process: trio.Process, log: Log, keyboard: trio.lowlevel.FdStream) -> None:
        self.process, self.log, self._keyboard = process, log, keyboard

    async def press(self, keys: bytes) -> None:
        await self._keyboard.send_all(keys)

    async def close(self) -> None:
        """As closing its window does."""
        await self._keyboard.aclose()


@asynccontextmanager
async def terminal(*command: str) -> AsyncIterator[Terminal]:
    """The command in a terminal of its own; killed with the block if it has not ended."""
    ours, theirs = pty.openpty()
    process = await trio.lowlevel.open_process(
        list(command),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    keyboard = trio.lowlevel.FdStream(ours)
    log = Log()

    async def read() -> None:
        rest = ""
        try:
            async for chunk in keyboard:
                *lines, rest = (rest + chunk.decode(errors="replace")).split("\r\n")
                for line in lines:
                    log(line)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # no process has it open any more, or we closed it

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        try:
            with trio.fail_after(90):
                yield Terminal(process, log, keyboard)
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
                await keyboard.aclose()
            nursery.cancel_scope.cancel()


def make(directory: Path, target: str, arguments: str) -> list[str]:
    """`make TARGET ARGS=…` by the project's Makefile, with this Python instead of one that it prepares."""
    program = directory / "liveserver"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m liveserver "$@"\n')
    program.chmod(0o755)
    (directory / "ready").touch()
    return ["make", target, f"BIN={directory}", f"READY={directory / 'ready'}", f"ARGS={arguments}"]


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@needs_make
async def test_make_run_ends_well(tmp_path: Path) -> None:
    arguments = f"--set listen.public=127.0.0.1:{free_port()} --set listen.ops=127.0.0.1:{free_port()}"
    async with terminal(*make(tmp_path, "run", arguments)) as window:
        await window.log.wait_for("ready ")
        await window.press(CTRL_C)
        assert await window.process.wait() == 0


@needs_make
async def test_make_run_ends_well_by_sigterm_too(tmp_path: Path) -> None:
    arguments = f"--set listen.public=127.0.0.1:{free_port()} --set listen.ops=127.0.0.1:{free_port()}"
    async with terminal(*make(tmp_path, "run", arguments)) as window:
        await window.log.wait_for("ready ")
        window.process.terminate()
        await window.log.wait_for("draining")
        assert await window.process.wait() == -signal.SIGTERM  # make's own way; the server drained


@needs_make
async def test_make_run_cluster_ends_in_order_and_well(tmp_path: Path) -> None:
    """Redis goes last: no node loses it, and complains, before it has ended itself."""
    chosen = [free_port() for _ in range(5)]
    path = write(tmp_path, CLUSTER.format(*chosen))
    async with terminal(*make(tmp_path, "run-cluster", f"--config {path}")) as window:
        await window.log.wait_for("Ctrl-C ends everything")
        seen = len(window.log.lines)
        await window.press(CTRL_C)
        assert await window.process.wait() == 0
        await window.log.wait_for("all ended")
    for line in window.log.lines[seen:]:
        assert not any(word in line for word in ("warning", "error", "Redis", "killed")), line
    assert not any(ports.is_busy(Address(f"127.0.0.1:{port}")) for port in chosen)


async def test_a_cluster_ends_when_its_terminal_is_closed(tmp_path: Path, until: Until) -> None:
    chosen = [free_port() for _ in range(5)]
    path = write(tmp_path, CLUSTER.format(*chosen))
    async with terminal(sys.executable, "-m", "liveserver", "cluster", "--config", str(path)) as window:
        await window.log.wait_for("Ctrl-C ends everything")
        await window.close()
        await window.process.wait()
        assert not any(ports.is_busy(Address(f"127.0.0.1:{port}")) for port in chosen)


async def test_without_a_terminal_nothing_is_taken() -> None:
    ran = await trio.run_process(
        [sys.executable, "-m", "liveserver", "run", "--own-terminal", "--set", "listen.public=nowhere"],
        stdin=subprocess.DEVNULL,
        capture_stderr=True,
        check=False,
    )
    assert ran.returncode == 2
