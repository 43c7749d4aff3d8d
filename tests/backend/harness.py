"""A store on a temporary file, and scripted dispatchers."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import trio

from liveserver.backend.commands import Comment, Like
from liveserver.backend.store import Store
from liveserver.config import BackendSettings, LikeSettings, convert


def settings(**values: Any) -> BackendSettings:
    return convert(values, BackendSettings)


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 1_763_862_000.0

    def __call__(self) -> float:
        return self.now


def open_store(
    directory: Path,
    clock: Clock | None = None,
    monotonic: Clock | None = None,
    likes: LikeSettings | None = None,
    **values: Any,
) -> Store:
    url = f"sqlite:///{directory / 'likes.db'}"
    each = LikeSettings(each_up_to=math.inf)
    return Store(url, settings(**values), clock or Clock(), monotonic or Clock(), likes or each)


def look(directory: Path, query: str) -> list[tuple[Any, ...]]:
    """What the file has, past the store."""
    connection = sqlite3.connect(directory / "likes.db")
    try:
        found = connection.execute(query).fetchall()
        connection.commit()
        return found
    finally:
        connection.close()


def like(video: str = "v", reaction: str = "heart", key: str | None = None) -> Like:
    return Like(video, "u1", reaction, key)


def comment(text: str = "hi", video: str = "v", key: str | None = None) -> Comment:
    return Comment(video, "u1", text, key)


class FakeDispatcher:
    """Takes what it is given and, like the real one, knows the ids of what it already has.

    `failures` are raised one after the other, before or, when `loses_answers`, after the events were taken.
    """

    def __init__(self, failures: Iterable[Exception] = (), *, loses_answers: bool = False) -> None:
        self.taken: list[dict[str, Any]] = []
        self.retractions: list[bool] = []
        self.asked = 0
        self._failures = list(failures)
        self._loses_answers = loses_answers
        self._changed = trio.Event()

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.taken]

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        failure = self._failures.pop(0) if self._failures else None
        if failure is not None and not self._loses_answers:
            raise failure
        known = {(event["video"], event["id"]) for event in self.taken}
        events = msgspec.json.decode(body)
        self.taken += [event for event in events if (event["video"], event["id"]) not in known]
        self.retractions.append(retractions)
        self._changed.set()
        self._changed = trio.Event()
        if failure is not None:
            raise failure
        return 0

    async def wait_taken(self, count: int) -> None:
        with trio.fail_after(100):
            while len(self.taken) < count:
                await self._changed.wait()
