"""Converts the application's errors to problem+json, like those of the edge."""

from __future__ import annotations

import structlog
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from liveserver import errors
from liveserver.ids import request_id

log = structlog.get_logger(__name__)


def install(app: QuartTrio, *, trust_request_ids: bool) -> None:
    """Answer every error of `app` as an RFC 9457 problem document.

    `trust_request_ids`: a request's `x-request-id` comes from the edge or a trusted proxy.
    """

    def name() -> str:
        given = request.headers.get("x-request-id", "").encode("latin-1", "replace")
        return request_id(given, trusted=trust_request_ids)

    @app.errorhandler(errors.Problem)
    async def on_problem(problem: errors.Problem) -> Response:
        return _answer(problem, name())

    @app.errorhandler(HTTPException)
    async def on_http_error(error: HTTPException) -> Response:
        if isinstance(error, MethodNotAllowed):
            return _answer(
                errors.MethodNotAllowed("this method", ", ".join(sorted(error.valid_methods or ()))), name()
            )
        problem = errors.Problem(error.description or "")
        problem.status, problem.title = error.code or 500, error.name
        problem.headers = tuple(
            (name.lower(), value) for name, value in error.get_headers() if name.lower() != "content-type"
        )
        if problem.status == 404:
            problem = errors.NotFound("not found; paths of the interface begin with /v1/")
        return _answer(problem, name())

    @app.errorhandler(Exception)
    async def on_defect(error: Exception) -> Response:
        called = name()
        log.error(
            "request_failed", request=called, what=f"{request.method} {request.path[:200]}", exc_info=error
        )
        return _answer(errors.Problem("this is a defect of the server; its log has the details"), called)


def _answer(problem: errors.Problem, request_id: str) -> Response:
    problem.request_id = request_id
    return Response(
        problem.body(),
        problem.status,
        {
            "content-type": "application/problem+json",
            "cache-control": "no-store",
            **dict(problem.all_headers()),
        },
    )
