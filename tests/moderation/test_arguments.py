"""Query parameters are none of them ignored, at any route of the ordinary web but pages."""

from __future__ import annotations

import pytest
from quart import Blueprint
from quart_trio import QuartTrio

from liveserver.moderation.arguments import arguments, check_arguments
from liveserver.web import problems
from tests.auth.harness import KEY
from tests.moderation.harness import serving

PATHS = [  # of the roles of one node, method by method
    ("GET", "me"),
    ("GET", "settings"),
    ("PUT", "settings"),
    ("GET", "bans"),
    ("PUT", "bans/ada"),
    ("DELETE", "bans/ada"),
    ("DELETE", "users/ada/comments"),
    ("PUT", "pin"),
    ("DELETE", "pin"),
    ("POST", "announcements"),
    ("DELETE", "comments/c1"),
    ("POST", "comments/c1/approve"),
    ("POST", "comments/c1/reject"),
    ("GET", "audit"),
    ("POST", "users/ada/unsubscribe"),
    ("GET", "users"),
]
SITE = [
    ("GET", "/v1/revocations"),
    ("PUT", "/v1/revocations/tokens/t"),
    ("DELETE", "/v1/revocations/users/u"),
    ("POST", "/v1/users/u/disconnect"),
]


async def test_every_route_of_a_node_refuses_unknown_parameters() -> None:
    routes = [(method, f"/v1/videos/v/{path}") for method, path in PATHS] + SITE
    async with serving() as on:
        for method, path in routes:
            answer = await on.ask(method, f"{path}?nonsense=1", KEY)
            assert answer.status_code == 400, (method, path, answer.text)
            assert "unknown query parameter 'nonsense'" in answer.json()["detail"], (method, path)
        answer = await on.ask("GET", "/v1/videos/v/me?_=1", KEY)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 200), ("?a=1", 200), ("?_=7&a=1", 200), ("?b=1", 400), ("?a=1&a=2", 400), ("?a", 400), ("?7", 200)],
)
async def test_a_route_has_the_parameters_of_its_name(query: str, status: int) -> None:
    app, routes = QuartTrio("test"), Blueprint("test", __name__)
    problems.install(app, trust_request_ids=True)
    check_arguments(routes, read=("a",))

    @routes.get("/read")
    async def read() -> str:
        return arguments("a").get("a", "")

    @routes.get("/bare")
    async def bare() -> str:
        return ""

    app.register_blueprint(routes)
    assert (await app.test_client().get(f"/read{query}")).status_code == status
    assert (await app.test_client().get("/bare?a=1")).status_code == 400
