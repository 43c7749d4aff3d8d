"""Two datacenters as processes: what a moderator does in one holds in the other, despite cuts and kills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from bench.proxy import HOST, Proxy, open_proxy
from liveserver.cluster.redis_server import run_redis_server
from tests.auth.harness import NODES, SECRET
from tests.moderation.harness import ADA, BOB, MODERATOR
from tests.processes import NodeProcess, running

pytestmark = [pytest.mark.process, pytest.mark.redis]
VIDEO = "/v1/videos/v"


class Two:
    """A frontend and backend in each of two datacenters, with a dispatcher."""

    def __init__(self, redis: dict[str, str], links: dict[str, Proxy], directory: Path) -> None:
        self.links = links
        self.dispatchers: list[NodeProcess] = []
        self.backends: list[NodeProcess] = []
        self.frontends: list[NodeProcess] = []
        for name, other in (("dc1", "dc2"), ("dc2", "dc1")):
            own = (
                f"node.datacenter={name}",
                "node.drain_timeout=200ms",
                "auth.viewers=token",
                f"auth.secret={SECRET}",
                f"auth.nodes_secret={NODES}",
            )
            peer = f"peers.{other}.url=redis://{HOST}:{links[other].port}/0"
            dispatcher = NodeProcess(f"{name}-di", "dispatcher", redis[name], *own, peer, "relay.lease=1s")
            there = f'dispatchers=["{dispatcher.url}"]'
            self.dispatchers.append(dispatcher)
            self.frontends.append(
                NodeProcess(f"{name}-fe", "frontend", redis[name], *own, f"frontend.{there}")
            )
            database = f"backend.database=sqlite:///{directory / name}.db"
            self.backends.append(
                NodeProcess(f"{name}-be", "backend", redis[name], *own, f"backend.{there}", database)
            )


@asynccontextmanager
async def two(directory: Path) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(run_redis_server()) for name in ("dc1", "dc2")}
        links = {
            name: await stack.enter_async_context(open_proxy(server.port)) for name, server in servers.items()
        }
        made = Two({name: server.url for name, server in servers.items()}, links, directory)
        for nodes in (made.dispatchers, made.frontends, made.backends):
            await stack.enter_async_context(running(*nodes))
        yield made


async def test_settings_and_bans_hold_in_the_other_datacenter_also_after_cuts_and_restarts(
    tmp_path: Path,
) -> None:
    with trio.fail_after(150):
        async with two(tmp_path) as on, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            here, there = on.backends

            async def ask(
                node: NodeProcess, method: str, path: str, key: str, body: object = None
            ) -> httpx.Response:
                headers = {"authorization": f"Bearer {key}"}
                return await client.request(method, node.url + VIDEO + path, json=body, headers=headers)

            async def until(node: NodeProcess, method: str, path: str, key: str, status: int) -> None:
                body = {"text": "hi"} if method == "POST" and path == "/comments" else None
                while True:
                    if (await ask(node, method, path, key, body)).status_code == status:
                        return
                    await trio.sleep(0.1)

            for node in on.backends:
                assert (await ask(node, "POST", "/comments", ADA, {"text": "hi"})).status_code == 201
            assert (await ask(here, "PUT", "/bans/ada", MODERATOR, {})).status_code == 204
            assert (await ask(here, "POST", "/comments", ADA, {"text": "hi"})).status_code == 403
            await until(there, "POST", "/comments", ADA, 403)
            for frontend in on.frontends:
                await until(frontend, "GET", "/poll", ADA, 403)

            for link in on.links.values():
                await link.refuse()
                link.reset()
            answer = await ask(here, "PUT", "/settings", MODERATOR, {"comments": "closed"})
            assert answer.status_code == 200
            assert (await ask(there, "POST", "/comments", BOB, {"text": "cut off"})).status_code == 201
            assert (await ask(there, "POST", "/comments", ADA, {"text": "hi"})).status_code == 403, (
                "what was known holds"
            )
            await there.kill()
            there.start()
            await there.wait_ready()
            assert (await ask(there, "POST", "/comments", ADA, {"text": "hi"})).status_code == 403
            for link in on.links.values():
                await link.heal()
            await until(there, "POST", "/comments", BOB, 403)
            assert (await ask(there, "DELETE", "/bans/ada", MODERATOR)).status_code == 204
            for frontend in on.frontends:
                await until(frontend, "GET", "/poll", ADA, 200)
