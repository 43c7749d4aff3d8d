"""A bus of either kind, for the contract; and a plain client beside a RedisBus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import redis

from liveserver.bus.memory.bus import MemoryBus
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, Duration, HistorySettings, convert
from tests.bus.harness import OpenBus, WholeBus


@pytest.fixture(params=["memory", "redis"])
def open_bus(request: pytest.FixtureRequest) -> OpenBus:
    """A bus of either kind; its arguments are `HistorySettings`'."""
    url = request.getfixturevalue("redis_server") if request.param == "redis" else ""

    @asynccontextmanager
    async def opened(*, inbox_batches: int = 10_000, **history: object) -> AsyncIterator[WholeBus]:
        settings = convert(history, HistorySettings)
        if request.param == "memory":
            yield MemoryBus("dc1", settings, inbox_batches)
            return
        bus_settings = BusSettings(url=url, timeout=Duration(60), inbox_batches=inbox_batches)
        async with RedisBus.open("dc1", bus_settings, settings) as bus:
            yield bus

    return opened


@pytest.fixture
async def bus(open_bus: OpenBus) -> AsyncIterator[WholeBus]:
    async with open_bus() as bus:
        yield bus


@pytest.fixture
def client(redis_server: str) -> Iterator[redis.Redis]:
    """What is in Redis, past the bus."""
    with redis.Redis.from_url(redis_server, protocol=2) as client:
        yield client
