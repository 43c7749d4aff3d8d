"""Key sets that change, served by a test server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.auth.jwks import Jwks
from liveserver.auth.viewers import ViewerTokens
from liveserver.errors import Unauthorized, Unavailable
from tests.auth.harness import Clock, auth, ec_key, ed_key, header, jwks, rsa_key, token

URL = "https://site.example/jwks.json"


class Site:
    """Serves a key set; slowly or not at all, as a test sets it."""

    def __init__(self, **keys: object) -> None:
        self.content = jwks(**keys)  # type: ignore[arg-type]  # the keys of the support
        self.asked = 0
        self.fails = False
        self.hangs = False

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        return httpx.Response(503 if self.fails else 200, content=self.content)


@asynccontextmanager
async def watching(site: Site) -> AsyncIterator[ViewerTokens]:
    settings = auth(viewers="token", jwks=URL)
    keys = Jwks(URL, settings, httpx.MockTransport(site.handle))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        yield ViewerTokens(settings, [], keys, Clock())
        nursery.cancel_scope.cancel()


async def test_keys_of_all_kinds_are_found_by_their_names(autojump_clock: MockClock) -> None:
    site = Site(a=rsa_key(), b=ec_key(), c=ed_key())
    async with watching(site) as viewers:
        await trio.testing.wait_all_tasks_blocked(0.01)
        for good in (
            token(rsa_key(), "RS256", "a"),
            token(ec_key(), "ES256", "b"),
            token(ec_key(), "ES256"),
            token(ed_key(), "EdDSA", "c"),
            token(ed_key(), "EdDSA"),
        ):
            assert (await viewers.authenticate(header(good))).user == "u1"
        for bad in (
            token(rsa_key("two"), "RS256", "a"),
            token(algorithm="HS256", kid="a"),
            token(ed_key("two"), "EdDSA", "c"),
            token(ed_key(), "EdDSA", "a"),
        ):
            with pytest.raises(Unauthorized):
                await viewers.authenticate(header(bad))
    assert site.asked == 1


async def test_an_unknown_key_is_looked_for_once_in_a_while(autojump_clock: MockClock) -> None:
    site = Site(a=rsa_key())
    async with watching(site) as viewers:
        await trio.testing.wait_all_tasks_blocked(0.01)
        site.content = jwks(a=rsa_key(), b=rsa_key("two"))
        new = header(token(rsa_key("two"), "RS256", "b"))
        with pytest.raises(Unauthorized):
            await viewers.authenticate(new)  # it was asked a moment ago
        autojump_clock.jump(31)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(viewers.authenticate, new)
        assert site.asked == 2
        for number in range(20):
            with pytest.raises(Unauthorized):
                await viewers.authenticate(header(token(rsa_key("two"), "RS256", f"made-up-{number}")))
        assert site.asked == 2


async def test_a_fetch_that_fails_keeps_what_there_was(autojump_clock: MockClock) -> None:
    site = Site(a=rsa_key())
    async with watching(site) as viewers:
        await trio.testing.wait_all_tasks_blocked(0.01)
        for content, fails, hangs in ((site.content, True, False), (b"{", False, False), (b"", False, True)):
            site.content, site.fails, site.hangs = content, fails, hangs
            await trio.sleep(606)
            assert await viewers.authenticate(header(token(rsa_key(), "RS256", "a", exp=2e9)))
        assert viewers.statistics().key_sets_failed == 3
        # What cannot be known just now is not refused for good.
        with pytest.raises(Unavailable):
            await viewers.authenticate(header(token(rsa_key("two"), "RS256", "b", exp=2e9)))


async def test_a_key_that_is_withdrawn_is_good_for_nothing_more(autojump_clock: MockClock) -> None:
    site = Site(a=rsa_key(), b=ec_key())
    async with watching(site) as viewers:
        await trio.testing.wait_all_tasks_blocked(0.01)
        known = header(token(rsa_key(), "RS256", "a", exp=2e9))
        await viewers.authenticate(known)
        site.content = jwks(b=ec_key())
        await trio.sleep(601)
        with pytest.raises(Unauthorized):
            await viewers.authenticate(known)


async def test_before_there_are_any_one_is_asked_to_come_back(autojump_clock: MockClock) -> None:
    site = Site(a=rsa_key())
    site.fails = True
    async with watching(site) as viewers:
        with pytest.raises(Unavailable):
            await viewers.authenticate(header(token(rsa_key(), "RS256", "a")))
        site.fails = False
        await trio.sleep(6)
        await viewers.authenticate(header(token(rsa_key(), "RS256", "a")))


async def test_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(a=rsa_key()))
    keys = Jwks(str(file), auth())
    await keys.refresh_on_miss()
    assert [key.id for key in keys.keys] == ["a"]
    file.unlink()
    missing = Jwks(str(file), auth())
    await missing.refresh_on_miss()
    assert (missing.keys, missing.failed) == ([], 1)
