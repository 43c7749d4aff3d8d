"""The routes of moderation, at a whole node over real sockets: who may, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from liveserver.cli import main
from tests.auth.harness import KEY
from tests.moderation.harness import (
    ADA,
    HOST,
    MODERATOR,
    SETTINGS,
    VIDEO,
    said,
    serving,
    token,
)

DEFAULTS = {"comments": "open", "slow": 30, "likes": "open", "review": False}
BANS = f"{VIDEO}/bans"
PIN = f"{VIDEO}/pin"


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


async def test_only_moderators_change_settings() -> None:
    async with serving() as on:
        elsewhere = token("mo", "moderate", videos=["w"])
        for key, status in ((None, 401), (ADA, 403), (HOST, 403), (elsewhere, 403), (KEY, 200)):
            answer = await on.ask("PUT", SETTINGS, key, {"comments": "closed"})
            assert answer.status_code == status, answer.text
        assert (await on.events())[-1]["by"] == "site"


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


async def test_bans_are_listed_in_pages_and_only_for_moderators() -> None:
    async with serving() as on:
        users = ["ada", "B ö/b", "carl"]
        for user in users:
            name = httpx.URL(f"http://x/{user}").raw_path.decode().replace("B%20%C3%B6/b", "B%20%C3%B6%2Fb")
            await on.done("PUT", f"{BANS}{name}", MODERATOR, {"reason": f"is {user}"})
        page = await on.done("GET", f"{BANS}?limit=2", MODERATOR)
        assert page["bans"][0] == {"user": "B ö/b", "until": None, "reason": "is B ö/b"}
        rest = await on.done("GET", f"{BANS}?limit=2&after={page['next']}", MODERATOR)
        assert [each["user"] for each in page["bans"] + rest["bans"]] == sorted(users)
        assert rest["next"] is None
        assert await on.refused("GET", BANS, ADA) == (403, "", None)
        assert await on.refused("PUT", f"{BANS}/bob", ADA, {}) == (403, "", None)
        assert await on.refused("GET", f"{BANS}?limit=0", MODERATOR) == (400, "", None)
        assert await on.refused("PUT", f"{BANS}/{'x' * 129}", MODERATOR, {}) == (400, "", None)


async def test_pages_have_a_limit_whatever_is_asked_for_and_no_unknown_parameters() -> None:
    async with serving() as on:
        pages = ("bans", "audit", "users", "comments", "history", "comments?status=waiting")
        queries = (f"limit={'1'.zfill(9)}{'9' * 4_400}", "limit=0000000019999", "limit=1&limit=2", "x=1")
        for page, query in ((page, query) for page in pages for query in queries):
            path = f"{VIDEO}/{page}{'&' if '?' in page else '?'}{query}"
            assert (path, await on.refused("GET", path, MODERATOR)) == (path, (400, "", None))
        for user in ("bans/%ff", "bans/%", "users/a%ED%A0%80/comments"):
            assert await on.refused("DELETE", f"{VIDEO}/{user}", MODERATOR) == (400, "", None)


async def test_a_user_whose_name_has_a_line_break_or_begins_with_a_slash_is_banned() -> None:
    async with serving() as on:
        for user, path in (("a\nb", "a%0Ab"), ("/a", "%2Fa"), ("a//b", "a%2F%2Fb")):
            assert await on.comment(KEY, user=user) == 201
            await on.done("PUT", f"{BANS}/{path}", MODERATOR, {})
            assert await on.comment(KEY, user=user) == 403
        assert await on.comment(KEY, user="a") == 201
        for user in (".", "..", "a\0"):  # no browser asks for their URL; PostgreSQL does not store the last
            assert [await on.comment(KEY, user=user), await on.comment(token(user))] == [400, 401]
            assert [await on.like(KEY, user=user), await on.like(token(user))] == [400, 401]


async def test_a_comment_or_a_text_is_pinned_until_it_is_not() -> None:
    async with serving() as on:
        comment = await said(on, ADA, "look here")
        await on.done("PUT", PIN, MODERATOR, {"comment": comment})
        assert await on.state() == {"pin": {"text": "look here", "comment": comment, "user": "ada"}}
        await on.done("PUT", PIN, HOST, {"text": "at noon: the goat"})
        assert await on.state() == {"pin": {"text": "at noon: the goat"}}
        assert [(event["by"], event["role"]) for event in await on.events() if event["type"] == "pin"] == [
            ("mo", "moderator"),
            ("hugo", "host"),
        ]
        await on.done("DELETE", PIN, HOST)
        assert await on.state() == {}
        bad: list[Any] = [{}, {"comment": "a", "text": "b"}, {"text": ""}, {"text": "x" * 501}, {"to": 1}]
        for body in bad:
            assert (await on.ask("PUT", PIN, MODERATOR, body)).status_code == 400
        assert await on.refused("PUT", PIN, MODERATOR, {"comment": "nothing"}) == (404, "", None)
        assert await on.refused("PUT", PIN, ADA, {"text": "me"}) == (403, "", None)


async def test_hosts_and_moderators_announce_and_no_one_else() -> None:
    async with serving() as on:
        path = f"{VIDEO}/announcements"
        made = await on.done("POST", path, HOST, {"text": "welcome"})
        await on.done("POST", path, KEY, {"text": "from the site"})
        first, second = await on.events()
        assert (first["id"], first["type"], first["by"], first["role"]) == (
            made["id"],
            "announcement",
            "hugo",
            "host",
        )
        assert (second["by"], "role" in second) == ("site", False)
        repeated = [
            (await on.ask("POST", path, HOST, {"text": text}, Idempotency_Key=key)).json()["id"]
            for text, key in (("soon", "k1"), ("soon", "k1"), ("soon", "k2"))
        ]
        assert repeated[0] == repeated[1] != repeated[2]
        assert [each["id"] for each in (await on.events())[2:]] == repeated[1:]
        assert (await on.refused("POST", path, HOST, {"text": "x"}, Idempotency_Key="k" * 256))[0] == 400
        assert await on.refused("POST", path, ADA, {"text": "x"}) == (403, "", None)
        forged = {"type": "announcement", "data": {"text": "forged"}}
        assert await on.refused("POST", f"{VIDEO}/events", KEY, forged) == (403, "", None)
