"""What a site's server may do at dispatchers, with its key: history, viewers, unsubscribe."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from liveserver.client import Bye, Ready, watch
from liveserver.client.watching import Transport
from tests.auth.harness import KEY
from tests.node.test_authorization import MODERATOR, OPS_KEY, locked, serving, token
from tests.node.test_site import FAST, STREAMS, bye, watching

HISTORY, VIEWERS = "/v1/videos/v/history", "/v1/videos/v/viewers"
UNSUBSCRIBE = "/v1/videos/v/users/ada/unsubscribe"
ONLY_DISPATCHER = 'node.roles=["dispatcher"]'
STRANGER = "the-key-of-a-stranger-x"


CASES = (
    ("GET", HISTORY, None, 401),
    ("GET", HISTORY, STRANGER, 401),
    ("GET", HISTORY, OPS_KEY, 401),
    ("GET", HISTORY, "viewer", 403),
    ("GET", HISTORY, "host", 403),
    ("GET", HISTORY, "moderator of w", 403),
    ("GET", HISTORY, "moderator", 200),
    ("GET", "/v1/videos/w/history", KEY, 403),
    ("GET", "/v1/videos/concert-9/history", KEY, 200),
    ("GET", "/v1/videos/concert/history", KEY, 403),
    ("GET", "/v1/videos/-/history", KEY, 400),
    ("POST", HISTORY, KEY, 405),
    ("GET", VIEWERS, None, 401),
    ("GET", VIEWERS, STRANGER, 401),
    ("GET", VIEWERS, "viewer", 200),
    ("GET", "/v1/videos/w/viewers", "viewer", 403),
    ("GET", "/v1/videos/w/viewers", KEY, 403),
    ("GET", f"{VIEWERS}?x=1", KEY, 400),
    ("POST", UNSUBSCRIBE, None, 401),
    ("POST", UNSUBSCRIBE, STRANGER, 401),
    ("POST", UNSUBSCRIBE, KEY, 403),  # its scope is publish
    ("POST", UNSUBSCRIBE, "viewer", 403),
    ("POST", UNSUBSCRIBE, "host", 403),
    ("POST", UNSUBSCRIBE, "moderator of w", 403),
    ("POST", UNSUBSCRIBE, "moderator", 202),
    ("POST", UNSUBSCRIBE, MODERATOR, 202),
    ("POST", f"/v1/videos/v/users/{129 * 'u'}/unsubscribe", MODERATOR, 400),
    ("POST", "/v1/videos/-/users/ada/unsubscribe", MODERATOR, 400),
    ("GET", f"{HISTORY}?limit=0", KEY, 400),
    ("GET", f"{HISTORY}?limit=1001", KEY, 400),
    ("GET", f"{HISTORY}?limit=1&limit=2", KEY, 400),
    ("GET", f"{HISTORY}?order=up", KEY, 400),
    ("GET", f"{HISTORY}?types=", KEY, 400),
    ("GET", f"{HISTORY}?types=Comment", KEY, 400),
    ("GET", f"{HISTORY}?from=-1", KEY, 400),
    ("GET", f"{HISTORY}?to=%D9%A3", KEY, 400),
    ("GET", f"{HISTORY}?cursor=now", KEY, 400),
    ("GET", f"{HISTORY}?after=1", KEY, 400),
)


async def test_each_route_checks_authorization_and_its_input(tmp_path: Path) -> None:
    tokens = {
        "viewer": token(),
        "host": token(scope="watch host"),
        "moderator": token(scope="watch moderate"),
        "moderator of w": token(scope="watch moderate", videos=["w"]),
    }
    async with serving(locked(tmp_path, ONLY_DISPATCHER)) as [on]:
        for method, path, key, status in CASES:
            found = await on.status_of(method, path, tokens.get(key or "", key))
            assert found == status, (method, path, key)


@pytest.mark.parametrize("transport", STREAMS)
async def test_an_unsubscribed_user_s_streams_of_that_video_end(transport: Transport, tmp_path: Path) -> None:
    ada, bob = token(sub="ada"), token(sub="bob")
    async with serving(locked(tmp_path, FAST)) as [on]:
        async with (
            watching(on, transport, ada) as ended,
            watching(on, transport, bob) as kept,
            watch(on.url, "concert-1", transport=transport, token=token(sub="ada", videos=["*"])) as other,
        ):
            assert isinstance(await anext(other), Ready)
            answer = await on.ask("POST", UNSUBSCRIBE, MODERATOR)
            assert (answer.status_code, answer.json()) == (202, {"video": "v", "user": "ada"})
            assert await bye(ended) == Bye("disconnected", False)
            for going_on in (kept, other):
                with trio.move_on_after(0.2) as scope:
                    assert not isinstance([item async for item in going_on], Bye)
                assert scope.cancelled_caught
        async with watching(on, transport, ada):  # it may come back
            pass
