"""What a dispatcher brings to its process, beside which other roles."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from liveserver.auth.authorizer import Authorizer
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings, load
from liveserver.dispatcher.role import open_dispatcher_role
from liveserver.edge.router import Router
from liveserver.role import Process, Role


def settings(*roles: str) -> Settings:
    names = ",".join(f'"{role}"' for role in roles)
    return load(None, [f"node.roles=[{names}]", "canary.interval=1s", "backend.database=:memory:"], {})


def process(given: Settings, nursery: trio.Nursery) -> Process:
    return Process("n", given, Authorizer(given), nursery, MemoryBus("dc1", given.history, 100))


def paths(role: Role) -> set[tuple[str, str]]:
    router = Router()
    for routes in role.routes:
        routes.add_to(router)
    return router.routes()


@pytest.mark.parametrize(
    ("roles", "has_viewers", "has_moderation"),
    [
        (("dispatcher",), True, True),
        (("dispatcher", "frontend"), False, True),
        (("dispatcher", "backend"), True, False),
        (("dispatcher", "frontend", "backend"), False, False),
    ],
)
async def test_routes_of_another_role_are_not_added(
    autojump_clock: MockClock, roles: tuple[str, ...], has_viewers: bool, has_moderation: bool
) -> None:
    async with trio.open_nursery() as nursery:
        async with open_dispatcher_role(process(settings(*roles), nursery)) as (role, _):
            found = paths(role)
            assert ("POST", "/v1/events") in found
            assert (("GET", "/v1/videos/{video}/viewers") in found) is has_viewers
            assert bool(role.blueprints) is has_moderation
            assert ("canary" in role.statistics) is has_viewers, "a frontend has a canary of its own"
            assert ("delivery" in role.checks) is has_viewers
            assert {"publish", "leases"} <= set(role.statistics)
        nursery.cancel_scope.cancel()


async def test_its_canary_shows_whether_it_delivers(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        async with open_dispatcher_role(process(settings("dispatcher"), nursery)) as (role, local):
            await trio.sleep(5)
            await role.checks["delivery"]()
            await role.checks["name"]()
            assert await local.publish(b'[{"video":"v","type":"like"}]', retractions=False) == 0
        nursery.cancel_scope.cancel()
