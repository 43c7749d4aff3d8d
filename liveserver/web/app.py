"""The public application behind the edge: all routes outside the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quart import Blueprint, Response
from quart_trio import QuartTrio

from liveserver.web import origins, paths, problems
from liveserver.web.openapi.route import openapi_blueprint
from liveserver.web.page import page_blueprint


def public_app(
    *roles: Blueprint,
    headers_for: origins.Headers = lambda origin: b"",
    preflight: origins.Preflight = lambda requested: (),
    openapi: Mapping[str, Any] | None = None,
) -> QuartTrio:
    """Return the application: the page and the roles' blueprints; every other path is a 404 problem.

    `headers_for` and `preflight` give the CORS headers; `openapi` is the document of the interface.
    """
    app = QuartTrio("liveserver.web", static_folder=None)
    paths.install(app)
    problems.install(app, trust_request_ids=True)  # the edge has made, or checked, them
    origins.install(app, headers_for, preflight)
    app.register_blueprint(page_blueprint())
    app.register_blueprint(openapi_blueprint(openapi or {}))
    app.after_request(without_content)
    for blueprint in roles:
        app.register_blueprint(blueprint)
    return app


async def without_content(response: Response) -> Response:
    """Remove what describes a body from an answer that has none (RFC 9110 §8.6, §15.3.5, §15.4.5)."""
    if response.status_code in (204, 304):
        response.set_data(b"")  # Quart sends its own empty body by asyncio, which is not running
        for name in ("content-type", "content-length"):
            response.headers.pop(name, None)
    return response
