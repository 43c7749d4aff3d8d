"""Helpers of the tests of the Redis bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis
import trio

from liveserver.bus.interface import AppendRequest, AppendResult, Inbox
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, Duration, HistorySettings
from liveserver.errors import BusError
from liveserver.event import Batch


@asynccontextmanager
async def open_bus(
    url: str, *, answer_in: float = 60, ephemeral_types: list[str] | None = None, **history: float
) -> AsyncIterator[RedisBus]:
    seconds = {name: Duration(value) for name, value in history.items()}
    settings = HistorySettings(ephemeral_types=ephemeral_types or [], **seconds)  # type: ignore[arg-type]
    async with RedisBus.open("dc1", BusSettings(url=url, timeout=Duration(answer_in)), settings) as bus:
        yield bus


def parcel(token: str, *lines: str, video: str = "v", ids: list[str | None] | None = None) -> AppendRequest:
    return AppendRequest(
        video, token, [f"like {line}".encode() for line in lines], ids or [None] * len(lines)
    )


async def append(bus: RedisBus, token: str, *lines: str) -> AppendResult:
    (receipt,) = await bus.append([parcel(token, *lines)])
    return receipt


async def append_at_last(bus: RedisBus, token: str, *lines: str) -> AppendResult:
    """As often as it takes, as a dispatcher does."""
    with trio.fail_after(60):
        while True:
            try:
                return await append(bus, token, *lines)
            except BusError:
                await trio.lowlevel.checkpoint()


async def lines(bus: RedisBus) -> list[str]:
    stretch = await bus.read("v", 0, 1000)
    return [line.decode().removeprefix("like ") for batch in stretch.batches for line in batch.lines]


async def next_batches(inbox: Inbox) -> list[Batch]:
    with trio.fail_after(60):
        return await anext(inbox)


async def eventually_says_missed(inbox: Inbox) -> None:
    with trio.fail_after(60):
        while await anext(inbox):
            pass


def silence(bus: RedisBus) -> None:
    """It hangs, or is killed: it calls nothing any more."""

    def run(*arguments: Any, **options: Any) -> list[Any]:
        raise redis.ConnectionError

    bus._link.run = run  # type: ignore[method-assign]
