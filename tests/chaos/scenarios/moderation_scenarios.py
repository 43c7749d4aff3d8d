"""Settings and bans while links break, Redis forgets and backends die."""

from __future__ import annotations

from contextlib import AsyncExitStack

import httpx
import trio

from bench.proxy import HOST, Proxy, open_proxy
from tests.chaos.harness import Node
from tests.chaos.runner import SETTLE, Play
from tests.chaos.scenarios.registry import scenario
from tests.chaos.viewer_processes import client
from tests.processes import running

VIDEO = "/v1/videos/moderated"  # which the viewers of the scenario do not watch
USERS = ("ada", "bob", "eve")


class Moderated:
    """Two backends with a database each, and what a moderator has said last."""

    def __init__(self, play: Play, http: httpx.AsyncClient, backends: list[Node]) -> None:
        self.backends = backends
        self.is_closed = False
        self.banned: frozenset[str] = frozenset()
        self._play = play
        self._http = http

    @property
    def refused(self) -> frozenset[str]:
        """The users who may not comment."""
        return frozenset(USERS) if self.is_closed else self.banned

    async def act(self, at: str, *, stricter: bool | None = None) -> None:
        """Change something at a node; repeat it until it is in the feed."""
        rng = self._play.rng
        if stricter is None:
            stricter = rng.random() < 0.6
        if rng.random() < 0.3:
            self.is_closed = stricter
            comments = "closed" if stricter else "open"
            await self._ask("PUT", f"{at}{VIDEO}/settings", {"comments": comments})
            return
        user = rng.choice(USERS)
        self.banned = self.banned | {user} if stricter else self.banned - {user}
        if stricter:
            await self._ask("PUT", f"{at}{VIDEO}/bans/{user}", {"reason": "chaos"})
        else:
            await self._ask("DELETE", f"{at}{VIDEO}/bans/{user}", None)

    async def _ask(self, method: str, url: str, body: object) -> None:
        answer = ""
        with trio.move_on_after(SETTLE):
            while True:
                try:
                    found = await self._http.request(method, url, json=body, timeout=10)
                except httpx.TransportError as error:
                    answer = repr(error)
                else:
                    if found.is_success:
                        return
                    answer = f"{found.status_code} {found.text[:200]}"
                await trio.sleep(0.1)
        self._play.notes.complaints.append(f"{method} {url} was not done within {SETTLE:g} s: {answer}")

    async def _comment(self, backend: Node, user: str) -> int:
        """Return how a comment is answered; 0: not at all."""
        try:
            answer = await self._http.post(
                f"{backend.url}{VIDEO}/comments", json={"text": "hi", "user": user}, timeout=10
            )
        except httpx.TransportError:
            return 0
        return answer.status_code

    async def check_known(self, backend: Node, refused: frozenset[str], when: str) -> None:
        """What a backend has known holds, whatever it can read just now."""
        for user in sorted(refused):
            if (status := await self._comment(backend, user)) == 201:
                self._play.notes.complaints.append(
                    f"{backend.name} took a comment of {user} {when}: {status}, and it knew better"
                )

    async def level(self, when: str) -> None:
        """Wait until each backend enforces the newest."""
        missing = [
            (backend, user, 403 if user in self.refused else 201)
            for backend in self.backends
            for user in USERS
        ]
        with trio.move_on_after(SETTLE):
            while missing:
                missing = [each for each in missing if await self._comment(each[0], each[1]) != each[2]]
                await trio.sleep(0.1)
        for backend, user, status in missing:
            self._play.notes.complaints.append(
                f"{backend.name} did not answer {user} {status} within {SETTLE:g} s {when}"
            )

    async def restart(self, backend: Node) -> None:
        await backend.kill()
        await backend.restart()


@scenario(losses=1)
async def moderation(play: Play) -> None:
    """Settings and bans hold through a cut link, a Redis with older data, and backends that are killed."""
    dispatchers = ",".join(f'"{node.url}"' for node in play.stage.dispatchers)
    async with AsyncExitStack() as stack:
        links: list[Proxy] = []
        backends: list[Node] = []
        for number in (1, 2):
            links.append(await stack.enter_async_context(open_proxy(play.stage.redis.port)))
            database = play.stage.directory / f"be{number}.db"
            backends.append(
                Node(
                    play.stage.directory, f"dc1-be{number}", "backend",
                    f"redis://{HOST}:{links[-1].port}/0", f"backend.dispatchers=[{dispatchers}]",
                    f"backend.database=sqlite:///{database}", "bus.timeout=1s",
                )
            )  # fmt: skip
        await stack.enter_async_context(running(*backends))
        http = await stack.enter_async_context(client())
        on = Moderated(play, http, backends)
        nodes = [node.url for node in (*backends, *play.stage.dispatchers)]
        for _ in range(3):
            await on.act(play.rng.choice(nodes))
        await on.level("when all is well")
        await cut_link(play, on, links)
        await forget(play, on, nodes)


async def cut_link(play: Play, on: Moderated, links: list[Proxy]) -> None:
    """A backend cannot read the log while another's moderator acts; it may be killed meanwhile."""
    away = play.rng.randrange(2)
    here, there = on.backends[1 - away], on.backends[away]
    known = on.refused
    await links[away].refuse()
    links[away].reset()
    for _ in range(play.rng.randint(1, 3)):
        await on.act(here.url)
    await on.check_known(there, known, "behind a cut link")
    if play.rng.random() < 0.7:
        await on.restart(there)
        await on.check_known(there, known, "killed behind a cut link")
    await links[away].heal()
    await on.level("after the link was mended")


async def forget(play: Play, on: Moderated, nodes: list[str]) -> None:
    """Redis comes back with data from before the last acts; a backend may be killed meanwhile."""
    copy = await play.stage.copy_redis()
    for _ in range(play.rng.randint(1, 4)):
        await on.act(play.rng.choice(nodes))
    await on.level("before Redis died")
    await play.stage.stop_redis(kill=True)
    await play.stage.replace_redis_data(copy)
    for backend in on.backends:
        await on.check_known(backend, on.refused, "while Redis was away")
    killed = play.rng.choice([*on.backends, None])
    if killed is not None:
        await on.restart(killed)
        await on.check_known(killed, on.refused, "killed while Redis was away")
    await play.stage.start_redis()
    for _ in range(3):
        for backend in on.backends:
            await on.check_known(backend, on.refused, "after Redis came back with older data")
        await play.breathe(0.5)
    await on.level("after Redis came back with older data")
    await on.act(play.rng.choice(nodes))
    await on.level("in the end")
