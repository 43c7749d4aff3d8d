"""The contract of interface.py for every bus: names reserved for a time (slow mode)."""

from __future__ import annotations

from tests.bus.harness import WholeBus
from tests.conftest import Until


async def test_a_name_is_held_by_one_token_for_its_time(bus: WholeBus, until: Until) -> None:
    assert await bus.acquire("v", "slow:u", "a", 0.3) == 0
    assert await bus.acquire("v", "slow:u", "a", 0.3) == 0, "a repetition passes"
    left = await bus.acquire("v", "slow:u", "b", 0.3)
    assert 0 < left <= 0.3
    for video, name in (("w", "slow:u"), ("v", "slow:other")):
        assert await bus.acquire(video, name, "b", 60) == 0

    async def is_free() -> bool:
        return await bus.acquire("v", "slow:u", "b", 0.3) == 0

    await until(is_free)


async def test_a_shorter_time_shortens_the_hold(bus: WholeBus, until: Until) -> None:
    assert await bus.acquire("v", "slow:u", "a", 3600) == 0
    assert 0 < await bus.acquire("v", "slow:u", "b", 0.2) <= 0.2

    async def is_free() -> bool:
        return await bus.acquire("v", "slow:u", "b", 0.2) == 0

    await until(is_free)
