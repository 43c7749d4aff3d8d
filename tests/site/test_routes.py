"""Routes for a site's servers: who may, what is answered, and what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from quart_trio import QuartTrio

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.revocations import Revocation
from liveserver.config import load
from liveserver.site.routes import AHEAD, MAX_PAGE, MAX_USER, site_routes
from liveserver.web import problems
from liveserver.web.app import without_content
from tests.auth.harness import KEY, NODES
from tests.moderation.harness import ADA, LOCKED, MODERATOR

OPS = "the-key-of-the-operators"
TTL = 3_600.0


class Desk:
    """Notes the acts that it is asked for."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        async def note(*given: Any) -> None:
            self.done.append((name, *given))

        return note


class Presence:
    """Answers with what it is asked."""

    async def list_users(self, video: str, after: str, limit: int) -> list[Any]:
        return [video, after, limit]


class Stage:
    """The routes of a node whose operators have a key."""

    def __init__(self, presence: Any = None) -> None:
        self.desk = Desk()
        settings = load(None, [*LOCKED, f"auth.ops_key={OPS}", "backend.database=:memory:"], {})
        self.authorizer = Authorizer(settings)
        desk: Any = self.desk
        app = QuartTrio("test")
        problems.install(app, trust_request_ids=True)
        app.after_request(without_content)
        app.register_blueprint(site_routes(desk, self.authorizer, TTL, presence))
        self._client = app.test_client()

    async def ask(self, method: str, path: str, key: str | None = OPS, **more: Any) -> tuple[int, Any]:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        answer = await self._client.open(path, method=method, headers=headers, **more)
        return answer.status_code, await answer.get_json(force=True) if answer.status_code != 204 else None


def now() -> int:
    return int(time.time() * 1000)


async def test_a_users_tokens_are_revoked_from_now_on_for_as_long_as_they_may_live() -> None:
    on = Stage()
    begun = now()
    status, answer = await on.ask("PUT", "/v1/revocations/users/a%2Fb")
    [(what, revocation, by)] = on.desk.done
    assert (status, what, bool(by)) == (200, "revoke", True)
    assert isinstance(revocation, Revocation)
    assert (revocation.user, revocation.token) == ("a/b", None)
    assert begun <= revocation.before <= now()
    assert begun + TTL * 1000 <= revocation.until <= now() + TTL * 1000
    assert answer["user"] == "a/b"


async def test_a_token_is_revoked_until_then() -> None:
    on = Stage()
    until = now() + 5_000
    assert (await on.ask("PUT", "/v1/revocations/tokens/x", json={"until": until}))[0] == 200
    [(_, revocation, _)] = on.desk.done
    assert revocation == Revocation(until, token="x")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tokens/x", {"before": 5}),
        ("tokens/x", {"until": 5}),
        ("tokens/x", {"until": 2**52}),
        ("users/ada", {"before": 2**52}),
        ("users/ada", {"since": 5}),
        ("users/ada", {"until": "soon"}),
        ("users/ada", []),
        ("users/" + "u" * (MAX_USER + 1), {}),
        ("users/a%00", {}),
        ("tokens/a%00", {}),
    ],
)
async def test_what_makes_no_sense_is_refused(path: str, body: Any) -> None:
    on = Stage()
    status, answer = await on.ask("PUT", f"/v1/revocations/{path}", json=body)
    assert (status, bool(answer["detail"]), on.desk.done) == (400, True, [])


async def test_clocks_may_differ_a_little() -> None:
    on = Stage()
    assert (await on.ask("PUT", "/v1/revocations/users/ada", json={"before": now() + AHEAD - 500}))[0] == 200
    body = {"until": now() + int(TTL * 1000) + AHEAD - 500}
    assert (await on.ask("PUT", "/v1/revocations/users/ada", json=body))[0] == 200


async def test_a_body_is_bounded_and_may_be_empty() -> None:
    on = Stage()
    assert (await on.ask("PUT", "/v1/revocations/users/ada", data=b""))[0] == 200
    assert (await on.ask("PUT", "/v1/revocations/users/ada", data=b" " * 1_001))[0] == 400
    assert (await on.ask("PUT", "/v1/revocations/users/ada", data=b"\xff"))[0] == 400


async def test_lifting_and_disconnecting() -> None:
    on = Stage()
    assert await on.ask("DELETE", "/v1/revocations/tokens/x") == (204, None)
    assert await on.ask("DELETE", "/v1/revocations/users/Ada") == (204, None)
    assert await on.ask("POST", "/v1/users/ada/disconnect") == (202, {"user": "ada"})
    done = [each[:2] for each in on.desk.done]
    assert done[0] == ("lift", "revoked/token/x")
    assert done[1][1].startswith("revoked/user/:")
    assert done[2] == ("disconnect", "ada")


@pytest.mark.parametrize("key", [None, ADA, MODERATOR, NODES])
async def test_only_operators_act_for_the_whole_site(key: str | None) -> None:
    on = Stage()
    for method, path in (
        ("PUT", "/v1/revocations/tokens/x"),
        ("DELETE", "/v1/revocations/users/x"),
        ("GET", "/v1/revocations"),
        ("POST", "/v1/users/x/disconnect"),
    ):
        assert (await on.ask(method, path, key))[0] in (401, 403), path
    assert on.desk.done == []


async def test_a_moderator_ends_a_users_streams_of_a_video() -> None:
    on = Stage()
    path = "/v1/videos/v/users/ada/unsubscribe"
    assert await on.ask("POST", path, MODERATOR) == (202, {"video": "v", "user": "ada"})
    assert on.desk.done == [("unsubscribe", "v", "ada", "mo")]
    assert (await on.ask("POST", path, ADA))[0] == 403
    assert (await on.ask("POST", path, KEY))[0] == 202
    assert on.desk.done[-1][-1] == "site"
    assert (await on.ask("POST", "/v1/videos/-v/users/ada/unsubscribe", MODERATOR))[0] == 400


async def test_users_are_listed_in_pages() -> None:
    on = Stage(Presence())
    path = "/v1/videos/v/users"
    assert await on.ask("GET", path, MODERATOR) == (200, ["v", "", 100])
    assert await on.ask("GET", f"{path}?limit=7&after=ada", MODERATOR) == (200, ["v", "ada", 7])
    for query in (
        "limit=0", f"limit={MAX_PAGE + 1}", "limit=x", "limit=%D9%A3", "limit=1&limit=2", "before=x",
        f"after={'u' * (MAX_USER + 1)}",
    ):  # fmt: skip
        assert (await on.ask("GET", f"{path}?{query}", MODERATOR))[0] == 400, query
    assert (await on.ask("GET", path, ADA))[0] == 403
    assert (await Stage().ask("GET", path, MODERATOR))[0] == 503, "a node without a bus cannot know"
