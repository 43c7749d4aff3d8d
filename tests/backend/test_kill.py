"""A likes backend killed at random moments, under load: what it answered is there, and is shown once.

A dispatcher with a frontend outlives it, so what was shown is what they have in their log.
LIVESERVER_TEST_KILLS is how often.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from sqlalchemy import text

from liveserver.backend.engine import open_engine
from tests.backend.postgres import postgres, programs
from tests.processes import NodeProcess, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(360)]

KILLS = int(os.environ.get("LIVESERVER_TEST_KILLS", "5"))
CLIENTS = 12
BETWEEN_KILLS = 120  # answers, at most
NO_REDIS = "redis://127.0.0.1:1/0"


class Users:
    """Users who like and comment until `enough`.

    Those with keys repeat until they are answered; the others don't.
    """

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1/videos/v/"
        self.answered: list[str] = []
        self.keys: dict[str, str] = {}
        self.lost = 0
        self.enough = False
        self._more = trio.Event()
        # No connection is tried without a listener: one to a free port may meet itself, and keep it.
        self.is_up = trio.Event()
        self.is_up.set()

    async def like_as(self, number: int) -> None:
        has_key = number % 3 > 0
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            count = 0
            while not self.enough:
                count += 1
                key = f"{number}-{count}" if has_key else ""
                path, body = ("comments", {"text": key or "hi"}) if count % 10 == 0 else ("likes", {})
                made = await self._post(client, path, body, key)
                while made is None and has_key:
                    made = await self._post(client, path, body, key)
                if made is None:
                    self.lost += 1
                    continue
                self.answered.append(made)
                self._more.set()
                self._more = trio.Event()
                if has_key:
                    self.keys[key] = made

    async def _post(self, client: httpx.AsyncClient, path: str, body: Any, key: str) -> str | None:
        """The event's id; None when there is no answer."""
        await self.is_up.wait()
        try:
            headers = {"idempotency-key": key} if key else {}
            answer = await client.post(self.url + path, json=body, headers=headers)
        except httpx.HTTPError:
            return None
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def wait_answered(self, count: int) -> None:
        while len(self.answered) < count:
            await self._more.wait()


async def shown(url: str, count: int) -> list[dict[str, Any]]:
    """The whole log of the video, once it holds so many events; and what else comes within a second."""
    events: list[dict[str, Any]] = []
    cursor = "earliest"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        while True:
            wait = 20 if len(events) < count else 1
            answer = await client.get(f"{url}/v1/videos/v/poll?cursor={cursor}&wait={wait}")
            page = answer.json()
            assert not page["gap"]
            if not page["events"]:
                return events
            events += [event for event in page["events"] if event["type"] != "likes"]
            cursor = page["cursor"]


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    engine = open_engine(url, writes=False)
    try:
        with engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'liveserver.db'}"
        return
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres(binaries) as url:
        yield url


async def test_nothing_answered_is_missing_and_nothing_is_shown_twice(database: str) -> None:
    dispatcher = NodeProcess(
        "dispatcher",
        "dispatcher",
        NO_REDIS,
        "bus.kind=memory",
        'node.roles=["dispatcher","frontend"]',
        "history.max_events=100000",
    )
    backend = NodeProcess(
        "backend",
        "backend",
        NO_REDIS,
        f"backend.database={database}",
        f'backend.dispatchers=["{dispatcher.url}"]',
        "likes.each_up_to=inf",
    )
    users = Users(backend.url)
    with trio.fail_after(290 + 10 * KILLS):
        async with running(dispatcher, backend):
            async with trio.open_nursery() as nursery:
                for number in range(CLIENTS):
                    nursery.start_soon(users.like_as, number)
                for _ in range(KILLS):
                    await users.wait_answered(len(users.answered) + random.randint(1, BETWEEN_KILLS))
                    users.is_up = trio.Event()
                    await backend.kill()
                    backend.start()
                    await backend.wait_ready()
                    users.is_up.set()
                await users.wait_answered(len(users.answered) + 100)
                users.enough = True
            stored = rows(database, "select id from likes union all select id from comments")
            events = await shown(dispatcher.url, len(stored))
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                summary = (await client.get(users.url + "summary")).json()
    times = Counter(event["id"] for event in events)
    assert set(times.values()) == {1}
    answered = set(users.answered)
    assert answered <= set(times)
    # A request that is repeated until it is answered is stored exactly once.
    assert len(set(users.keys.values())) == len(users.keys)
    # Clients without an answer that did not repeat their request may have stored more.
    assert len(times) - len(answered) <= users.lost
    assert Counter(name for (name,) in stored) == times
    likes = sum(event["type"] == "like" for event in events)
    assert summary["likes"] == likes == rows(database, "select sum(total) from totals")[0][0]
    said = f"{len(answered)} answered, {users.lost} lost, of which {len(times) - len(answered)} were stored"
    print(f"{KILLS} kills: {said}")


