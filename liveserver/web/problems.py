"""Errors of the ordinary web as problem+json, like those of the edge."""

from __future__ import annotations

import structlog
from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from liveserver import errors

log = structlog.get_logger(__name__)


def install(app: QuartTrio) -> None:
    """Answer every error of `app` as an RFC 9457 problem document."""

    @app.errorhandler(errors.Problem)
    async def on_problem(problem: errors.Problem) -> Response:
        return _answer(problem)

    @app.errorhandler(HTTPException)
    async def on_http_error(error: HTTPException) -> Response:
        if isinstance(error, MethodNotAllowed):
            return _answer(
                errors.MethodNotAllowed("this method", ", ".join(sorted(error.valid_methods or ())))
            )
        problem = errors.Problem(error.description or "")
        problem.status, problem.title = error.code or 500, error.name
        problem.headers = tuple(
            (name.lower(), value) for name, value in error.get_headers() if name.lower() != "content-type"
        )
        if problem.status == 404:
            problem = errors.NotFound("there is nothing here; the interface begins with /v1/")
        return _answer(problem)

    @app.errorhandler(Exception)
    async def on_defect(error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return _answer(errors.Problem("this is a defect of the server; its log has the details"))


def _answer(problem: errors.Problem) -> Response:
    return Response(
        problem.body(),
        problem.status,
        {"content-type": "application/problem+json", "cache-control": "no-store", **dict(problem.headers)},
    )
