"""The application's errors are the same documents as the edge's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec
import pytest
import structlog
from quart import Response, abort
from quart_trio import QuartTrio
from structlog.typing import EventDict
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, ServiceUnavailable, TooManyRequests, Unauthorized

from liveserver.errors import BadRequest, MethodNotAllowed, Problem, Unavailable
from liveserver.web import problems


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


async def raised(error: BaseException) -> tuple[Any, dict[str, Any]]:
    """The response when a handler raises this, and its document."""
    app = QuartTrio("test")
    problems.install(app, trust_request_ids=True)

    @app.get("/")
    async def handler() -> NoReturn:
        raise error

    response = await app.test_client().get("/")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    document = msgspec.json.decode(await response.get_data())
    assert set(document) == {"type", "title", "status", "detail", "request_id"}
    assert document["status"] == response.status_code
    return response, document


@pytest.mark.parametrize("problem", [BadRequest("a"), Unavailable("b", 7), MethodNotAllowed("PUT", "GET")])
async def test_a_problem_is_answered_as_by_the_edge(problem: Problem) -> None:
    response, document = await raised(problem)
    assert document == msgspec.json.decode(problem.body())
    for name, value in problem.headers:
        assert response.headers[name] == value


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (ServiceUnavailable(retry_after=5), "retry-after", "5"),
        (TooManyRequests(retry_after=6), "retry-after", "6"),
        (Unauthorized(www_authenticate=WWWAuthenticate("bearer")), "www-authenticate", "Bearer "),
    ],
)
async def test_problem_headers_are_kept(error: HTTPException, header: str, value: str) -> None:
    response, document = await raised(error)
    assert response.status_code == error.code
    assert document["title"] == error.name
    assert response.headers[header].strip() == value.strip()


async def test_a_path_that_is_not_there_and_a_method_that_is_not_possible() -> None:
    app = QuartTrio("test")
    problems.install(app, trust_request_ids=True)

    @app.post("/here")
    async def here() -> str:
        return ""

    client = app.test_client()
    response = await client.get("/there")
    assert (response.status_code, (await response.get_json(force=True))["title"]) == (404, "Not Found")
    response = await client.get("/here")
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"OPTIONS", "POST"}
    assert "POST" in (await response.get_json(force=True))["detail"]


@pytest.mark.parametrize("error", [ValueError("secret"), ExceptionGroup("secret", [ValueError("secret")])])
async def test_a_defect_is_logged_and_no_trace_is_sent(error: Exception, logged: list[EventDict]) -> None:
    _, document = await raised(error)
    assert document["status"] == 500
    assert "secret" not in str(document)
    assert "ValueError" in repr([entry["exc_info"] for entry in logged])


async def test_answers_that_are_raised_stay_what_they_are() -> None:
    app = QuartTrio("test")
    problems.install(app, trust_request_ids=True)

    @app.get("/folder/")
    async def folder() -> str:
        abort(Response("made", 418))

    @app.get("/old")
    async def old() -> Any:
        abort(Response("", 302, {"location": "/new"}))

    client = app.test_client()
    response = await client.get("/folder")
    assert response.status_code in (307, 308)
    assert response.headers["location"].endswith("/folder/")
    response = await client.get("/folder/")
    assert (response.status_code, await response.get_data()) == (418, b"made")
    response = await client.get("/old")
    assert (response.status_code, response.headers["location"]) == (302, "/new")