async def ready(backend: NodeProcess, expected: int) -> dict[str, Any]:
    """What readiness says, once its status is the expected one."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        while True:
            answer = await client.get(f"{backend.ops_url}/readyz")
            if answer.status_code == expected:
                return dict(answer.json()["checks"])
            await trio.sleep(0.1)


class PipedProcess(NodeProcess):
    """A node that logs into a pipe, to which a limit on the size of files does not apply."""

    def __init__(self, name: str, roles: str, redis_url: str, *settings: str) -> None:
        super().__init__(name, roles, redis_url, *settings)
        self._reading, self.output = os.pipe()
        os.set_blocking(self._reading, False)
        self._text = b""

    def __del__(self) -> None:
        super().__del__()
        os.close(self._reading)
        os.close(self.output)

    @property
    def log(self) -> str:
        with suppress(BlockingIOError):
            while data := os.read(self._reading, 65536):
                self._text += data
        return self._text.decode(errors="replace")


async def test_a_disk_on_which_nothing_more_can_be_written_turns_readiness_red(tmp_path: Path) -> None:
    backend = PipedProcess(
        "backend",
        "backend",
        NO_REDIS,
        f"backend.database=sqlite:///{tmp_path / 'liveserver.db'}",
        'backend.dispatchers=["http://127.0.0.1:1"]',
    )
    with trio.fail_after(300):
        async with running(backend), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            likes = f"{backend.url}/v1/videos/v/likes"
            assert (await client.post(likes, json={})).json()["total"] == 1
            assert backend.process is not None
            pid, unlimited = backend.process.pid, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            red = await ready(backend, 503)
            assert (red["database"]["ok"], red["accepting"]["ok"]) == (False, True)
            assert "does not store" in red["database"]["detail"]
            assert (await client.post(likes, json={})).status_code == 503
            resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
            await ready(backend, 200)
            assert (await client.post(likes, json={})).json()["total"] == 2


FAKETIME = max(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), default=None)


class FakeTimeProcess(NodeProcess):
    """A node whose clock is off by `offset`, which libfaketime understands; its monotonic clock is right."""

    offset = "+0"

    def start(self) -> None:
        assert FAKETIME is not None
        faked = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": self.offset,
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=self.output,
            stderr=self.output,
            env={**os.environ, **faked},
        )


@pytest.mark.parametrize(("before", "after"), [("+3600", "+0"), ("+0", "+3600"), ("-3600", "+3600")])
async def test_what_was_stored_by_another_clock_is_published(before: str, after: str, tmp_path: Path) -> None:
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed")
    dispatcher = NodeProcess(
        "dispatcher", "dispatcher", NO_REDIS, "bus.kind=memory", 'node.roles=["dispatcher","frontend"]'
    )
    backend = FakeTimeProcess(
        "backend",
        "backend",
        NO_REDIS,
        f"backend.database=sqlite:///{tmp_path / 'liveserver.db'}",
        f'backend.dispatchers=["{dispatcher.url}"]',
    )
    backend.offset = before
    with trio.fail_after(300):
        async with running(backend), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            key = {"idempotency-key": "k"}
            likes = f"{backend.url}/v1/videos/v/likes"
            made = [(await client.post(likes, json={})).json()["id"] for _ in range(10)]
            first = (await client.post(likes, json={}, headers=key)).json()
            await backend.kill()
            backend.offset = after
            backend.start()
            await backend.wait_ready()
            async with running(dispatcher):
                again = (await client.post(likes, json={}, headers=key)).json()
                assert again == first, "an hour by the stepped clock does not count"
                events: list[dict[str, Any]] = []
                while len(events) < 11:  # until the outbox tries the dispatcher again
                    events = await shown(dispatcher.url, 11)
            assert [event["id"] for event in events] == [*made, first["id"]]
