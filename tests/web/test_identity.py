"""What a viewer may do with a video, as the page asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from quart_trio import QuartTrio

from liveserver.auth.grant import COMMENT, LIKE, OPEN, WATCH, Grant
from liveserver.errors import Unauthorized
from liveserver.web import problems
from liveserver.web.identity import identity_blueprint

ADA = Grant(("concert-*",), frozenset((WATCH, LIKE)), "ada", is_viewer=True)


async def asked(grant: Grant | Exception, video: str = "concert-1", **headers: str) -> tuple[int, Any]:
    shown: list[Mapping[bytes, bytes]] = []

    async def authorize(credentials: Mapping[bytes, bytes]) -> Grant:
        shown.append(credentials)
        if isinstance(grant, Exception):
            raise grant
        return grant

    app = QuartTrio("test")
    problems.install(app, trust_request_ids=True)
    app.register_blueprint(identity_blueprint(authorize))
    answer = await app.test_client().get(f"/v1/videos/{video}/me", headers=headers)
    if answer.status_code == 200:
        assert answer.headers["cache-control"] == "no-store"
        assert [each.get(b"authorization", b"").decode() for each in shown] == [
            headers.get("authorization", "")
        ]
    return answer.status_code, await answer.get_json(force=True)


async def test_a_token_is_its_user_with_its_scopes() -> None:
    answer = await asked(ADA, authorization="Bearer x")
    assert answer == (200, {"scopes": ["like", "watch"], "signed_in": True, "user": "ada"})


async def test_with_a_video_of_others_nothing_may_be_done() -> None:
    assert await asked(ADA, "other") == (200, {"scopes": [], "signed_in": True, "user": "ada"})


async def test_without_authentication_everything_is_allowed_to_anonymous_users() -> None:
    status, answer = await asked(OPEN)
    assert (status, answer["signed_in"], "user" in answer) == (200, False, False)
    assert {WATCH, LIKE, COMMENT} < set(answer["scopes"])


async def test_what_the_authorizer_refuses_is_refused() -> None:
    status, answer = await asked(Unauthorized("no token"))
    assert (status, answer["detail"]) == (401, "no token")


@pytest.mark.parametrize("video", ["-v", "v%0A", "v" * 129, "%C3%A9"])
async def test_names_that_no_video_has_are_refused(video: str) -> None:
    assert (await asked(ADA, video))[0] == 400
