"""Helpers of the contract tests: publish, read, listen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import trio

from liveserver.bus.hook_queue import HookQueue
from liveserver.bus.interface import AppendRequest, AppendResult, Bus, Inbox, PeerBus
from liveserver.event import Batch


class WholeBus(Bus, PeerBus, Protocol):
    """What each bus is."""

    def hook_queue(self, ttl: float, limit: int) -> HookQueue: ...


OpenBus = Callable[..., AbstractAsyncContextManager[WholeBus]]
_names = itertools.count(1)


def parcel(video: str, *lines: str, ids: list[str | None] | None = None, token: str = "") -> AppendRequest:
    return AppendRequest(
        video,
        token or f"token{next(_names)}",
        [f"like {line}".encode() for line in lines],
        ids or [None] * len(lines),
    )


async def append(bus: Bus, video: str, *lines: str, ids: list[str | None] | None = None) -> AppendResult:
    (receipt,) = await bus.append([parcel(video, *lines, ids=ids)])
    return receipt


async def lines(bus: Bus, video: str, after: int = 0, limit: int = 100_000) -> list[str]:
    stretch = await bus.read(video, after, limit)
    return [line.decode().partition(" ")[2] for batch in stretch.batches for line in batch.lines]


async def take(inbox: Inbox, events: int) -> list[Batch]:
    """The batches with the next so many events; empty lists are left out."""
    batches: list[Batch] = []
    with trio.fail_after(60):
        while sum(len(batch.lines) for batch in batches) < events:
            batches += await anext(inbox)
    return batches


def contents(batches: list[Batch]) -> list[str]:
    return [line.decode().partition(" ")[2] for batch in batches for line in batch.lines]
