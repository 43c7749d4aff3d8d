"""What a node has by its roles: routes, statistics, readiness checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveserver.config import Settings, convert
from liveserver.node.assembly import Node
from liveserver.role import Role

PUBLISH = ("POST", "/v1/videos/{video}/events")
WATCH = ("GET", "/v1/videos/{video}/events")
LIKE = ("POST", "/v1/videos/{video}/likes")
HOT = {PUBLISH, WATCH, LIKE}


def settings(roles: list[str], directory: Path) -> Settings:
    return convert(
        {
            "node": {"roles": roles},
            "backend": {"database": ":memory:", "dispatchers": ["http://127.0.0.1:1"]},
            "frontend": {"dispatchers": [] if "dispatcher" in roles else ["http://127.0.0.1:1"]},
            "recorder": {"directory": str(directory)},
        },
        Settings,
    )


@pytest.mark.parametrize(
    ("roles", "hot", "statistics", "checks"),
    [
        (
            ["dispatcher"],
            {PUBLISH},
            {"auth", "memory_bus", "publish", "leases", "canary"},
            {"accepting", "bus", "delivery", "name"},
        ),
        (
            ["frontend", "dispatcher"],
            {PUBLISH, WATCH},
            {"auth", "memory_bus", "publish", "leases", "frontend"},
            {"accepting", "bus", "delivery", "name"},
        ),
        (["backend"], {LIKE}, {"auth", "backend"}, {"accepting", "database"}),
        (
            ["frontend", "dispatcher", "backend", "recorder"],
            {PUBLISH, WATCH, LIKE},
            {"auth", "memory_bus", "publish", "leases", "backend", "frontend", "recorder"},
            {"accepting", "bus", "delivery", "name", "database", "recorder"},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
async def test_a_node_has_what_its_roles_bring(
    roles: list[str], hot: set[tuple[str, str]], statistics: set[str], checks: set[str], tmp_path: Path
) -> None:
    node = Node(settings(roles, tmp_path))
    async with node.opened():
        assert node.router.routes() & HOT == hot
        assert set(node.parts) == statistics
        assert set(node.checks) == checks
        assert (node.frontend is not None) == ("frontend" in roles)
        for part in node.parts.values():
            part()


@pytest.mark.parametrize("roles", [["frontend", "dispatcher"], ["frontend", "dispatcher", "backend"]])
async def test_the_summary_is_the_backends_where_there_is_one(roles: list[str], tmp_path: Path) -> None:
    node = Node(settings(roles, tmp_path))
    async with node.opened():  # the router refuses two handlers of one route
        assert ("GET", "/v1/videos/{video}/summary") in node.router.routes()


@pytest.mark.parametrize("roles", [["dispatcher"], ["backend"], ["dispatcher", "backend"]])
async def test_moderation_is_at_dispatchers_and_at_backends(roles: list[str], tmp_path: Path) -> None:
    node = Node(settings(roles, tmp_path))
    async with node.opened():
        node.public_app()  # which refuses two blueprints of one name
        assert node.is_known_path("/v1/videos/v/settings")


def test_a_role_may_bring_nothing() -> None:
    assert Role() == Role((), (), {}, {}, ())
