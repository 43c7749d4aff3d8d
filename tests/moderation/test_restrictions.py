"""What settings of a video restrict, at a whole node over real sockets."""

from __future__ import annotations

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


async def test_anonymous_users_are_slowed_by_address() -> None:
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
