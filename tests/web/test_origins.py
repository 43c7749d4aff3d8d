"""Pages of other origins: what they may do without being asked for permission first."""

from __future__ import annotations

import pytest
from quart import Blueprint

from liveserver.web.app import public_app

OWN, OTHER, ALLOWED = "http://localhost:8000", "https://other.example", "https://allowed.example"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"origin": OTHER}, 403),
        ("POST", {"origin": "null"}, 403),
        ("POST", {"origin": OTHER, "content-type": "text/plain"}, 403),
        ("DELETE", {"origin": OTHER}, 403),
        ("GET", {"origin": OTHER}, 200),
        ("POST", {"origin": ALLOWED}, 200),
        ("POST", {"origin": OWN}, 200),
        ("POST", {}, 200),  # no page
        ("POST", {"origin": OTHER, "authorization": "Bearer a"}, 200),  # browsers have asked before
        ("POST", {"origin": OTHER, "content-type": "application/json"}, 200),  # likewise
    ],
)
async def test_acts_of_other_pages_that_browsers_make_without_asking_are_refused(
    method: str, headers: dict[str, str], status: int
) -> None:
    routes = Blueprint("acts", __name__)

    @routes.route("/act", methods=["GET", "POST", "DELETE"])
    async def act() -> str:
        return "done"

    def headers_for(origin: bytes | None) -> bytes:
        return b"access-control-allow-origin: " + origin + b"\r\n" if origin == ALLOWED.encode() else b""

    app = public_app(routes, headers_for=headers_for)
    made = getattr(app.test_client(), method.lower())
    answer = await made("/act", headers={"host": "localhost:8000", **headers})
    assert answer.status_code == status
