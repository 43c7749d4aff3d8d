"""Two datacenters, two likes backends in each with a database of its own: one number everywhere.

While people like through all four, the links between the datacenters are cut and a backend is killed.
LIVESERVER_TEST_LIKES is how many likes there are.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trio

from liveserver.cluster.redis_server import run_redis_server
from tests.conftest import Until
from tests.processes import NodeProcess, running

pytestmark = [pytest.mark.process, pytest.mark.redis, pytest.mark.timeout(360)]

LIKES = int(os.environ.get("LIVESERVER_TEST_LIKES", "1500"))
PEOPLE = 12


class Link:
    """The way to a server, which can be cut: what is connected breaks, what connects is refused."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = parts.hostname or "", parts.port or 0
        self._scopes: set[trio.CancelScope] = set()
        self.is_cut = False
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Link]:
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.url = f"redis://127.0.0.1:{listener.socket.getsockname()[1]}/0"
            nursery.start_soon(trio.serve_listeners, self._serve, [listener])
            yield self
            nursery.cancel_scope.cancel()

    def cut(self) -> None:
        self.is_cut = True
        for scope in self._scopes:
            scope.cancel()

    def mend(self) -> None:
        self.is_cut = False

    async def _serve(self, client: trio.SocketStream) -> None:
        async with client:
            if self.is_cut:
                return
            with trio.CancelScope() as scope:
                self._scopes.add(scope)
                try:
                    async with (
                        await trio.open_tcp_stream(*self._target) as server,
                        trio.open_nursery() as both,
                    ):
                        both.start_soon(self._copy, client, server, scope)
                        both.start_soon(self._copy, server, client, scope)
                finally:
                    self._scopes.discard(scope)

    async def _copy(
        self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                await sink.send_all(data)
        except trio.BrokenResourceError:
            pass
        scope.cancel()


class Cluster:
    """Two datacenters; nodes not yet started."""

    def __init__(self, redis: dict[str, str], links: dict[str, Link], directory: Path) -> None:
        self.links = links
        self.backends: list[NodeProcess] = []
        self.frontends: list[NodeProcess] = []
        self.dispatchers: list[NodeProcess] = []
        for name, other in (("dc1", "dc2"), ("dc2", "dc1")):
            own = (f"node.datacenter={name}", "node.drain_timeout=200ms")
            peer = f"peers.{other}.url={links[other].url}"
            dispatcher = NodeProcess(f"{name}-di", "dispatcher", redis[name], *own, peer, "relay.lease=1s")
            there = f'dispatchers=["{dispatcher.url}"]'
            self.dispatchers.append(dispatcher)
            self.frontends.append(
                NodeProcess(f"{name}-fe", "frontend", redis[name], *own, f"frontend.{there}")
            )
            for number in (1, 2):
                node = f"{name}-be{number}"
                database = f"backend.database=sqlite:///{directory / node}.db"
                self.backends.append(
                    NodeProcess(node, "backend", redis[name], *own, f"backend.{there}", database)
                )


@asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        redis = {name: (await stack.enter_async_context(run_redis_server())).url for name in ("dc1", "dc2")}
        links = {name: await stack.enter_async_context(Link(url).open()) for name, url in redis.items()}
        made = Cluster(redis, links, directory)
        for nodes in (
            made.dispatchers,
            made.frontends,
            made.backends,
        ):
            await stack.enter_async_context(running(*nodes))
        yield made


class People:
    """Those who like, each until each of their likes is answered, at any backend of theirs."""

    def __init__(self, likes: int) -> None:
        self.answered = 0
        self._left = iter(range(likes))
        self._more = trio.Event()

    async def person(self, number: int, backend: NodeProcess) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for like in self._left:
                headers = {"idempotency-key": str(like)}
                body = {"user": f"u{number}", "reaction": ("heart", "fire")[like % 2]}
                while True:
                    try:
                        url = f"{backend.url}/v1/videos/v/likes"
                        answer = await client.post(url, json=body, headers=headers)
                        if answer.status_code == 201:
                            break
                        assert answer.status_code == 503, answer.text
                    except httpx.HTTPError:
                        pass
                    await trio.sleep(0.05)  # it is dead, or its database is
                self.answered += 1
                self._more.set()
                self._more = trio.Event()

    async def wait_answered(self, count: int) -> None:
        while self.answered < count:
            await self._more.wait()


async def summaries(nodes: list[NodeProcess]) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return [(await client.get(f"{node.url}/v1/videos/v/summary")).json() for node in nodes]


async def level(on: Any, likes: int, until: Until) -> dict[str, Any]:
    """Return what all backends and frontends show, once it is the same and at least so many likes."""
    shown: list[dict[str, Any]] = []

    async def is_level() -> bool:
        shown[:] = await summaries([*on.backends, *on.frontends])
        return all(each == shown[0] for each in shown) and bool(shown[0]["likes"] >= likes)

    await until(is_level)
    return shown[0]


async def test_totals_are_exact_everywhere_after_cut_links_and_a_killed_backend(
    tmp_path: Path, until: Until
) -> None:
    with trio.fail_after(340):
        async with cluster(tmp_path) as on:
            people = People(LIKES)
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                for number, backend in enumerate(on.backends):
                    comment = {"user": "ada", "text": f"comment {number}"}
                    url = f"{backend.url}/v1/videos/v/comments"
                    assert (await client.post(url, json=comment)).status_code == 201
            async with trio.open_nursery() as nursery:
                for number in range(PEOPLE):
                    nursery.start_soon(people.person, number, on.backends[number % 4])
                await people.wait_answered(LIKES // 6)
                for link in on.links.values():
                    link.cut()
                await people.wait_answered(LIKES // 3)
                killed = on.backends[1]
                await killed.kill()
                await people.wait_answered(LIKES // 2)
                killed.start()
                await killed.wait_ready()
                await people.wait_answered(2 * LIKES // 3)
                for link in on.links.values():
                    link.mend()
            shown = await level(on, LIKES, until)
            assert shown["likes"] == LIKES
            assert shown["reactions"] == {"heart": (LIKES + 1) // 2, "fire": LIKES // 2}
            assert {each["text"] for each in shown["comments"]} == {f"comment {n}" for n in range(4)}
            # A total that was late would be among what the next likes bring.
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                for backend in on.backends:
                    answer = await client.post(f"{backend.url}/v1/videos/v/likes", json={"user": "last"})
                    assert answer.status_code == 201
            assert (await level(on, LIKES + 4, until))["likes"] == LIKES + 4
