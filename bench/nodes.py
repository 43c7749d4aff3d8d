"""A real Redis on a core of its choice, and the nodes of a datacenter that use it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import trio

from bench.harness import Core, Worker
from bench.procfs import Family
from bench.server import Server, run_server
from liveserver.cluster.redis_server import run_redis_server

CONFIG = Path(__file__).parent.parent / "config"


class Redis(Family):
    """A running redis-server."""

    def __init__(self, url: str, pid: int) -> None:
        super().__init__(pid)
        self.port = urlsplit(url).port
        self.settings = ["bus.kind=redis", f"bus.url={url}"]


@contextmanager
def run_redis(core: Core) -> Iterator[Redis]:
    """Run a redis-server on `core`."""
    worker = Worker(_hold_redis, core)
    try:
        yield Redis(*worker.answer())
    finally:
        worker.close()


def _hold_redis(control: Connection) -> None:
    async def hold() -> None:
        async with run_redis_server() as server:
            control.send((server.url, server.process.pid))
            await trio.to_thread.run_sync(control.poll, None)  # until the parent closes its end

    trio.run(hold)


@dataclass(frozen=True)
class Datacenter:
    """A Redis, a dispatcher, frontends and perhaps a likes backend, each a process."""

    redis: Redis
    dispatcher: Server
    frontends: list[Server]
    backend: Server | None

    @property
    def parts(self) -> dict[str, Sequence[Family]]:
        """Return the processes of each role."""
        parts: dict[str, Sequence[Family]] = {
            "redis": [self.redis],
            "dispatcher": [self.dispatcher],
            "frontend": self.frontends,
        }
        return parts | ({"backend": [self.backend]} if self.backend else {})


@contextmanager
def run_datacenter(
    redis: Core,
    dispatcher: Core,
    frontends: Sequence[Core],
    backend: Core | Literal["none"] = "none",
    settings: Sequence[str] = (),
    dispatcher_settings: Sequence[str] = (),
) -> Iterator[Datacenter]:
    """Run each node on its core, started from its role's file in config/, with `settings` added."""
    with ExitStack() as stack:
        store = stack.enter_context(run_redis(redis))
        common = [*settings, *store.settings]

        def start(role: str, core: Core, *more: str) -> Server:
            command = f"{sys.executable} -m liveserver run --config {CONFIG / role}.toml"
            return stack.enter_context(run_server(core, *common, *more, command=command))

        first = start("dispatcher", dispatcher, *dispatcher_settings)
        addresses = f'["{first.url}"]'
        nodes = [start("frontend", core, f"frontend.dispatchers={addresses}") for core in frontends]
        likes = None
        if backend != "none":
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="liveserver-bench-"))
            likes = start(
                "backend", backend, f"backend.dispatchers={addresses}", f"backend.directory={directory}"
            )
        yield Datacenter(store, first, nodes, likes)
