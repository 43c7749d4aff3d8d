"""What the likes backend brings to its process, and to which dispatcher it publishes."""

from __future__ import annotations

import msgspec
import pytest

from liveserver.auth.authorizer import Authorizer
from liveserver.backend.role import open_backend_role
from liveserver.config import Settings, load
from liveserver.dispatcher_client.publish import PublishClient
from liveserver.edge.router import Router
from tests.backend.harness import FakeDispatcher


def settings(*overrides: str) -> Settings:
    return load(None, ["backend.database=:memory:", *overrides], {})


async def test_it_has_routes_statistics_and_a_check_of_the_database() -> None:
    given = settings()
    async with open_backend_role(given, Authorizer(given), None, FakeDispatcher()) as (role, _):
        router = Router()
        for routes in role.routes:
            routes.add_to(router)
        assert router.routes() == {
            (method, f"/v1/videos/{{video}}/{path}")
            for method, path in (
                ("POST", "likes"),
                ("POST", "comments"),
                ("GET", "comments"),
                ("GET", "summary"),
            )
        }
        assert len({made().name for made in role.blueprints}) == 2
        assert set(role.statistics) == {"backend"}
        assert set(role.checks) == {"database"}
        await role.checks["database"]()
        assert role.acts is not None
        assert await role.acts(5) == []


async def test_it_publishes_to_the_dispatcher_of_its_process() -> None:
    local, given = FakeDispatcher(), settings()
    async with open_backend_role(given, Authorizer(given), None, local) as (role, target):
        assert target is local
        assert set(msgspec.to_builtins(role.statistics["backend"]())) >= {"write", "outbox", "sums", "follow"}


@pytest.mark.parametrize("has_local", [False, True])
async def test_dispatchers_that_are_named_come_first(has_local: bool) -> None:
    given = settings('backend.dispatchers=["http://127.0.0.1:1"]')
    local = FakeDispatcher() if has_local else None
    async with open_backend_role(given, Authorizer(given), None, local) as (_, target):
        assert isinstance(target, PublishClient)


async def test_another_review_is_checked_before_it_holds() -> None:
    given = settings()
    async with open_backend_role(given, Authorizer(given), None, FakeDispatcher()) as (role, _):
        [prepare] = role.reloads
        prepare(given)()
