"""Tokens that are revoked and users that are disconnected: streams end, and what was revoked is refused."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from liveserver import config
from liveserver.client import Bye, Ready, Refused, Watcher, watch
from liveserver.client.watching import Transport
from liveserver.cluster.redis_server import RedisServer
from liveserver.config import Settings
from tests.auth.harness import KEY, NODES, SECRET
from tests.conftest import Until
from tests.node.test_authorization import (
    ANYWHERE,
    COMMENTS,
    LIKES,
    MODERATOR,
    OPS_KEY,
    Stage,
    locked,
    serving,
    token,
)

FAST = "auth.revocation_interval=20ms"
POLL, ME = "/v1/videos/v/poll", "/v1/videos/v/me"
STREAMS: tuple[Transport, ...] = ("sse", "ws")


@asynccontextmanager
async def watching(on: Stage, transport: Transport, token: str) -> AsyncIterator[Watcher]:
    """A viewer that is level."""
    async with watch(on.url, "v", transport=transport, token=token) as items:
        async for item in items:  # a frontend that cannot subscribe in time says `bye`
            if isinstance(item, Ready):
                break
        yield items


async def bye(items: Watcher) -> Bye:
    with trio.fail_after(30):
        async for item in items:
            if isinstance(item, Bye):
                return item
    raise AssertionError("the stream ended without a bye")


async def refused(on: Stage, key: str, until: Until) -> None:
    """Wait until a token is refused, at each of the routes."""

    async def is_refused() -> bool:
        return await on.status_of("GET", ME, key) == 401

    await until(is_refused)
    for method, path, body in (
        ("GET", "/v1/videos/v/events", None),
        ("GET", POLL, None),
        ("GET", "/v1/videos/v/viewers", None),
        ("GET", "/v1/videos/v/summary", None),
        ("POST", LIKES, {}),
        ("POST", COMMENTS, {"text": "hello"}),
    ):
        answer = await on.ask(method, path, key, body)
        assert (answer.status_code, "revoked" in answer.json()["detail"]) == (401, True), path


@pytest.mark.parametrize("transport", STREAMS)
async def test_a_revoked_token_ends_its_streams_and_is_refused(
    transport: Transport, tmp_path: Path, until: Until
) -> None:
    bad, good = token(jti="One/of ada's"), token(jti="two")
    async with serving(locked(tmp_path, FAST)) as [on]:
        assert await on.status_of("GET", ME, bad) == 200  # from now on it is known
        async with watching(on, transport, bad) as ended, watching(on, transport, good) as kept:
            answer = await on.ask("PUT", "/v1/revocations/tokens/One%2Fof%20ada's", MODERATOR)
            assert answer.status_code == 200
            assert await bye(ended) == Bye("revoked", False)
            await refused(on, bad, until)
            assert await on.status_of("GET", ME, good) == 200
            assert await on.status_of("POST", LIKES, good, {}) == 201
            with trio.move_on_after(0.2) as scope:
                assert not isinstance([item async for item in kept], Bye)
            assert scope.cancelled_caught  # it goes on


@pytest.mark.parametrize("transport", STREAMS)
async def test_a_users_tokens_are_revoked_by_when_they_were_issued(
    transport: Transport, tmp_path: Path, until: Until
) -> None:
    now = int(time.time())
    old, undated = token(iat=now - 60), token()
    new, others = token(iat=now + 5), token(sub="bob", iat=now - 60)
    async with serving(locked(tmp_path, FAST)) as [on], AsyncExitStack() as stack:
        ended = [await stack.enter_async_context(watching(on, transport, each)) for each in (old, undated)]
        answer = await on.ask("PUT", "/v1/revocations/users/ada", MODERATOR, {"before": now * 1000})
        assert answer.json()["before"] == now * 1000
        for items in ended:
            assert await bye(items) == Bye("revoked", False)
        await refused(on, old, until)
        await refused(on, undated, until)
        for kept in (new, others):
            assert await on.status_of("GET", ME, kept) == 200
        with pytest.raises(Refused):
            async with watch(on.url, "v", transport=transport, token=old) as items:
                await anext(items)
        held = (await on.ask("GET", "/v1/revocations", OPS_KEY)).json()["revocations"]
        assert [(each["user"], each["before"]) for each in held] == [("ada", now * 1000)]
        assert await on.status_of("DELETE", "/v1/revocations/users/ada", MODERATOR) == 204

        async def is_good_again() -> bool:
            return await on.status_of("GET", ME, old) == 200

        await until(is_good_again)


async def test_a_poll_that_waits_is_answered_when_its_token_is_revoked(tmp_path: Path, until: Until) -> None:
    bad = token(jti="one")
    answers: list[dict[str, Any]] = []
    async with serving(locked(tmp_path, FAST)) as [on], trio.open_nursery() as nursery:
        cursor = (await on.ask("GET", POLL, bad)).json()["cursor"]

        async def poll() -> None:
            answers.append((await on.ask("GET", f"{POLL}?cursor={cursor}&wait=60", bad)).json())

        async def waits() -> bool:
            status = await on.client.get(
                f"{on.ops}/v1/status", headers={"authorization": f"Bearer {OPS_KEY}"}
            )
            return bool(status.json()["frontend"]["transports"]["poll"])

        nursery.start_soon(poll)
        await until(waits)
        assert await on.status_of("PUT", "/v1/revocations/tokens/one", MODERATOR) == 200

        async def is_answered() -> bool:
            return bool(answers)

        await until(is_answered)
        assert answers == [{"cursor": cursor, "gap": False, "events": []}]
        await refused(on, bad, until)


@pytest.mark.parametrize("transport", STREAMS)
async def test_a_user_is_disconnected_and_may_come_back(transport: Transport, tmp_path: Path) -> None:
    ada, bob = token(), token(sub="bob")
    async with serving(locked(tmp_path, FAST)) as [on]:
        async with (
            watching(on, transport, ada) as one,
            watching(on, transport, ada) as two,
            watching(on, transport, bob) as other,
        ):
            answer = await on.ask("POST", "/v1/users/ada/disconnect", MODERATOR)
            assert (answer.status_code, answer.json()) == (202, {"user": "ada"})
            for items in (one, two):
                assert await bye(items) == Bye("disconnected", False)
            with trio.move_on_after(0.2) as scope:
                _ = [item async for item in other]
            assert scope.cancelled_caught
        async with watching(on, transport, ada):
            pass


async def test_only_a_sites_servers_and_operators_may(tmp_path: Path) -> None:
    asked: list[tuple[str, str, Any]] = [
        ("PUT", "/v1/revocations/tokens/t", {}),
        ("PUT", "/v1/revocations/users/ada", {}),
        ("DELETE", "/v1/revocations/users/ada", None),
        ("GET", "/v1/revocations", None),
        ("POST", "/v1/users/ada/disconnect", None),
    ]
    async with serving(locked(tmp_path, FAST)) as [on]:
        for method, path, body in asked:
            for key in (None, "made-up-made-up-made-up", token(scope="watch moderate host"), NODES):
                assert await on.status_of(method, path, key, body) == 401, (path, key)
            assert await on.status_of(method, path, KEY, body) == 403  # without the scope, for some videos
            for key in (MODERATOR, OPS_KEY):
                assert (await on.status_of(method, path, key, body)) in (200, 202, 204)


BAD: list[tuple[str, str, Any, str]] = [
    ("tokens/t", "PUT", {"before": 1}, "before is only for revoking a user's tokens"),
    ("tokens/t", "PUT", {"until": 1}, "within 86400 s"),
    ("tokens/t", "PUT", {"until": 2**53 - 1}, "within 86400 s"),
    ("users/u", "PUT", {"before": 2**53 - 1}, "not in the future"),
    ("users/u", "PUT", {"before": -1}, "malformed body"),
    ("users/u", "PUT", {"before": 1.5}, "malformed body"),
    ("users/u", "PUT", {"wrong": 1}, "malformed body"),
    ("users/u", "PUT", [], "malformed body"),
    ("users/" + 129 * "u", "PUT", {}, "1 to 128 characters"),
    ("users/a%00b", "PUT", {}, "without NUL"),
    ("tokens/" + 257 * "t", "PUT", {}, "1 to 256 characters"),
    ("tokens/" + 257 * "t", "DELETE", None, "1 to 256 characters"),
]


async def test_malformed_requests_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with serving(locked(tmp_path, FAST)) as [on]:
        for path, method, body, complaint in BAD:
            answer = await on.ask(method, f"/v1/revocations/{path}", MODERATOR, body)
            assert answer.status_code == 400, path
            assert complaint in answer.json()["detail"]
        answer = await on.ask("POST", f"/v1/users/{129 * 'u'}/disconnect", MODERATOR)
        assert answer.status_code == 400


async def test_the_sites_log_is_not_for_viewers_and_publishers(tmp_path: Path) -> None:
    async with serving(locked(tmp_path, FAST)) as [on]:
        ada = token(videos=["*"], scope="watch like comment moderate host")
        for method, path, key, body in (
            ("GET", "/v1/videos/liveserver.site/events", ada, None),
            ("GET", "/v1/videos/liveserver.site/poll", ada, None),
            ("GET", "/v1/videos/liveserver.site/viewers", ada, None),
            ("GET", "/v1/videos/liveserver.site/summary", ada, None),
            ("POST", "/v1/videos/liveserver.site/likes", ada, {}),
            ("POST", "/v1/videos/liveserver.site/events", MODERATOR, {"type": "x"}),
            ("POST", "/v1/events", MODERATOR, [{"type": "x", "video": "liveserver.site"}]),
        ):
            assert await on.status_of(method, path, key, body) == 403, path


async def test_it_holds_at_other_nodes_and_after_a_restart(
    tmp_path: Path, redis_server: str, until: Until
) -> None:
    bus = ("bus.kind=redis", f"bus.url={redis_server}", FAST)
    one, two = token(jti="one"), token(jti="two", iat=time.time() - 60)
    async with serving(locked(tmp_path, 'node.roles=["dispatcher"]', "node.name=di1", *bus)) as [dispatcher]:
        there = f'["{dispatcher.url}"]'
        frontend = locked(tmp_path, 'node.roles=["frontend"]', f"frontend.dispatchers={there}", *bus)
        backend = locked(tmp_path, 'node.roles=["backend"]', f"backend.dispatchers={there}", *bus)
        async with serving(frontend, backend) as [fe, be]:
            async with watching(fe, "sse", one) as items, watching(fe, "ws", two) as others:
                assert await dispatcher.status_of("PUT", "/v1/revocations/tokens/one", MODERATOR) == 200
                assert await dispatcher.status_of("POST", "/v1/users/ada/disconnect", MODERATOR) == 202
                assert (await bye(items)).reason == "revoked"
                assert (await bye(others)).reason == "disconnected"
            for on in (fe, be):

                async def is_refused(on: Stage = on) -> bool:
                    return await on.status_of("GET", ME, one) == 401

                await until(is_refused)
                assert await on.status_of("GET", ME, two) == 200
        async with serving(frontend) as [anew]:  # whose first token is asked for before it has read anything
            assert await anew.status_of("GET", ME, one) == 401
            async with watching(anew, "sse", two):  # earlier revocations disconnect no one
                pass


async def users(on: Stage, query: str = "") -> dict[str, Any]:
    answer = await on.ask("GET", f"/v1/videos/v/users{query}", MODERATOR)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_moderator_lists_the_watching_users(tmp_path: Path) -> None:
    host = token(sub="hal", scope="watch host")
    async with serving(locked(tmp_path, FAST)) as [on], AsyncExitStack() as stack:
        assert (await users(on))["users"] == []
        viewers: list[tuple[str, Transport]] = [(token(), "sse"), (token(), "ws")]
        for shown, transport in (*viewers, (token(sub="bob"), STREAMS[1]), (host, STREAMS[0])):
            await stack.enter_async_context(watching(on, transport, shown))
        await stack.enter_async_context(watching(on, "sse", token(sub=None)))
        first = await users(on, "?limit=2")
        assert first == {
            "video": "v",
            "users": [{"user": "ada"}, {"user": "bob"}],
            "next": "bob",
            "anonymous": 1,
            "complete": True,
        }
        rest = await users(on, "?limit=2&after=bob")
        assert (rest["users"], rest["next"]) == ([{"user": "hal", "role": "host"}], None)
        for key, status in ((None, 401), (token(), 403), (KEY, 403), (token(scope="moderate"), 200)):
            assert await on.status_of("GET", "/v1/videos/v/users", key) == status
        for wrong in ("limit=0", "limit=201", "limit=x", "after=" + 129 * "x", "wrong=1", "limit=1&limit=2"):
            assert await on.status_of("GET", f"/v1/videos/v/users?{wrong}", MODERATOR) == 400, wrong


@pytest.mark.parametrize("transport", STREAMS)
async def test_it_holds_in_the_other_datacenter(
    transport: Transport, tmp_path: Path, redis_server: str, own_redis: RedisServer, until: Until
) -> None:
    """What is said in one is done in the other, in the direction from which nothing was watched."""
    urls = {"dc1": redis_server, "dc2": own_redis.url}

    def settings(name: str, peer: str) -> Settings:
        return locked(
            tmp_path,
            'node.roles=["dispatcher", "frontend"]',
            f"node.name={name}-n",
            f"node.datacenter={name}",
            "bus.kind=redis",
            f"bus.url={urls[name]}",
            f"peers.{peer}.url={urls[peer]}",
            FAST,
        )

    ada, bob = token(jti="one"), token(sub="bob")
    async with serving(settings("dc1", "dc2"), settings("dc2", "dc1")) as [one, two]:
        async with (
            watching(two, transport, ada) as ended,
            watching(two, transport, bob) as let_go,
            watching(one, transport, token(sub="eve")),
        ):

            async def is_listed() -> bool:
                found = await users(one)
                return [each["user"] for each in found["users"]] == ["ada", "bob", "eve"]

            await until(is_listed)
            assert await one.status_of("PUT", "/v1/revocations/tokens/one", MODERATOR) == 200
            assert await bye(ended) == Bye("revoked", False)
            assert await one.status_of("POST", "/v1/users/bob/disconnect", MODERATOR) == 202
            assert await bye(let_go) == Bye("disconnected", False)
        assert await two.status_of("GET", ME, ada) == 401
        assert await two.status_of("GET", ME, bob) == 200


async def test_nodes_that_do_not_sign_may_write_the_sites_log(
    tmp_path: Path, redis_server: str, until: Until
) -> None:
    """Where publishing is open, a likes backend of its own still reaches everything."""
    (tmp_path / "viewers").write_text(SECRET)
    base = (
        *ANYWHERE,
        "auth.viewers=token",
        f"auth.secret_file={tmp_path / 'viewers'}",
        f"auth.ops_key={OPS_KEY}",
        "bus.kind=redis",
        f"bus.url={redis_server}",
        FAST,
    )
    di = config.load(None, [*base, 'node.roles=["dispatcher"]', "node.name=di1"], {})
    async with serving(di) as [dispatcher]:
        there = f'dispatchers=["{dispatcher.url}"]'
        fe = config.load(None, [*base, 'node.roles=["frontend"]', f"frontend.{there}"], {})
        be = config.load(None, [*base, 'node.roles=["backend"]', f"backend.{there}"], {})
        async with serving(fe, be) as [frontend, backend]:
            moderator = token(sub="mo", scope="moderate")
            async with watching(frontend, "sse", token()) as items:

                async def is_listed() -> bool:
                    answer = await backend.ask("GET", "/v1/videos/v/users", moderator)
                    return bool(answer.json().get("users") == [{"user": "ada"}])

                await until(is_listed)
                for key, status in ((None, 401), (moderator, 401), (OPS_KEY, 202)):
                    assert await backend.status_of("POST", "/v1/users/ada/disconnect", key) == status
                assert await bye(items) == Bye("disconnected", False)
