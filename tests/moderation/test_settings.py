"""Settings of a video at run time, at a whole node over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from liveserver.cli import main
from tests.auth.harness import KEY
from tests.moderation.harness import (
    ADA,
    BOB,
    COMMENTS,
    HOST,
    LIKES,
    MODERATOR,
    SETTINGS,
    serving,
    token,
)

DEFAULTS = {"comments": "open", "slow": 30, "likes": "open", "review": False}


async def test_a_change_answers_all_settings_and_is_in_the_state() -> None:
    async with serving() as on:
        assert await on.done("GET", SETTINGS, ADA) == DEFAULTS
        changed = await on.done("PUT", SETTINGS, MODERATOR, {"comments": "slow", "slow": 120})
        assert changed == DEFAULTS | {"comments": "slow", "slow": 120}
        assert await on.done("PUT", SETTINGS, MODERATOR, {"likes": "closed"}) == changed | {"likes": "closed"}
        assert await on.done("GET", SETTINGS, ADA) == changed | {"likes": "closed"}
        assert (await on.state())["settings"] == changed | {"likes": "closed"}
        event = (await on.events())[-1]
        assert (event["type"], event["key"], event["by"]) == ("settings", "settings", "mo")


@pytest.mark.parametrize(
    "body",
    [
        {"comments": "shut"},
        {"slow": 0},
        {"slow": 3601},
        {"slow": "30"},
        {"likes": "slow"},
        {"review": 1},
        {"colour": "red"},
        [],
    ],
)
async def test_what_is_no_setting_is_refused(body: Any) -> None:
    async with serving() as on:
        answer = await on.ask("PUT", SETTINGS, MODERATOR, body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert await on.done("GET", SETTINGS, ADA) == DEFAULTS


async def test_only_moderators_change_settings() -> None:
    async with serving() as on:
        elsewhere = token("mo", "moderate", videos=["w"])
        for key, status in ((None, 401), (ADA, 403), (HOST, 403), (elsewhere, 403), (KEY, 200)):
            answer = await on.ask("PUT", SETTINGS, key, {"comments": "closed"})
            assert answer.status_code == status, answer.text
        assert (await on.events())[-1]["by"] == "site"


async def test_closed_comments_and_likes_are_refused_except_for_moderators() -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, {"comments": "closed", "likes": "closed"})
        for key in (ADA, HOST):
            assert await on.refused("POST", COMMENTS, key, {"text": "hi"}) == (403, "closed", None)
            assert await on.refused("POST", LIKES, key, {}) == (403, "closed", None)
        assert await on.refused("POST", COMMENTS, KEY, {"text": "hi", "user": "u"}) == (403, "closed", None)
        assert (await on.comment(MODERATOR), await on.like(MODERATOR)) == (201, 201)
        await on.done("PUT", SETTINGS, MODERATOR, {"comments": "open", "likes": "open"})
        assert (await on.comment(ADA), await on.like(ADA)) == (201, 201)


async def test_slow_mode_is_per_user_and_says_until_when() -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, {"comments": "slow", "slow": 600})
        assert (await on.comment(ADA), await on.comment(BOB)) == (201, 201)
        status, reason, after = await on.refused("POST", COMMENTS, ADA, {"text": "again"})
        assert (status, reason) == (429, "slow")
        assert after is not None
        assert 590 <= int(after) <= 600
        assert (await on.like(ADA), await on.like(ADA)) == (201, 201)
        assert [await on.comment(MODERATOR) for _ in range(3)] == [201] * 3
        assert [await on.comment(KEY, user="u1"), await on.comment(KEY, user="u2")] == [201, 201]
        assert await on.comment(KEY, user="u1") == 429
        await on.done("PUT", SETTINGS, MODERATOR, {"slow": 5})
        _, _, after = await on.refused("POST", COMMENTS, ADA, {"text": "again"})
        assert after is not None
        assert int(after) <= 5
        await on.done("PUT", SETTINGS, MODERATOR, {"comments": "open"})
        assert await on.comment(ADA) == 201


async def test_slow_mode_answers_a_repeated_request_as_before() -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, {"comments": "slow", "slow": 600})
        first = await on.ask("POST", COMMENTS, ADA, {"text": "hi"}, idempotency_key="k1")
        again = await on.ask("POST", COMMENTS, ADA, {"text": "hi"}, idempotency_key="k1")
        assert (first.status_code, first.content) == (201, again.content)
        assert (await on.ask("POST", COMMENTS, ADA, {"text": "x"}, idempotency_key="k2")).status_code == 429


async def test_who_has_no_name_is_slowed_by_address() -> None:
    async with serving() as on:
        nameless = token(None)
        await on.done("PUT", SETTINGS, MODERATOR, {"comments": "slow", "slow": 600})
        assert [await on.comment(nameless) for _ in range(2)] == [201, 429]


async def test_a_moderators_comments_and_a_hosts_say_so() -> None:
    async with serving("likes.each_up_to=100", "limits.comments_per_user=0.001", "limits.burst=1s") as on:
        assert [await on.comment(MODERATOR) for _ in range(3)] == [201] * 3, "rates do not hold for them"
        assert [await on.comment(HOST), await on.comment(HOST), await on.comment(ADA)] == [201, 429, 201]
        assert (await on.like(HOST), await on.like(ADA)) == (201, 201)
        roles: set[tuple[str, str, str | None]] = set()
        while len(roles) < 5:
            roles = {(event["type"], event["user"], event.get("role")) for event in await on.events()}
        assert roles == {
            ("comment", "mo", "moderator"),
            ("comment", "hugo", "host"),
            ("comment", "ada", None),
            ("like", "hugo", "host"),
            ("like", "ada", None),
        }


async def test_what_moderators_did_is_listed_and_printed(capfd: pytest.CaptureFixture[str]) -> None:
    async with serving() as on:
        await on.done("PUT", SETTINGS, MODERATOR, {"comments": "slow"})
        await on.done("PUT", "/v1/videos/v/bans/ada", MODERATOR, {"reason": "\x1b[31mspam"})
        await on.done("DELETE", "/v1/videos/v/bans/ada", KEY)
        page = await on.done("GET", "/v1/videos/v/audit?limit=2", MODERATOR)
        assert [(each["type"], each["by"]) for each in page["acts"]] == [("ban", "site"), ("ban", "mo")]
        rest = await on.done("GET", f"/v1/videos/v/audit?before={page['next']}", MODERATOR)
        assert ([each["type"] for each in rest["acts"]], rest["next"]) == (["settings"], None)
        assert await on.refused("GET", "/v1/videos/v/audit", ADA) == (403, "", None)
        assert await on.refused("GET", "/v1/videos/v/audit?before=none", MODERATOR) == (404, "", None)
        assert await printed(on.url, "v", "--key", MODERATOR) == 0
        table = capfd.readouterr().out
        assert all(word in table for word in ("settings", "ban", "lift ban", "ada", "site", "mo"))
        assert "\x1b[31m" not in table
        assert await printed(on.url, "v", "--key", MODERATOR, "--json", "--limit", "1") == 0
        (line,) = capfd.readouterr().out.splitlines()
        assert json.loads(line)["data"] is None
        assert await printed(on.url, "v", "--key", ADA) == 1
        assert "403" in capfd.readouterr().err


async def printed(*arguments: str) -> int:
    """Run `liveserver audit`; its exit code."""

    def run() -> int:
        with pytest.raises(SystemExit) as ended:
            main(["audit", *arguments])
        return int(ended.value.code or 0)

    return await trio.to_thread.run_sync(run)
