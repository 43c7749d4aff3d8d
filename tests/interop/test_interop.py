"""Each client gets each event once, in order, also when the server was away in between.

The server compresses until it goes away, and does not when it is back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
import trio

from liveserver.client import publish
from liveserver.cluster.redis_server import RedisServer
from tests.processes import NodeProcess, running

pytestmark = [pytest.mark.process, pytest.mark.redis]

PROGRAMS = Path(__file__).parent / "programs"
NODE_MODULES = Path(sys.prefix) / "node"  # where `make install` puts what comes from npm
EVENTS = 20  # published before the server goes away, while it is away, and after it came back
LIMIT = 120.0  # seconds, far beyond what it takes
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def commands(url: str, directory: Path) -> dict[str, list[str]]:
    """How each client is started; those whose programs are not on this machine are left out."""
    python = {
        "httpx-sse": "httpx_sse_client.py",
        "sseclient-py": "sseclient_py.py",
        "aiohttp-sse-client": "aiohttp_sse.py",
        "websockets": "with_websockets.py",
        "trio-websocket": "with_trio_websocket.py",
    }
    found = {name: [sys.executable, str(PROGRAMS / program), url] for name, program in python.items()}
    if shutil.which("curl"):
        found["curl"] = ["sh", str(PROGRAMS / "curl.sh"), url, str(directory)]
    if shutil.which("node") and (NODE_MODULES / "node_modules" / "eventsource").is_dir():
        found["npm eventsource"] = ["node", str(PROGRAMS / "npm_eventsource.mjs"), url, str(NODE_MODULES)]
    chromium = os.environ.get("LIVESERVER_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium:
        for how in ("eventsource", "fetch"):
            program = [sys.executable, str(PROGRAMS / "chromium_page.py")]
            found[f"chromium {how}"] = [*program, url, how, chromium]
    return found


CLIENTS = [
    "curl",
    "httpx-sse",
    "sseclient-py",
    "aiohttp-sse-client",
    "websockets",
    "trio-websocket",
    "npm eventsource",
    "chromium eventsource",
    "chromium fetch",
]


class Program:
    """A client at work, and what it has said."""

    def __init__(self) -> None:
        self.readies = 0
        self.numbers: list[int] = []
        self._moved = trio.Event()

    def hear(self, line: str) -> None:
        if line == "ready":
            self.readies += 1
        else:
            self.numbers.append(int(line))
        self._moved.set()
        self._moved = trio.Event()

    async def wait(self, *, readies: int = 0, events: int = 0) -> None:
        while self.readies < readies or len(self.numbers) < events:
            await self._moved.wait()


@asynccontextmanager
async def at_work(command: list[str]) -> AsyncIterator[Program]:
    program = Program()
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None

    async def hear(stdout: trio.abc.ReceiveStream) -> None:
        rest = b""
        async for data in stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                program.hear(line.decode())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, process.stdout)
        try:
            yield program
        finally:
            os.killpg(process.pid, 9)
            with trio.CancelScope(shield=True):
                await process.wait()
            nursery.cancel_scope.cancel()


async def play(redis_url: str, directory: Path) -> dict[str, Program]:
    """The story, for all clients at the same time; a client that does not play along is left as it is."""
    settings = ["node.drain_timeout=200ms", "frontend.retry_min=100ms", "frontend.retry_max=300ms"]
    settings.append("frontend.compression=gzip")
    node = NodeProcess("n1", 'frontend","dispatcher', redis_url, *settings)
    programs: dict[str, Program] = {}

    async def one(name: str, command: list[str]) -> None:
        async with at_work(command) as program:
            programs[name] = program
            await program.wait(readies=1)
            ready.release()
            await program.wait(events=EVENTS)
            watched.release()
            await program.wait(events=2 * EVENTS)

    async def story(count: int) -> None:
        with trio.move_on_after(LIMIT / 2):
            for _ in range(count):
                await ready.acquire()
        await publish(node.url, "v", numbered(0))
        with trio.move_on_after(LIMIT / 4):
            for _ in range(count):
                await watched.acquire()
        await node.terminate()
        node.change("frontend.compression=off")
        node.start()
        await node.wait_ready()
        await publish(node.url, "v", numbered(EVENTS))

    ready, watched = trio.Semaphore(0), trio.Semaphore(0)
    async with running(node):
        found = commands(node.url, directory)
        with trio.move_on_after(LIMIT):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(story, len(found))
                for name, command in found.items():
                    nursery.start_soon(one, name, command)
    return programs


def numbered(first: int) -> list[dict[str, object]]:
    return [{"type": "like", "data": {"n": n}} for n in range(first, first + EVENTS)]


@pytest.fixture(scope="module")
def played(redis_process: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    with redis.Redis.from_url(redis_process.url) as client:
        client.flushall()  # another test may have published to the same video
    return trio.run(play, redis_process.url, tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_gets_each_event_once_across_a_restart(played: dict[str, Program], name: str) -> None:
    if name not in played:
        where = "npm's eventsource (make install puts it there)" if name.startswith("npm") else name
        pytest.skip(f"{where} is not on this machine")
    program = played[name]
    assert program.numbers == list(range(2 * EVENTS))
    assert program.readies == 2
