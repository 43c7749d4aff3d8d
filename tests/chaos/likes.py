"""Likes of two datacenters, with links cut and backends killed: `python -m tests.chaos.likes`.

In each datacenter a Redis, a dispatcher, a frontend and two likes backends with a database each; between the
two a link in each direction, which is a proxy. Users like through all four backends, each until each of their
likes is answered. Then every backend, frontend, viewer and page must show exactly as many likes as there
were, in both datacenters, and none may have shown more at any time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio
from playwright.sync_api import Page

from bench.http_client import is_whole
from bench.proxy import HOST, Proxy, open_proxy
from liveserver.client import Transport, Watcher, watch
from liveserver.cluster.redis_server import RedisServer, run_redis_server
from tests.chaos.datacenters import RELAY
from tests.chaos.harness import QUICK, Node, break_link
from tests.processes import running
from tests.web.browsers import running_browser

NAMES = ("dc1", "dc2")
PATIENCE = 120.0  # seconds until all totals are equal, after the faults are over
ANSWER = 10.0  # seconds that a like waits for its answer
REACTIONS = ("heart", "fire")
TRANSPORTS: tuple[Transport, ...] = ("sse", "poll", "ws")
VIDEO = "v"


class World:
    """The datacenters; `links` by who listens, `backends` all four."""

    def __init__(self) -> None:
        self.redis: dict[str, RedisServer] = {}
        self.links: dict[str, Proxy] = {}
        self.dispatchers: list[Node] = []
        self.frontends: list[Node] = []
        self.backends: list[Node] = []


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """Yield all of it, ready; the nodes' logs and databases are in `directory`."""
    world = World()
    async with AsyncExitStack() as stack:
        for name in NAMES:
            world.redis[name] = await stack.enter_async_context(run_redis_server())
        for name, peer in (NAMES, NAMES[::-1]):
            world.links[name] = await stack.enter_async_context(open_proxy(world.redis[peer].port))
        for name, peer in (NAMES, NAMES[::-1]):
            own, url = (*QUICK, f"node.datacenter={name}"), world.redis[name].url
            link = f"peers.{peer}.url=redis://{HOST}:{world.links[name].port}/0"
            dispatcher = Node(directory, f"{name}-di", "dispatcher", url, *own, link, *RELAY)
            there = f'dispatchers=["{dispatcher.url}"]'
            world.dispatchers.append(dispatcher)
            pages = 'edge.allow_origins=["*"]'
            world.frontends.append(
                Node(directory, f"{name}-fe", "frontend", url, *own, pages, f"frontend.{there}")
            )
            for number in (1, 2):
                node = f"{name}-be{number}"
                database = f"backend.database=sqlite:///{directory / node}.db"
                world.backends.append(
                    Node(directory, node, "backend", url, *own, f"backend.{there}", database)
                )
        for nodes in (world.dispatchers, world.frontends, world.backends):
            await stack.enter_async_context(running(*nodes))
        yield world


class Users:
    """Users, and how many of their likes were answered."""

    def __init__(self, likes: int) -> None:
        self.likes = likes
        self.answered = 0
        self._left: Iterator[int] = iter(range(likes))
        self._more = trio.Event()

    async def like(self, user: str, backend: Node) -> None:
        """Send likes over one connection, each again until it is answered, while any are left."""
        stream: trio.SocketStream | None = None
        try:
            for like in self._left:
                request = _like_request(backend, user, REACTIONS[like % 2], str(like))
                while True:
                    answer = b""
                    with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(ANSWER):
                        if stream is None:
                            stream = await trio.open_tcp_stream(HOST, backend.port)
                        answer = await _ask(stream, request)
                    if answer.startswith(b"HTTP/1.1 201"):
                        break
                    if stream is not None:
                        await trio.aclose_forcefully(stream)
                        stream = None
                    if answer and not answer.startswith(b"HTTP/1.1 503"):
                        raise AssertionError(f"{user} was answered {answer[:300].decode()}")
                    await trio.sleep(0.05)  # the backend is dead, or its database is
                self.answered += 1
                self._more.set()
                self._more = trio.Event()
        finally:
            if stream is not None:
                await trio.aclose_forcefully(stream)

    async def wait_answered(self, count: int) -> None:
        while self.answered < count:
            await self._more.wait()


