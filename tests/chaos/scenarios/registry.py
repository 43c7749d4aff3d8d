"""What a scenario is, and the list of them.

A scenario gets a `Play`: the stage, and a random source that its seed decides. It breaks things and
mends most of them; what is still broken at its end is mended then, and must be as new.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.chaos.harness import RedisKind
from tests.chaos.runner import Play

Action = Callable[[Play], Awaitable[None]]


class Scenario(NamedTuple):
    """`losses`: how often Redis' data is lost. `whole`: its log forgets nothing. `redis`: what it runs on."""

    name: str
    action: Action
    settings: tuple[str, ...]
    losses: int
    whole: bool
    redis: RedisKind

    @property
    def summary(self) -> str:
        return (self.action.__doc__ or "").strip().splitlines()[0]


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *settings: str, losses: int = 0, whole: bool = True, redis: RedisKind = "server"
) -> Callable[[Action], Action]:
    def register(action: Action) -> Action:
        name = action.__name__
        SCENARIOS[name] = Scenario(name, action, settings, losses, whole, redis)
        return action

    return register
