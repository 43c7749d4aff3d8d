"""Authorization at whole nodes over real sockets; secrets are not in logs and responses."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import trio

from liveserver import config, node
from liveserver.auth import tokens
from liveserver.config import Settings
from liveserver.config.render import render
from liveserver.node import logs
from tests.auth.harness import KEY, NODES, OTHER, SECRET
from tests.conftest import Until

OPS_KEY = "the-key-of-the-operators"
MODERATOR = "the-key-of-a-moderator"
SECRETS = (SECRET, NODES, KEY, OPS_KEY, MODERATOR)
ANYWHERE = ("listen.public=127.0.0.1:0", "listen.ops=127.0.0.1:0", "backend.database=:memory:")
EVENTS, LIKES, COMMENTS, SUMMARY = (
    f"/v1/videos/v/{what}" for what in ("events", "likes", "comments", "summary")
)
LIKE = {"type": "like"}


def locked(directory: Path, *more: str) -> Settings:
    """Everything asked for, secrets in files."""
    for name, text in (
        ("viewers", SECRET),
        ("nodes", f"{NODES}\n{OTHER}\n"),
        ("ops", OPS_KEY),
        ("site", KEY),
    ):
        (directory / name).write_text(text)
    return config.load(
        None,
        [
            *ANYWHERE,
            "auth.viewers=token",
            f"auth.secret_file={directory / 'viewers'}",
            f"auth.nodes_secret_file={directory / 'nodes'}",
            f"auth.ops_key_file={directory / 'ops'}",
            f"auth.publishers.site.key_file={directory / 'site'}",
            'auth.publishers.site.videos=["v", "concert-*"]',
            f"auth.publishers.moderator.key={MODERATOR}",
            'auth.publishers.moderator.scopes=["moderate", "like"]',
            *more,
        ],
        {},
    )


class Stage:
    """A running node, and a client."""

    def __init__(self, running: node.Running, client: httpx.AsyncClient) -> None:
        self.client = client
        self.url = f"http://{running.addresses.public}"
        self.ops = f"http://{running.addresses.ops}"

    async def ask(
        self, method: str, path: str, key: str | None = None, body: Any = None, **headers: str
    ) -> httpx.Response:
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        return await self.client.request(method, self.url + path, json=body, headers=headers)

    async def status_of(self, method: str, path: str, key: str | None = None, body: Any = None) -> int:
        return (await self.ask(method, path, key, body)).status_code


@asynccontextmanager
async def serving(*several: Settings) -> AsyncIterator[list[Stage]]:
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield [Stage(await nursery.start(node.serve, each), client) for each in several]
        nursery.cancel_scope.cancel()


def token(**claims: Any) -> str:
    said = {"videos": ["v"], "sub": "ada", "exp": time.time() + 600, **claims}
    return tokens.make(said, SECRET)


async def test_publishing_needs_a_key_and_a_key_its_videos(tmp_path: Path) -> None:
    async with serving(locked(tmp_path)) as [on]:
        for key, status in ((None, 401), ("made-up-made-up-made-up", 401), (token(), 401), (KEY, 202)):
            assert await on.status_of("POST", EVENTS, key, LIKE) == status
        refused = await on.ask("POST", EVENTS, None, LIKE)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"].startswith("Bearer ")
        assert "auth.publishers" in refused.json()["detail"]
        assert await on.status_of("POST", "/v1/videos/concert-7/events", KEY, LIKE) == 202
        assert await on.status_of("POST", "/v1/videos/w/events", KEY, LIKE) == 403
        both = [{**LIKE, "video": "v"}, {**LIKE, "video": "w"}]
        assert await on.status_of("POST", "/v1/events", KEY, both) == 403
        assert await on.status_of("POST", "/v1/events", KEY, both[:1]) == 202
        retraction = [{"type": "retract", "video": "v", "data": {"id": "x"}}]
        assert await on.status_of("POST", "/v1/retractions", KEY, retraction) == 403
        assert await on.status_of("POST", "/v1/retractions", MODERATOR, retraction) == 202
        assert await on.status_of("POST", EVENTS, MODERATOR, LIKE) == 403


async def test_what_nodes_publish_is_refused_from_a_publisher(tmp_path: Path) -> None:
    node_token = tokens.make({"aud": "liveserver-nodes", "exp": time.time() + 60}, NODES)
    own: list[dict[str, Any]] = [
        {"type": "settings", "key": "settings", "data": {"comments": "closed"}},
        {"type": "ban", "key": "ban/ada"},
        {"type": "x", "key": "likes/made-up", "version": 9, "data": {"total": {"heart": 10**9}}},
        {"type": "pin"},
        {**LIKE, "role": "host"},
        {**LIKE, "by": "ada"},
    ]
    async with serving(locked(tmp_path)) as [on]:
        for event in own:
            assert await on.status_of("POST", EVENTS, KEY, event) == 403
            assert await on.status_of("POST", EVENTS, KEY, [LIKE, event]) == 403
            assert await on.status_of("POST", "/v1/events", KEY, [{**event, "video": "v"}]) == 403
            assert await on.status_of("POST", EVENTS, node_token, event) == 202
        assert await on.status_of("POST", EVENTS, KEY, {"type": "x", "key": "pinned"}) == 202
        assert await on.status_of("POST", EVENTS, KEY, {**LIKE, "at": 1}) == 202


async def test_leases_are_the_nodes_own(tmp_path: Path) -> None:
    async with serving(locked(tmp_path)) as [on]:
        query = {"node": "n9", "lease": 5, "videos": {"v": 1}}
        aud = "liveserver-nodes"
        node_token = tokens.make({"aud": aud, "exp": time.time() + 60}, NODES)
        older = tokens.make({"aud": aud, "exp": time.time() + 60}, OTHER)
        no_audience = tokens.make({"exp": time.time() + 60}, NODES)
        viewers = tokens.make({"aud": aud, "exp": time.time() + 60}, SECRET)
        for key, status in (
            (None, 401),
            (KEY, 401),
            (token(), 401),
            (no_audience, 401),
            (viewers, 401),
            (node_token, 200),
            (older, 200),
        ):
            assert await on.status_of("POST", "/v1/leases", key, query) == status
        assert await on.status_of("POST", "/v1/leases/withdraw", None, {"node": "n9", "videos": ["v"]}) == 401
        assert await on.status_of("POST", EVENTS, node_token, LIKE) == 202


async def test_a_likes_user_is_the_tokens_subject(tmp_path: Path, until: Until) -> None:
    async with serving(locked(tmp_path)) as [on]:
        assert await on.status_of("POST", LIKES, None, {}) == 401
        assert await on.status_of("POST", LIKES, token(videos=["w"]), {}) == 403
        assert await on.status_of("POST", LIKES, token(scope="watch"), {}) == 403
        assert await on.status_of("POST", LIKES, token(), {"user": "bob"}) == 403
        assert await on.status_of("POST", LIKES, token(sub="bob"), {"user": "bob"}) == 201
        assert await on.status_of("POST", COMMENTS, token(), {"text": "hi"}) == 201
        assert (
            await on.status_of("POST", LIKES, MODERATOR, {"user": "carl"}) == 201
        )  # the site speaks for its own
        assert await on.status_of("POST", LIKES, KEY, {"user": "carl"}) == 403
        assert await on.status_of("GET", SUMMARY) == 401
        [comment] = (await on.ask("GET", SUMMARY, token())).json()["comments"]
        assert comment["user"] == "ada"
        assert await on.status_of("DELETE", f"{COMMENTS}/{comment['id']}", token(sub="bob")) == 403
        assert await on.status_of("DELETE", f"{COMMENTS}/{comment['id']}", token(scope="moderate")) == 204
        users: list[str] = []

        async def seen() -> bool:
            page = (await on.ask("GET", "/v1/videos/v/poll?cursor=earliest", token())).json()
            users[:] = sorted({event["user"] for event in page["events"] if event["type"] == "like"})
            return users == ["bob", "carl"]

        await until(seen)


async def test_a_cookie_counts_for_likes_too_but_not_from_elsewhere(tmp_path: Path) -> None:
    async with serving(locked(tmp_path)) as [on]:
        cookie = f"liveserver_token={token()}"
        assert (await on.ask("POST", LIKES, None, {}, cookie=cookie)).status_code == 201
        own = await on.ask("POST", LIKES, None, {}, cookie=cookie, origin=on.url)
        assert own.status_code == 201
        other = await on.ask("POST", LIKES, None, {}, cookie=cookie, origin="https://evil.example")
        assert other.status_code == 401


async def test_the_ops_pages_need_their_key_but_for_health(tmp_path: Path, until: Until) -> None:
    async with serving(locked(tmp_path)) as [on]:
        for path in ("/metrics", "/v1/status", "/v1/videos/v/events/x/trace", "/nowhere"):
            refused = await on.client.get(on.ops + path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
            wrong = await on.client.get(on.ops + path, headers={"authorization": f"Bearer {KEY}"})
            assert wrong.status_code == 401
        bearer = {"authorization": f"Bearer {OPS_KEY}"}
        assert (await on.client.get(f"{on.ops}/v1/status", headers=bearer)).status_code == 200
        assert (await on.client.get(f"{on.ops}/metrics", auth=("me", OPS_KEY))).status_code == 200
        assert (await on.client.get(f"{on.ops}/metrics", auth=("me", "x"))).status_code == 401
        assert (await on.client.get(f"{on.ops}/healthz")).status_code == 200

        async def ready() -> bool:
            return (await on.client.get(f"{on.ops}/readyz")).status_code == 200

        await until(ready)


async def test_limits_are_answered_with_the_time_to_come_back(tmp_path: Path) -> None:
    limits = ("limits.likes_per_user=0.2", "limits.events_per_publisher=0.1", "limits.events_per_address=100")
    async with serving(locked(tmp_path, *limits)) as [on]:
        likes = [await on.ask("POST", LIKES, token(), {}) for _ in range(3)]
        assert [like.status_code for like in likes] == [201, 201, 429]
        assert 1 <= int(likes[2].headers["retry-after"]) <= 5
        assert likes[2].headers["content-type"] == "application/problem+json"
        assert await on.status_of("POST", LIKES, token(sub="bob"), {}) == 201
        published = [await on.ask("POST", EVENTS, KEY, LIKE) for _ in range(2)]
        assert [each.status_code for each in published] == [202, 429]


async def test_a_frontend_a_backend_and_a_dispatcher_know_each_other(
    tmp_path: Path, redis_server: str, until: Until
) -> None:
    bus = ("bus.kind=redis", f"bus.url={redis_server}")
    async with serving(locked(tmp_path, 'node.roles=["dispatcher"]', "node.name=di1", *bus)) as [dispatcher]:
        there = f'["{dispatcher.url}"]'
        frontend = locked(tmp_path, 'node.roles=["frontend"]', f"frontend.dispatchers={there}", *bus)
        backend = locked(tmp_path, 'node.roles=["backend"]', f"backend.dispatchers={there}")
        stranger = locked(
            tmp_path, 'node.roles=["frontend"]', f"frontend.dispatchers={there}", "canary.timeout=200ms", *bus
        )
        (tmp_path / "nodes").write_text("another-cluster's-secret-of-32-bytes")
        async with serving(stranger) as [strange]:
            (tmp_path / "nodes").write_text(NODES)
            async with serving(frontend, backend) as [watching, liking]:

                async def ready() -> bool:
                    return (await watching.client.get(f"{watching.ops}/readyz")).status_code == 200

                await until(ready)  # its canary has flown
                assert await liking.status_of("POST", LIKES, token(), {}) == 201

                async def seen() -> bool:
                    page = await watching.ask("GET", "/v1/videos/v/poll?cursor=earliest", token())
                    return [event.get("user") for event in page.json()["events"]] == ["ada", None]

                await until(seen)
                refused = await strange.client.get(f"{strange.ops}/readyz")
                assert refused.status_code == 503


async def test_no_secret_appears_in_any_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = structlog.get_config()
    settings = locked(tmp_path)
    good = token(sub="grace")
    bad = tokens.make({"exp": time.time() + 600, "videos": ["v"]}, OTHER)
    heard: list[str] = [render(settings), repr(settings)]
    try:
        logs.configure("console", "n1")
        async with serving(settings) as [on]:
            ops = {"authorization": f"Bearer {OPS_KEY}"}
            for key in (good, bad, KEY, MODERATOR, f"{KEY}x", "x y", "ü"):
                for method, path, body in (
                    ("POST", EVENTS, LIKE),
                    ("POST", "/v1/leases", {}),
                    ("POST", LIKES, {"user": "ada"}),
                    ("GET", "/v1/videos/v/poll", None),
                    ("GET", "/v1/videos/w/poll", None),
                    ("GET", "/nowhere", None),
                ):
                    answer = await on.client.request(
                        method, on.url + path, json=body, headers={b"authorization": f"Bearer {key}".encode()}
                    )
                    heard += [str(answer.headers), answer.text]
            for text in (good, bad, "%00"):
                heard.append((await on.ask("GET", f"/v1/videos/v/poll?token={text}")).text)
                heard.append((await on.ask("GET", f"/v1/videos/v/events?token={text}&x=1")).text)
                heard.append((await on.ask("GET", f"/nowhere?token={text}")).text)
                heard.append((await on.ask("GET", SUMMARY, cookie=f"liveserver_token={text}")).text)
            for path in ("/metrics", "/v1/status", "/readyz"):
                heard.append((await on.client.get(on.ops + path, headers=ops)).text)
    finally:
        structlog.configure(**before)
    written = capsys.readouterr()
    everything = "\n".join([*heard, written.out, written.err, caplog.text])
    assert "liveserver_auth_publishers_refused" in everything
    for secret in (*SECRETS, good, bad, good.split(".")[2], bad.split(".")[2]):
        assert secret not in everything