def _like_request(backend: Node, user: str, reaction: str, key: str) -> bytes:
    body = msgspec.json.encode({"user": user, "reaction": reaction})
    head = (
        f"POST /v1/videos/{VIDEO}/likes HTTP/1.1\r\nhost: {HOST}:{backend.port}\r\n"
        f"content-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _ask(stream: trio.SocketStream, request: bytes) -> bytes:
    """Return the answer; what there was of it if the connection ended."""
    await stream.send_all(request)
    answer = b""
    while not is_whole(answer):
        data = await stream.receive_some()
        if not data:
            return b""
        answer += data
    return answer


class Shown:
    """What one viewer or page shows: now, and at most so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.likes = self.most = 0

    def set(self, likes: int) -> None:
        self.likes = likes
        self.most = max(self.most, likes)


async def view(shown: Shown, url: str, transport: Transport) -> None:
    """Watch, and note the sum of all totals."""
    async with watch(url, VIDEO, transport=transport) as watcher:
        async for _ in watcher:
            shown.set(_sum_of_totals(watcher))


def _sum_of_totals(watcher: Watcher) -> int:
    totals: list[Any] = [
        event.data["total"] for key, event in watcher.state.items() if key.startswith("likes/")
    ]
    return sum(sum(total.values()) for total in totals)


class Pages:
    """The page of a backend in each datacenter, in Chromium, in a thread of its own."""

    def __init__(self, world: World) -> None:
        self.shown = [Shown(f"the page in {name}") for name in NAMES]
        self._urls = [
            f"{world.backends[2 * number].url}/?video={VIDEO}&frontends={world.frontends[number].url}"
            for number in range(len(NAMES))
        ]
        self._open = threading.Event()
        self._done = threading.Event()

    async def run(self) -> None:
        """Note what the pages show until cancelled."""
        try:
            await trio.to_thread.run_sync(self._watch, abandon_on_cancel=True)
        finally:
            self._done.set()

    async def wait_open(self) -> None:
        assert await trio.to_thread.run_sync(self._open.wait, PATIENCE, abandon_on_cancel=True), "not open"

    def _watch(self) -> None:
        with running_browser() as browser:
            pages: list[Page] = []
            for url in self._urls:
                pages.append(browser.new_context(reduced_motion="reduce").new_page())
                pages[-1].set_default_timeout(PATIENCE * 1000)
                pages[-1].goto(url)
                pages[-1].locator('#live[data-state="live"]').wait_for()
                # Its numbers count, and painting them takes the core that the nodes need.
                pages[-1].evaluate("document.body.hidden = true")
            self._open.set()
            while not self._done.wait(0.5):
                for page, shown in zip(pages, self.shown, strict=True):
                    shown.set(int(page.locator("#count").get_attribute("data-exact") or 0))


async def break_things(world: World, users: Users, rng: random.Random) -> None:
    """Cut each link and kill backends while likes are answered; return when all is mended."""
    acts: list[Callable[[], Awaitable[None]]] = []
    acts += [partial(break_link, world.links[name], rng, 6) for name in NAMES]
    acts += [partial(kill, node, rng) for node in rng.sample(world.backends, 3)]
    rng.shuffle(acts)
    async with trio.open_nursery() as nursery:
        for number, act in enumerate(acts, 1):
            # All of it in the first two thirds; the next begins whether the last is mended or not.
            await users.wait_answered(int(users.likes * number / (1.5 * len(acts) + 1.5)))
            nursery.start_soon(act)


async def kill(node: Node, rng: random.Random) -> None:
    await node.kill()
    await trio.sleep(rng.uniform(0, 2))
    await node.restart()


async def play(seed: int, likes: int, users: int, directory: Path, *, browser: bool) -> list[str]:
    """Play one round; return what went wrong."""
    rng = random.Random(seed)
    async with open_world(directory) as world, trio.open_nursery() as nursery:
        viewers = [
            (Shown(f"{transport} in {name}"), frontend.url, transport)
            for name, frontend in zip(NAMES, world.frontends, strict=True)
            for transport in TRANSPORTS
        ]
        for viewer in viewers:
            nursery.start_soon(view, *viewer)
        everyone = [shown for shown, _, _ in viewers]
        if browser:
            pages = Pages(world)
            nursery.start_soon(pages.run)
            await pages.wait_open()
            everyone += pages.shown
        likers = Users(likes)
        await comment(world)
        async with trio.open_nursery() as liking:
            for number in range(users):
                liking.start_soon(likers.like, f"u{number}", world.backends[number % len(world.backends)])
            liking.start_soon(break_things, world, likers, rng)
        complaints = await judge(world, everyone, likes)
        # A total that is late would be among what the next likes bring.
        for backend in world.backends:
            await Users(1).like("late", backend)
        complaints += await judge(world, everyone, likes, later=len(world.backends))
        nursery.cancel_scope.cancel()
    return complaints


async def comment(world: World) -> None:
    """Comment once at each backend."""
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER) as client:
        for number, backend in enumerate(world.backends):
            body = {"user": "ada", "text": f"comment {number}"}
            answer = await client.post(f"{backend.url}/v1/videos/{VIDEO}/comments", json=body)
            answer.raise_for_status()


async def judge(world: World, everyone: list[Shown], likes: int, later: int = 0) -> list[str]:
    """Wait until everything shows the same; return what is wrong. The `later` ones are hearts."""
    want: dict[str, Any] = {
        "likes": likes + later,
        "reactions": {"heart": (likes + 1) // 2 + later, "fire": likes // 2},
        "comments": {f"comment {number}" for number in range(len(world.backends))},
    }
    found: list[str] = []
    with trio.move_on_after(PATIENCE):
        while found := await differences(world, everyone, want):  # noqa: ASYNC110  # of other processes
            await trio.sleep(0.2)
    return found + shown_too_many(everyone, want["likes"])


async def differences(world: World, everyone: list[Shown], want: dict[str, Any]) -> list[str]:
    """Return how what is shown differs from what there is."""
    found = []
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER) as client:
        for node in (*world.backends, *world.frontends):
            try:
                answer = await client.get(f"{node.url}/v1/videos/{VIDEO}/summary")
            except httpx.HTTPError as error:
                found.append(f"{node.name} has no summary: {error!r}")
                continue
            found += wrong_in(node.name, answer.json(), want)
    found += [
        f"{shown.name}: {shown.likes} likes, and not {want['likes']}"
        for shown in everyone
        if shown.likes != want["likes"]
    ]
    return found


def wrong_in(name: str, summary: dict[str, Any], want: dict[str, Any]) -> list[str]:
    """Return how a summary differs from what there is."""
    is_here = {**summary, "comments": {each["text"] for each in summary["comments"]}}
    return [
        f"{name}: {field} {is_here[field]}, and not {value}"
        for field, value in want.items()
        if is_here[field] != value
    ]


def shown_too_many(everyone: list[Shown], likes: int) -> list[str]:
    """Return which viewers have shown more than there were."""
    return [f"{shown.name} showed {shown.most} likes, of {likes}" for shown in everyone if shown.most > likes]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m tests.chaos.likes --likes 200000 --seeds 20",
    )
    parser.add_argument("--seed", type=int, help="the (first) seed; otherwise a random one, which is printed")
    parser.add_argument("--seeds", type=int, default=1, metavar="K", help="that many, one after the other")
    parser.add_argument("--likes", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--no-browser", action="store_true", help="without the pages in Chromium")
    options = parser.parse_args()
    first = random.randrange(1_000_000) if options.seed is None else options.seed
    failed = 0
    for seed in range(first, first + options.seeds):
        directory = Path(tempfile.mkdtemp(prefix="liveserver-chaos-likes-"))
        began = time.monotonic()
        complaints = trio.run(_play, seed, options, directory)
        word = "failed" if complaints else "passed"
        print(f"{word}  seed {seed}  {options.likes} likes  {time.monotonic() - began:.0f} s  {directory}")
        for complaint in complaints[:20]:
            print(f"    {complaint}")
        sys.stdout.flush()
        failed += bool(complaints)
    print(f"{options.seeds - failed} of {options.seeds} passed")
    return 1 if failed else 0


async def _play(seed: int, options: argparse.Namespace, directory: Path) -> list[str]:
    return await play(seed, options.likes, options.users, directory, browser=not options.no_browser)


if __name__ == "__main__":
    sys.exit(main())
