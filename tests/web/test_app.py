"""The public application: what it puts together, and answers without content."""

from __future__ import annotations

import pytest
from quart import Blueprint, Response

from liveserver.errors import BadRequest
from liveserver.web.app import public_app, without_content
from tests.web.openapi.test_route import DOCUMENT


def role() -> Blueprint:
    routes = Blueprint("role", __name__)

    @routes.get("/v1/fine")
    async def fine() -> Response:
        return Response(b"{}", 200, {"content-type": "application/json"})

    @routes.delete("/v1/fine")
    async def gone() -> Response:
        return Response(status=204)

    @routes.get("/v1/wrong")
    async def wrong() -> Response:
        raise BadRequest("no")

    return routes


async def test_the_page_the_document_and_the_roles_routes_are_there() -> None:
    client = public_app(role(), openapi=DOCUMENT).test_client()
    statuses = {
        path: (await client.get(path)).status_code for path in ("/", "/openapi.json", "/v1/fine", "/x")
    }
    assert statuses == {"/": 200, "/openapi.json": 200, "/v1/fine": 200, "/x": 404}
    wrong = await client.get("/v1/wrong")
    assert (wrong.status_code, wrong.headers["content-type"]) == (400, "application/problem+json")


async def test_cors_headers_are_on_every_answer_of_an_allowed_origin() -> None:
    def headers_for(origin: bytes | None) -> bytes:
        return (
            b"access-control-allow-origin: https://a.example\r\n" if origin == b"https://a.example" else b""
        )

    client = public_app(role(), headers_for=headers_for).test_client()
    for path in ("/v1/fine", "/v1/wrong", "/nothing"):
        answer = await client.get(path, headers={"origin": "https://a.example"})
        assert answer.headers["access-control-allow-origin"] == "https://a.example", path
        other = await client.get(path, headers={"origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_an_answer_without_content_does_not_describe_any() -> None:
    answer = await public_app(role()).test_client().delete("/v1/fine")
    assert answer.status_code == 204
    assert await answer.get_data() == b""


@pytest.mark.parametrize(("status", "kept"), [(204, False), (304, False), (200, True), (404, True)])
async def test_only_answers_that_have_none_lose_what_describes_it(status: int, kept: bool) -> None:
    headers = {"content-type": "text/plain", "etag": '"x"'}
    answer = await without_content(Response("text" if kept else None, status, headers))
    assert await answer.get_data() == (b"text" if kept else b"")
    assert ("content-type" in answer.headers, "content-length" in answer.headers) == (kept, kept)
    assert answer.headers["etag"] == '"x"'
