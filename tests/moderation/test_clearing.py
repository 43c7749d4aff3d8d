"""Retraction: of one's own comment, of any by a moderator, of all of a user; and of what is pinned."""

from __future__ import annotations

from urllib.parse import quote

from tests.auth.harness import KEY
from tests.conftest import Until
from tests.moderation.harness import ADA, BOB, COMMENTS, MODERATOR, VIDEO, Node, said, serving

CLEAR, PIN, SUMMARY = f"{VIDEO}/users/ada/comments", f"{VIDEO}/pin", f"{VIDEO}/summary"


async def texts(on: Node) -> set[str]:
    """What the log shows to one that replays."""
    return {event["data"]["text"] for event in await on.events(BOB) if event["type"] == "comment"}


async def test_a_user_retracts_only_own_comments(until: Until) -> None:
    async with serving() as on:
        mine, bobs = await said(on, ADA, "mine"), await said(on, BOB, "bob's")

        async def are_shown() -> bool:
            return await texts(on) == {"mine", "bob's"}

        await until(are_shown)
        assert await on.refused("DELETE", f"{COMMENTS}/{bobs}", ADA) == (403, "", None)
        for _ in range(2):
            await on.done("DELETE", f"{COMMENTS}/{mine}", ADA)
        assert await texts(on) == {"bob's"}, "it is in the feed when that is answered"
        assert not any("by" in event for event in await on.events(BOB))
        await on.done("DELETE", f"{COMMENTS}/{bobs}", MODERATOR)
        assert await texts(on) == set()
        assert [event["by"] for event in await on.events(BOB) if "by" in event] == ["mo"]
        assert await on.refused("DELETE", f"{COMMENTS}/nothing", MODERATOR) == (404, "", None)


async def test_all_comments_of_a_user_are_retracted_and_no_longer_shown(until: Until) -> None:
    async with serving() as on:
        start = (await on.done("GET", f"{VIDEO}/poll", BOB))["cursor"]
        for text in ("one", "two"):
            await said(on, ADA, text)
        await said(on, BOB, "stays")

        async def are_shown() -> bool:
            return await texts(on) == {"one", "two", "stays"}

        await until(are_shown)
        assert await on.refused("DELETE", CLEAR, ADA) == (403, "", None)
        await on.done("DELETE", CLEAR, MODERATOR)
        assert await texts(on) == {"stays"}
        for path in (f"{VIDEO}/poll?cursor={start}", f"{VIDEO}/poll?replay=200", SUMMARY, COMMENTS):
            answer = await on.ask("GET", path, BOB)
            assert "stays" in answer.text
            assert not any(text in answer.text for text in ('"one"', '"two"')), path
        event = (await on.events(BOB))[-1]
        assert (event["type"], event["by"], event["data"]) == ("clear", "mo", {"user": "ada"})
        assert "clear/ada" not in await on.state(MODERATOR), "there was nothing to clear"
        await said(on, ADA, "again")

        async def is_shown() -> bool:
            return await texts(on) == {"stays", "again"}

        await until(is_shown)


async def test_what_is_taken_back_is_not_pinned_any_more() -> None:
    async with serving() as on:
        comment = await said(on, ADA, "look here")
        await on.done("PUT", PIN, MODERATOR, {"comment": comment})
        await on.done("DELETE", f"{COMMENTS}/{comment}", ADA)
        assert await on.state() == {}
        await on.done("PUT", PIN, MODERATOR, {"comment": await said(on, ADA, "and here")})
        await on.done("DELETE", CLEAR, MODERATOR)
        assert await on.state() == {}


async def test_comments_with_any_id_are_retracted(until: Until) -> None:
    async with serving() as on:
        for name in ("a/b", "a%2Fb", "ä ?#"):
            comment = {"id": name, "video": "v", "type": "comment", "data": {"text": name}, "user": "ada"}
            await on.done("POST", "/v1/events", KEY, comment)
            await on.done("DELETE", f"{COMMENTS}/{quote(name, safe='')}", MODERATOR)
        assert await texts(on) == set()
