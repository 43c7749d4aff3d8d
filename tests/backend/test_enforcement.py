"""Slow mode across backends, and while the bus is unavailable."""

from __future__ import annotations

from typing import cast

import pytest
import trio
from trio.testing import MockClock

from liveserver.auth.grant import Grant
from liveserver.backend.enforcement import Enforcer, Turns
from liveserver.backend.follow import Follower
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings
from liveserver.errors import BusError, TooMany
from liveserver.moderation.rules import SITE, Rules
from liveserver.state import read

SLOW = b';settings;settings;-;1; {"id":"s","at":1,"data":{"comments":"slow","slow":30}}'
SPECTATOR = Grant(user="ada", is_viewer=True, scopes=frozenset({"comment"}))


class Followed:
    """A video in slow mode."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    async def follow(self, video: str) -> Followed:
        await trio.lowlevel.checkpoint()
        return Followed(Rules()) if video == SITE else self


def backend(bus: Turns | None) -> Enforcer:
    return Enforcer(cast("Follower", Followed(Rules([read(SLOW)]))), bus)


async def comment(backend: Enforcer, user: str | None = "ada", key: str | None = None) -> int:
    """How many seconds are left; 0: it passed."""
    try:
        await backend.check_comment("v", user, SPECTATOR, "192.0.2.1", key)
    except TooMany as refused:
        return refused.retry_after
    return 0


class Away:
    """A bus that does not answer."""

    async def acquire(self, video: str, name: str, token: str, seconds: float) -> float:
        await trio.lowlevel.checkpoint()
        raise BusError("away")


async def test_a_user_has_one_turn_at_all_backends_of_a_datacenter(autojump_clock: MockClock) -> None:
    bus = MemoryBus("dc1", HistorySettings(), 10)
    one, two = backend(bus), backend(bus)
    assert await comment(one) == 0
    assert (await comment(one), await comment(two)) == (30, 30)
    assert (await comment(two, "bob"), await comment(one, "bob")) == (0, 30)
    await trio.sleep(29.5)
    assert (await comment(one), await comment(two)) == (1, 1)
    await trio.sleep(1)
    assert (await comment(two), await comment(one)) == (0, 30)


async def test_a_repeated_request_passes_at_another_backend(autojump_clock: MockClock) -> None:
    bus = MemoryBus("dc1", HistorySettings(), 10)
    one, two = backend(bus), backend(bus)
    assert [await comment(each, key="k") for each in (one, one, two)] == [0, 0, 0]
    assert await comment(two, key="other") == 30


@pytest.mark.parametrize("user", ["ada", None])
async def test_while_the_bus_is_away_a_backend_counts_by_itself(
    user: str | None, autojump_clock: MockClock
) -> None:
    one = backend(Away())
    assert (await comment(one, user), await comment(one, user)) == (0, 30)
    assert one.statistics().alone == 1
    await trio.sleep(31)
    assert await comment(one, user) == 0
