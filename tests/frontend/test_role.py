"""What a frontend brings to its process, and from whom it gets its leases."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from liveserver.auth.authorizer import Authorizer
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings, load
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.dispatcher_client.leases import LeaseClient
from liveserver.edge.router import Router
from liveserver.frontend.role import open_frontend_role
from liveserver.role import Process, Role

SUMMARY = ("GET", "/v1/videos/{video}/summary")


def settings(*overrides: str) -> Settings:
    return load(None, ["backend.database=:memory:", *overrides], {})


def paths(role: Role) -> set[tuple[str, str]]:
    router = Router()
    for routes in role.routes:
        routes.add_to(router)
    return router.routes()


def process(given: Settings, nursery: trio.Nursery) -> tuple[Process, LocalDispatcher]:
    bus = MemoryBus("dc1", given.history, 100)
    publisher = Publisher(bus, "dc1", given.dispatcher)
    nursery.start_soon(publisher.run)
    local = LocalDispatcher(Parser(given.dispatcher), publisher, Subscriptions(bus, 30.0))
    return Process("n", given, Authorizer(given), nursery, bus), local


@pytest.mark.parametrize(
    ("roles", "has_summary"),
    [('["frontend","dispatcher"]', True), ('["frontend","dispatcher","backend"]', False)],
)
async def test_it_watches_and_sums_up_unless_a_backend_does(
    autojump_clock: MockClock, roles: str, has_summary: bool
) -> None:
    async with trio.open_nursery() as nursery:
        given, local = process(settings(f"node.roles={roles}"), nursery)
        async with open_frontend_role(given, local) as (role, frontend):
            assert ("GET", "/v1/videos/{video}/events") in paths(role)
            assert (SUMMARY in paths(role)) is has_summary
            assert set(role.checks) == {"delivery", "name"}
            assert role.statistics["frontend"]().videos == 0
            assert frontend.refusal() is None
            assert frontend.table._leases is local
        nursery.cancel_scope.cancel()


async def test_dispatchers_that_are_named_grant_the_leases(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        given, local = process(
            settings("bus.kind=redis", 'frontend.dispatchers=["http://127.0.0.1:1"]'), nursery
        )
        async with open_frontend_role(given, local) as (_, frontend):
            assert isinstance(frontend.table._leases, LeaseClient)
        nursery.cancel_scope.cancel()
