"""A short selection of the scenarios, with fixed seeds; `make chaos` runs them all."""

from __future__ import annotations

import shutil

import pytest

from tests.chaos.runner import LIMIT, perform
from tests.chaos.scenarios import SCENARIOS

pytestmark = [pytest.mark.process, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(LIMIT + 60)]


@pytest.mark.parametrize(
    ("name", "seed"),
    [("redis_emptied", 1), ("inboxes_killed", 2), ("viewers_cut", 3), ("dispatcher_redis_cut", 4)],
)
async def test_nothing_is_lost(name: str, seed: int) -> None:
    verdict = await perform(SCENARIOS[name], seed)
    assert verdict.complaints == [], verdict.directory
    assert verdict.accepted
    shutil.rmtree(verdict.directory)


def test_every_scenario_says_what_it_does() -> None:
    assert len(SCENARIOS) >= 12
    for scenario in SCENARIOS.values():
        assert scenario.summary.endswith("."), scenario.name
