"""Real nodes in real processes, for the tests that kill, stop and restart them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import trio

from liveserver.cluster.redis_server import free_port
from tests import node_forker

LAST_LINES = 40  # of a log, in the message of a failure
READY_SECONDS = 150.0  # far beyond what it takes, also on a machine with much else to do


class NodeProcess:
    """A `liveserver run` process with some settings. It keeps its ports across restarts."""

    def __init__(self, name: str, roles: str, redis_url: str, *settings: str) -> None:
        self.name = name
        self.port, self.ops_port = free_port(), free_port()
        self._settings = [
            f"node.name={name}",
            f'node.roles=["{roles}"]',
            f"listen.public=127.0.0.1:{self.port}",
            f"listen.ops=127.0.0.1:{self.ops_port}",
            "bus.kind=redis",
            f"bus.url={redis_url}",
            *settings,
        ]
        self.process: subprocess.Popen[bytes] | node_forker.ForkedProcess | None = None
        self.environment: Mapping[str, str] | None = None  # None: this process's
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115  # appended to by each start
        self.output: int = self._log.fileno()

    def __del__(self) -> None:
        self._log.close()

    def change(self, *settings: str) -> None:
        """Add settings, from the next start on."""
        self._settings += settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    @property
    def command(self) -> list[str]:
        command = [sys.executable, "-m", "liveserver", "run", "--until-eof"]
        for setting in self._settings:
            command += ["--set", setting]
        return command

    def start(self) -> None:
        # Its standard input is a pipe that ends with this process, and with it the node.
        if self.environment is None:
            self.process = node_forker.start(self.command[3:], self.output, os.environ)
            return
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            env=self.environment,
        )

    @property
    def log(self) -> str:
        """Return the output of all its processes so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    @property
    def last_lines(self) -> str:
        return "\n".join(self.log.splitlines()[-LAST_LINES:])

    async def wait_log(self, words: str) -> None:
        """Wait until the log contains this text."""
        with trio.fail_after(READY_SECONDS):
            while words not in self.log:
                assert self.process is not None
                assert self.process.poll() is None or words in self.log, self.describe_end()
                await trio.sleep(0.02)

    def describe_end(self) -> str:
        """Return the process' exit and its last log lines, for a failure's message."""
        code = self.process.poll() if self.process is not None else None
        return f"{self.name} ended by itself with {code}; its log:\n{self.last_lines}"

    async def wait_ready(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            with trio.move_on_after(READY_SECONDS):
                while True:
                    try:
                        if (await client.get(f"{self.ops_url}/readyz")).status_code == 200:
                            return
                    except httpx.HTTPError:
                        pass
                    assert self.process is not None
                    assert self.process.poll() is None, self.describe_end()
                    await trio.sleep(0.05)
        raise AssertionError(
            f"{self.name} is not ready after {READY_SECONDS:g} s; its log:\n{self.last_lines}"
        )

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def wait_ended(self) -> int:
        assert self.process is not None
        return await trio.to_thread.run_sync(self.process.wait)

    async def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.signal(signal.SIGKILL)
        await self.wait_ended()
        self._close()

    async def terminate(self) -> int:
        """Terminate it as a deployment does; return the exit code."""
        self.signal(signal.SIGTERM)
        code = await self.wait_ended()
        self._close()
        return code

    def _close(self) -> None:
        assert self.process is not None
        if self.process.stdin is not None:
            self.process.stdin.close()

    def stop(self) -> None:
        """Kill it, in whatever state it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None:
            self._close()


@asynccontextmanager
async def running(*nodes: NodeProcess) -> AsyncIterator[None]:
    """Yield the nodes, started and ready."""
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            await node.wait_ready()
        yield
    finally:
        for node in nodes:
            node.stop()


def small_cluster(redis_url: str, *settings: str) -> tuple[list[NodeProcess], list[NodeProcess]]:
    """Return two dispatchers and two frontends of one datacenter, not yet started."""
    dispatchers = [NodeProcess(f"dc1-di{n}", "dispatcher", redis_url, *settings) for n in (1, 2)]
    urls = ",".join(f'"{node.url}"' for node in dispatchers)
    frontends = [
        NodeProcess(f"dc1-fe{n}", "frontend", redis_url, f"frontend.dispatchers=[{urls}]", *settings)
        for n in (1, 2)
    ]
    return dispatchers, frontends
