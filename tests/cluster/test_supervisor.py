"""A cluster starts completely, restarts its nodes, and ends completely."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from liveserver.cluster import ports
from liveserver.cluster.redis_server import free_port
from liveserver.config import Address
from tests.cluster.harness import CLUSTER, Log, read_lines, write

pytestmark = [pytest.mark.process, pytest.mark.redis]


class Cluster:
    """`liveserver cluster` as a process of its own, and what it writes."""

    def __init__(self, process: trio.Process, log: Log, addresses: list[Address]) -> None:
        self.process = process
        self.log = log
        self._addresses = addresses

    def pid(self, name: str) -> int:
        """From the table of addresses."""
        [row] = [line for line in self.log.lines if re.search(rf"^{name} +\w+ +http:", line)]
        return int(row.split()[-1])

    async def wait_gone(self) -> None:
        """Return when none of its addresses is listened at."""
        with trio.fail_after(90):
            while any(ports.is_busy(address) for address in self._addresses):  # noqa: ASYNC110
                await trio.sleep(0.02)


@asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Cluster]:
    """A cluster of one frontend and one dispatcher, ready; killed with the block if it has not ended."""
    chosen = [free_port() for _ in range(5)]
    path = write(directory, CLUSTER.format(*chosen))
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "liveserver", "cluster", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(directory)},  # one that is killed leaves its files there
    )
    assert process.stdout is not None
    log = Log()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_lines, process.stdout, log)
        try:
            await log.wait_for("Ctrl-C ends everything")
            with trio.fail_after(90):
                yield Cluster(process, log, [Address(f"127.0.0.1:{port}") for port in chosen])
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
            nursery.cancel_scope.cancel()


async def test_dead_processes_are_restarted_and_all_end_together(tmp_path: Path) -> None:
    async with cluster(tmp_path) as all_of_it:
        [watch_at] = [line for line in all_of_it.log.lines if line.startswith("curl -N")]
        os.kill(all_of_it.pid("dc1-fe1"), signal.SIGKILL)
        await all_of_it.log.wait_for(r"dc1-fe1 was ended by SIGKILL; starting it again")
        again = await all_of_it.log.wait_for(r"dc1-fe1 is now process (\d+)")
        await all_of_it.log.wait_for(r"dc1-fe1 .*ready", times=2)
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream("GET", watch_at.split()[-1]) as response,
        ):
            assert response.status_code == 200
        # One that hangs does not keep the others from ending, nor itself.
        os.kill(int(again[1]), signal.SIGSTOP)
        all_of_it.process.send_signal(signal.SIGINT)
        assert await all_of_it.process.wait() == 0
        await all_of_it.log.wait_for("dc1-fe1 did not end within 1 s after SIGTERM; killed")
        await all_of_it.wait_gone()


async def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as all_of_it:
        os.kill(all_of_it.pid("dc1-fe1"), signal.SIGSTOP)
        all_of_it.process.send_signal(signal.SIGTERM)
        await all_of_it.log.wait_for("ending; press Ctrl-C again")
        all_of_it.process.send_signal(signal.SIGINT)
        assert await all_of_it.process.wait() == 0
        await all_of_it.log.wait_for("all ended")
        assert not any("did not end" in line for line in all_of_it.log.lines)
        await all_of_it.wait_gone()


async def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as all_of_it:
        all_of_it.process.kill()
        await all_of_it.process.wait()
        await all_of_it.wait_gone()


async def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        taken = listener.socket.getsockname()[1]
        path = write(tmp_path, CLUSTER.format(*(free_port() for _ in range(3)), taken, free_port()))
        with trio.fail_after(90):
            ran = await trio.run_process(
                [sys.executable, "-m", "liveserver", "cluster", "--config", str(path)],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.decode() == (
        f"liveserver: port {taken} (dc1-di1, public): already in use; stop what listens there "
        f"(another cluster?), or choose other ports in {path}\n"
    )
