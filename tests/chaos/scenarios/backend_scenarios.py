"""Likes backends whose database does not answer a COMMIT: PostgreSQL through a proxy, SQLite by kills."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import httpx
import trio

from tests.backend.postgres import Proxy, postgres, programs
from tests.chaos.harness import Node
from tests.chaos.runner import SETTLE, Play
from tests.chaos.scenarios.registry import scenario
from tests.chaos.viewer_processes import client
from tests.processes import running

PEOPLE = 4
ROUNDS = 6


class Losses:
    """Decides which COMMITs of an outbox' rows are not answered."""

    def __init__(self) -> None:
        self.is_due = threading.Event()
        self._has_inserted = threading.local()

    def __call__(self, asked: bytes) -> bool:
        """Called by the proxy in the connection's thread, with what the backend sends."""
        if self.is_due.is_set() and b"INSERT INTO outbox" in asked:
            self._has_inserted.value = True
        if getattr(self._has_inserted, "value", False) and b"COMMIT" in asked:
            self._has_inserted.value = False
            self.is_due.clear()
            return True
        return False


class People:
    """Comment through a backend, each comment until it is answered, with the same Idempotency-Key."""

    def __init__(self, play: Play, url: str) -> None:
        self.stored: dict[str, str] = {}  # the comment's user, unique here, by the event's id
        self.enough = False
        self._play = play
        self._url = url

    async def person(self, number: int) -> None:
        count = 0
        async with client() as http:
            while not self.enough:
                count += 1
                video = self._play.rng.choice(self._play.videos)
                key = f"c{number}-{count}"
                self._play.notes.send(video, [key])  # the judge expects it once at most; `check` at least
                while not await self._comment(http, video, key):  # noqa: ASYNC110  # another process
                    await trio.sleep(0.05)
                await trio.sleep(self._play.rng.uniform(0, 0.1))

    async def _comment(self, http: httpx.AsyncClient, video: str, key: str) -> bool:
        try:
            answer = await http.post(
                f"{self._url}/v1/videos/{video}/comments",
                json={"text": key, "user": key},
                headers={"idempotency-key": key},
                timeout=6,
            )
        except httpx.TransportError:
            return False
        if answer.status_code == 503:
            return False
        if answer.status_code != 201:
            self._play.notes.complaints.append(
                f"{key} was answered {answer.status_code}: {answer.text[:200]}"
            )
        elif answer.json()["id"] in self.stored:
            self._play.notes.complaints.append(f"{key} got the id of {self.stored[answer.json()['id']]}")
        else:
            self.stored[answer.json()["id"]] = key
        return True

    async def check(self) -> None:
        """Each comment that was answered has come to each viewer of its video."""
        videos = {request.keys[0]: request.video for request in self._play.notes.requests}
        with trio.move_on_after(SETTLE):
            for key in self.stored.values():
                for viewer in self._play.viewers:
                    if viewer.diary.video == videos[key]:
                        await viewer.wait_heard(key)
            return
        for key in self.stored.values():
            for viewer in self._play.viewers:
                if viewer.diary.video == videos[key] and key not in viewer.heard:
                    self._play.notes.complaints.append(
                        f"{viewer.diary.name} never received the comment {key}"
                    )


async def comment_while(play: Play, database: str, disturb: Callable[[Node], Awaitable[None]]) -> None:
    """Have people comment while the backend is disturbed."""
    dispatchers = ",".join(f'"{node.url}"' for node in play.stage.dispatchers)
    backend = Node(
        play.stage.directory, "dc1-be1", "backend", play.stage.redis_url, f"backend.database={database}",
        f"backend.dispatchers=[{dispatchers}]", "likes.each_up_to=inf",
    )  # fmt: skip
    people = People(play, backend.url)
    async with running(backend):
        async with trio.open_nursery() as nursery:
            for number in range(PEOPLE):
                nursery.start_soon(people.person, number)
            for _ in range(ROUNDS):
                await play.breathe()
                await disturb(backend)
            await play.breathe()
            people.enough = True
        await people.check()


@scenario()
async def commit_answers_lost(play: Play) -> None:
    """PostgreSQL commits what a likes backend stores, and the backend gets no answer."""
    binaries = programs()
    if binaries is None:
        play.notes.complaints.append("PostgreSQL is not installed (Debian: postgresql)")
        return
    losses = Losses()

    async def lose(backend: Node) -> None:
        losses.is_due.set()
        with trio.move_on_after(5):
            while losses.is_due.is_set():  # noqa: ASYNC110  # the proxy's threads
                await trio.sleep(0.02)

    server = postgres(binaries)
    url = await trio.to_thread.run_sync(server.__enter__)  # initdb takes seconds
    proxy = Proxy(url, losses)
    try:
        await comment_while(play, proxy.url, lose)
    finally:
        proxy.close()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(server.__exit__, None, None, None)
    if not proxy.lost:
        play.notes.complaints.append("no answer was lost")


@scenario()
async def backend_killed_committing(play: Play) -> None:
    """A likes backend is killed while SQLite commits, so that none of its callers is answered."""

    async def kill(backend: Node) -> None:
        await backend.kill()
        await backend.restart()

    await comment_while(play, f"sqlite:///{play.stage.directory / 'likes.db'}", kill)
