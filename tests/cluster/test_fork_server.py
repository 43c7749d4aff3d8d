"""Workers begin as programs do, with the imports of their parent; and end as children do."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from liveserver.cluster import fork_server
from liveserver.cluster.child import Process
from liveserver.cluster.fork_server import ForkServer

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not fork_server.is_supported(), reason="needs pidfds, which Linux has"),
]
COMMAND = [sys.executable, "-c", "print('a program')"]  # what is left of it by fork: no arguments
PRELOADED: list[str] = []


def preload() -> None:
    PRELOADED.append("imported")
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # not pytest's
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def worker(arguments: Sequence[str]) -> None:
    """What a forked worker does, by its arguments."""
    match arguments:
        case ["report"]:
            print(PRELOADED, os.getsid(0) == os.getpid(), os.environ.get("SECRET"), len(os.environ))
            sys.stdout.flush()
            print(Path("/proc/self/comm").read_text().strip(), os.read(0, 10), file=sys.stderr)
        case ["random"]:
            print(random.random())
        case ["descriptors"]:
            print(len(os.listdir("/proc/self/fd")))
        case ["exit", code]:
            sys.exit(int(code))
        case ["fail"]:
            raise RuntimeError("it went wrong")
        case ["wait"]:
            print("waits", flush=True)
            signal.pause()


class Workers:
    """A fork server, and what it starts."""

    def __init__(self, server: ForkServer, pid: int, log: list[str]) -> None:
        self.server, self.pid, self.log = server, pid, log

    async def start(self, *arguments: str, name: str = "a-w1") -> Process:
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            return await self.server.open_process(name, [*COMMAND, *arguments], {"SECRET": "x"}, null)
        finally:
            os.close(null)

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Its exit code and its output."""
        process = await self.start(*arguments)
        return await process.wait(), await read(process)


async def read(process: Process) -> str:
    assert process.stdout is not None
    return b"".join([chunk async for chunk in process.stdout]).decode()


def children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


@asynccontextmanager
async def running() -> AsyncIterator[Workers]:
    before = children()
    with fork_server.start(worker, preload) as control:
        assert control is not None
        [pid] = children() - before
        log: list[str] = []
        async with trio.open_nursery() as nursery:
            server = ForkServer(control, log.append)
            nursery.start_soon(server.run)
            with trio.fail_after(60):
                yield Workers(server, pid, log)
            nursery.cancel_scope.cancel()


async def test_a_worker_begins_like_a_program_with_the_imports_done() -> None:
    gc.collect()  # what earlier tests left is not closed meanwhile
    descriptors = len(os.listdir("/proc/self/fd"))
    async with running() as workers:
        code, output = await workers.run("report")
        assert (code, output) == (0, "['imported'] True x 1\na-w1 b''\n")
        assert await workers.run("descriptors") == (0, f"{descriptors}\n")
        assert (await workers.run("random"))[1] != (await workers.run("random"))[1]
    assert not PRELOADED  # by this process


async def test_a_workers_exit_code_is_reported() -> None:
    async with running() as workers:
        assert await workers.run("exit", "2") == (2, "")
        code, output = await workers.run("fail")
        assert code == 1
        assert "RuntimeError: it went wrong" in output
        process = await workers.start("wait")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == process.poll() == -signal.SIGTERM
        process.kill()  # nothing is left that it could be sent to


async def test_without_the_fork_server_programs_are_started() -> None:
    async with running() as workers:
        forked = await workers.start("wait")
        assert forked.stdout is not None
        assert await forked.stdout.receive_some() == b"waits\n"
        os.kill(workers.pid, signal.SIGKILL)
        while not workers.log:
            await trio.lowlevel.checkpoint()
        assert workers.log == ["the fork server has ended; workers are started as programs from now on"]
        assert await workers.run("report") == (0, "a program\n")
        assert forked.poll() is None
        forked.terminate()
        assert await forked.wait() == 1  # only its parent knows how it ended


async def test_a_system_without_pidfds_starts_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with fork_server.start(worker, preload) as control:
        assert control is None
