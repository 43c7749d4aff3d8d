"""The dashboard on the ops port: charts, drawn in the browser from `/v1/status`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from quart import Blueprint, Response

from liveserver.web.files import Files

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def dashboard_blueprint() -> Blueprint:
    """Return the blueprint of the page, `GET /`, and of its files, `GET /dashboard/…`."""
    dashboard = Blueprint("dashboard", __name__)

    @dashboard.get("/")
    async def index() -> Response:
        return _files().answer("index.html", {"content-security-policy": POLICY})

    @dashboard.get("/dashboard/<name>")
    async def part(name: str) -> Response:
        return _files().answer(name, {})

    return dashboard


@cache
def _files() -> Files:
    return Files(Path(__file__).parent / "static")
