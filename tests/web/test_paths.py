"""Names of any kind in paths reach their handler as they were written."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from quart import Blueprint, Response

from liveserver.web.app import public_app


def role() -> Blueprint:
    routes = Blueprint("role", __name__)

    @routes.get("/v1/bans/<path:user>")
    async def ban(user: str) -> Response:
        return Response(user.encode())

    @routes.get("/v1/users/<path:user>/comments")
    async def comments(user: str) -> Response:
        return Response(user.encode())

    return routes


@pytest.mark.parametrize(
    "user",
    [
        "ada",
        "a/b",
        "/a",
        "//a",
        "a/",
        "a//b",
        "/",
        "a\nb",
        "\n",
        "a\r\n",
        "\u2028",
        "a/comments",
        "ä%2F",
        "..",
    ],
)
async def test_a_user_of_any_name_is_found(user: str) -> None:
    client = public_app(role()).test_client()
    for path in (f"/v1/bans/{quote(user, safe='')}", f"/v1/users/{quote(user, safe='')}/comments"):
        answer = await client.get(path)
        assert (answer.status_code, await answer.get_data()) == (200, user.encode()), path


async def test_no_name_is_not_found() -> None:
    client = public_app(role()).test_client()
    for path in ("/v1/bans/", "/v1/bans", "/v1/users//comments"):
        assert (await client.get(path)).status_code == 404, path
