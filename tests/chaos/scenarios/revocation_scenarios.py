"""Revoked tokens while links break, Redis forgets and frontends die."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import httpx
import jwt
import trio

from bench.proxy import HOST, Proxy, open_proxy
from tests.chaos.harness import Node
from tests.chaos.runner import SETTLE, Play
from tests.chaos.scenarios.registry import scenario
from tests.chaos.viewer_processes import client
from tests.processes import running

SECRET = "a-secret-of-the-site-of-32-bytes-or-more"
VIDEO = "/v1/videos/guarded"  # which the viewers of the scenario do not watch
USERS = ("ada", "bob", "eve", "hal")
REFUSED = 401


class Guarded:
    """Two frontends at which viewers have tokens, and the users whose tokens were revoked."""

    def __init__(self, play: Play, http: httpx.AsyncClient, frontends: list[Node]) -> None:
        self.frontends = frontends
        self.revoked: set[str] = set()
        self.ended: dict[tuple[str, str], str] = {}  # (frontend, user) → what its stream ended with
        self._play = play
        self._http = http
        self._changed = trio.Event()
        now = int(time.time())
        self._tokens = {
            user: jwt.encode({"sub": user, "videos": ["*"], "iat": now, "exp": now + 3600}, SECRET, "HS256")
            for user in USERS
        }

    async def watch(self, frontend: Node, user: str) -> None:
        """Keep a stream until it ends, and note with what."""
        words = ""
        try:
            async with self._http.stream(
                "GET", f"{frontend.url}{VIDEO}/events", headers=self._header(user), timeout=None
            ) as answer:
                async for line in answer.aiter_lines():
                    words = line if '"reason"' in line else words
        except httpx.TransportError:
            pass
        self.ended[frontend.name, user] = words
        self._changed.set()
        self._changed = trio.Event()

    def _header(self, user: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._tokens[user]}"}

    async def revoke(self, user: str) -> None:
        """Revoke a user's tokens at a dispatcher; repeat it until it is in the log."""
        answer = ""
        before = {"before": int(time.time() + 60) * 1000}
        with trio.move_on_after(SETTLE):
            while True:
                node = self._play.rng.choice(self._play.stage.dispatchers)
                url = f"{node.url}/v1/revocations/users/{user}"
                try:
                    found = await self._http.put(url, json=before, timeout=10)
                except httpx.TransportError as error:
                    answer = repr(error)
                else:
                    if found.is_success:
                        self.revoked.add(user)
                        return
                    answer = f"{found.status_code} {found.text[:200]}"
                await trio.sleep(0.1)
        self.complain(f"the tokens of {user} were not revoked within {SETTLE:g} s: {answer}")

    def complain(self, text: str) -> None:
        self._play.notes.complaints.append(text)

    async def _poll(self, frontend: Node, user: str) -> int:
        """Return how a poll is answered; 0: not at all."""
        try:
            answer = await self._http.get(
                f"{frontend.url}{VIDEO}/poll?cursor=earliest&wait=0", headers=self._header(user), timeout=10
            )
        except httpx.TransportError:
            return 0
        return answer.status_code

    async def check_known(self, frontend: Node, revoked: set[str], when: str) -> None:
        """What a frontend has known holds, whatever it can read just now."""
        for user in sorted(revoked):
            if await self._poll(frontend, user) == 200:
                self.complain(f"{frontend.name} took the token of {user} {when}, and it knew better")

    async def level(self, when: str) -> None:
        """Wait until each frontend refuses the revoked tokens, and takes the others."""
        answers = {(frontend, user): 0 for frontend in self.frontends for user in USERS}
        with trio.move_on_after(SETTLE):
            while answers:
                for frontend, user in list(answers):
                    answers[frontend, user] = await self._poll(frontend, user)
                    if answers[frontend, user] == self._expected(user):
                        del answers[frontend, user]
                await trio.sleep(0.1)
        for (frontend, user), status in answers.items():
            self.complain(
                f"{frontend.name}: {user} had {status}, not {self._expected(user)}, for {SETTLE:g} s {when}"
            )

    def _expected(self, user: str) -> int:
        return REFUSED if user in self.revoked else 200

    async def check_streams(self, killed: set[str]) -> None:
        """Wait until the streams of revoked tokens have ended, with the reason; those of others go on."""
        expected = {(each.name, user) for each in self.frontends for user in self.revoked}
        with trio.move_on_after(SETTLE):
            while not expected <= self.ended.keys():
                await self._changed.wait()
        for frontend, user in sorted(expected):
            words = self.ended.get((frontend, user))
            if words is None or ("revoked" not in words and frontend not in killed):
                self.complain(f"the stream of {user} at {frontend} ended with {words!r}")
        for (frontend, user), words in self.ended.items():
            if user not in self.revoked and frontend not in killed:
                self.complain(f"the stream of {user} at {frontend} ended with {words!r}, and was not revoked")


