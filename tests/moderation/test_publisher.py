"""Acts are published until they are the newest of their keys, or refused in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from liveserver.errors import BadRequest, Conflict, DispatcherError, Unavailable
from liveserver.moderation import acts
from liveserver.moderation.acts import MAX_ACTS
from liveserver.moderation.publisher import ATTEMPTS, ActPublisher
from liveserver.moderation.rules import Ban, Rules, VideoSettings, Waiting

SLOW = acts.change_settings("v", "mo", VideoSettings("slow"))


class Feed:
    """Rules as this node knows them, and a dispatcher that knows more: `ahead` acts of others are newer."""

    def __init__(self, ahead: int = 0, failure: Exception | None = None) -> None:
        self.known = Rules()
        self.ahead = ahead
        self.failure = failure
        self.published: list[list[dict[str, Any]]] = []
        self.refreshed = 0
        self.publisher = ActPublisher(self, self.publish, lambda: 100.0)

    async def rules(self, video: str) -> Rules:
        await trio.lowlevel.checkpoint()
        assert video == "v"
        return self.known

    async def refresh(self, video: str) -> Rules:
        self.refreshed += 1
        other = acts.change_settings("v", "ed", VideoSettings("closed")).stamped(200_000 + self.refreshed, -1)
        self.known.fold(other.keyed())
        return await self.rules(video)

    async def publish(self, body: bytes) -> int:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        self.published.append(msgspec.json.decode(body))
        self.ahead -= 1
        return int(self.ahead >= 0)


async def test_acts_are_published_together_and_hold_at_once() -> None:
    feed = Feed()
    done = await feed.publisher.publish(SLOW, acts.ban("v", "mo", Ban("ada")), acts.audit("v", "mo", "x"))
    [events] = feed.published
    assert [event["type"] for event in events] == ["settings", "ban", "audit"]
    assert [act.id for act in done] == [event["id"] for event in events]
    assert {act.at for act in done} == {100_000}
    assert feed.known.settings.comments == "slow"
    assert "ada" in feed.known.bans
    assert feed.refreshed == 0


async def test_all_waiting_comments_of_a_cleared_user_are_rejected_a_request_after_the_other() -> None:
    feed = Feed()
    waiting = [acts.wait("v", Waiting(f"w{number}", "x", number, "ada")) for number in range(2 * MAX_ACTS)]
    for act in waiting:
        feed.known.fold(act.stamped(act.at, 0).keyed())
    cleared = acts.clear_all("v", "mo", "ada", feed.known)
    assert len(await feed.publisher.publish(*cleared)) == len(cleared)
    assert [len(request) for request in feed.published] == [MAX_ACTS, MAX_ACTS, 1]
    assert feed.published[0][0]["type"] == "clear"
    assert feed.known.waiting == {}


async def test_an_act_is_later_than_what_is_known_of_its_key_alone() -> None:
    feed = Feed()
    feed.known.fold(SLOW.stamped(300_000, -1).keyed())
    settings, ban = await feed.publisher.publish(SLOW, acts.ban("v", "mo", Ban("ada")))
    assert (settings.at, ban.at) == (300_001, 100_000)


async def test_what_was_overtaken_is_published_anew_behind_it() -> None:
    feed = Feed(ahead=ATTEMPTS - 1)
    [done] = await feed.publisher.publish(SLOW)
    assert [events[0]["at"] for events in feed.published] == [100_000, 200_002, 200_003]
    assert done.at == 200_003
    assert feed.known.settings.comments == "slow"


async def test_losing_every_race_is_a_conflict() -> None:
    feed = Feed(ahead=ATTEMPTS)
    with pytest.raises(Conflict, match="at the same time"):
        await feed.publisher.publish(SLOW)
    assert len(feed.published) == ATTEMPTS
    assert feed.known.settings.comments == "closed"


async def test_a_dispatcher_that_is_away_is_reported_and_nothing_holds() -> None:
    feed = Feed(failure=DispatcherError("http://10.0.0.1:8111/v1/events: refused the connection"))
    with pytest.raises(Unavailable, match=r"^no dispatcher accepts this; try again$"), capture_logs() as logs:
        await feed.publisher.publish(SLOW)
    assert [(each["event"], "10.0.0.1" in each["reason"]) for each in logs] == [("act_not_published", True)]
    assert feed.known.settings.comments == "open"


async def test_a_refusal_is_the_callers() -> None:
    feed = Feed(failure=BadRequest("no"))
    with pytest.raises(BadRequest):
        await feed.publisher.publish(SLOW)