@scenario(losses=1)
async def revocations(play: Play) -> None:
    """Revoked tokens stay refused through a cut link, a Redis with older data and killed frontends."""
    dispatchers = ",".join(f'"{node.url}"' for node in play.stage.dispatchers)
    async with AsyncExitStack() as stack:
        links: list[Proxy] = []
        frontends: list[Node] = []
        for number in (1, 2):
            links.append(await stack.enter_async_context(open_proxy(play.stage.redis.port)))
            frontends.append(
                Node(
                    play.stage.directory, f"dc1-tf{number}", "frontend",
                    f"redis://{HOST}:{links[-1].port}/0", f"frontend.dispatchers=[{dispatchers}]",
                    "auth.viewers=token", f"auth.secret={SECRET}", "bus.timeout=1s",
                )
            )  # fmt: skip
        await stack.enter_async_context(running(*frontends))
        http = await stack.enter_async_context(client())
        on = Guarded(play, http, frontends)
        await on.level("before anything was revoked")
        async with trio.open_nursery() as nursery:
            for frontend in frontends:
                for user in USERS:
                    nursery.start_soon(on.watch, frontend, user)
            await on.revoke("ada")
            await on.level("when all is well")
            killed = await cut_link(play, on, links)
            await forget(play, on, killed)
            await on.check_streams(killed)
            nursery.cancel_scope.cancel()


async def cut_link(play: Play, on: Guarded, links: list[Proxy]) -> set[str]:
    """A frontend cannot read the log while a token is revoked; return its name if it was killed."""
    away = play.rng.randrange(2)
    there = on.frontends[away]
    known = on.revoked.copy()
    killed: set[str] = set()
    await links[away].refuse()
    links[away].reset()
    await on.revoke("bob")
    await on.check_known(there, known, "behind a cut link")
    if play.rng.random() < 0.5:
        killed.add(there.name)
        await there.kill()
        there.start()  # not ready while Redis is away
        await play.breathe(1.0)
        await on.check_known(there, on.revoked, "killed behind a cut link")
    await links[away].heal()
    if killed:
        await there.wait_ready()
    await on.level("after the link was mended")
    return killed


async def forget(play: Play, on: Guarded, killed: set[str]) -> None:
    """Redis comes back with data from before the last revocation; a frontend may be killed meanwhile."""
    copy = await play.stage.copy_redis()
    await on.revoke("eve")
    await on.level("before Redis died")
    await play.stage.stop_redis(kill=True)
    await play.stage.replace_redis_data(copy)
    for frontend in on.frontends:
        await on.check_known(frontend, on.revoked, "while Redis was away")
    await play.stage.start_redis()
    for _ in range(3):
        for frontend in on.frontends:
            await on.check_known(frontend, on.revoked, "after Redis came back with older data")
        await play.breathe(0.5)
    await on.level("after Redis came back with older data")
    restarted = play.rng.choice([*on.frontends, None])
    if restarted is not None:
        killed.add(restarted.name)
        await restarted.kill()
        await restarted.restart()
    await on.level("in the end")
