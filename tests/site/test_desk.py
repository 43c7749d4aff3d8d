"""Acts for the whole site, published at a dispatcher and kept in its log."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import structlog
import trio
from trio.testing import MockClock

from liveserver import state
from liveserver.auth.revocations import Revocation, Revocations
from liveserver.errors import BadRequest, DispatcherError, TooLarge, Unavailable
from liveserver.event import SITE
from liveserver.site.desk import KEEP_ALIVE, SiteDesk

NOW = 1_763_862_000.0
TTL = 400.0  # history.idle_ttl
LATER = int(NOW * 1000) + 60_000


class Target:
    """A dispatcher; what it accepts is folded into the revocations, as following the log does."""

    def __init__(self, revocations: Revocations) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.failure: Exception | None = None
        self._revocations = revocations

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        await trio.lowlevel.checkpoint()
        assert not retractions
        if self.failure is not None:
            raise self.failure
        events = msgspec.json.decode(body)
        self.requests.append(events)
        for event in events:
            if "key" in event:
                head = state.head(
                    event["type"], event["key"], event["version"], 0,
                    is_cleared=event["data"] is None, is_internal=False,
                )  # fmt: skip
                ordered = {"id": event["id"]} | event
                self._revocations.fold(state.read(head + b" " + msgspec.json.encode(ordered)))
        return 0

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for request in self.requests for event in request]


class Stage:
    """A desk with its dispatcher and a clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.revocations = Revocations(lambda: self.now)
        self.target = Target(self.revocations)
        self.desk = SiteDesk(self.target, self.revocations, TTL, lambda: self.now)


@pytest.fixture
async def on() -> Stage:
    await trio.lowlevel.checkpoint()
    return Stage()


ADA = Revocation(LATER, user="ada", before=5)


async def test_a_revocation_is_an_event_of_the_sites_log(on: Stage) -> None:
    await on.desk.revoke(ADA, "ops")
    [event] = on.target.events
    assert event.pop("id")
    assert event == {
        "video": SITE, "type": "revocation", "key": "revoked/user/ada", "version": int(NOW * 1000),
        "by": "ops",
        "data": {"until": LATER, "user": "ada", "before": 5},
    }  # fmt: skip
    assert list(on.revocations) == [ADA]


async def test_versions_increase_whatever_the_clock_does(on: Stage) -> None:
    await on.desk.revoke(ADA, "ops")
    on.now -= 3_600
    await on.desk.lift(ADA.key, "ops")
    await on.desk.revoke(ADA, "ops")
    first, second, third = (event["version"] for event in on.target.events)
    assert (second, third) == (first + 1, first + 2)
    assert len({event["id"] for event in on.target.events}) == 3


async def test_two_dispatchers_that_repeat_an_act_publish_one_event(on: Stage) -> None:
    other = Stage()
    for stage in (on, other):
        await stage.desk.revoke(ADA, "ops")
    assert on.target.events == other.target.events


async def test_disconnections_have_no_key(on: Stage) -> None:
    await on.desk.disconnect("ada", "ops")
    await on.desk.unsubscribe("v", "ada", "mo")
    first, second = on.target.events
    assert first == {"video": SITE, "type": "disconnection", "by": "ops", "data": {"user": "ada"}}
    assert (second["by"], second["data"]) == ("mo", {"video": "v", "user": "ada"})


async def test_a_dispatcher_that_is_away_is_reported_and_logged(on: Stage) -> None:
    on.target.failure = DispatcherError("no answer")
    with structlog.testing.capture_logs() as logged, pytest.raises(Unavailable, match="try again"):
        await on.desk.lift(ADA.key, "ops")
    assert [entry["event"] for entry in logged] == ["site_log_not_written"]


async def test_what_a_log_has_lost_is_published_again_as_it_was(on: Stage) -> None:
    token = Revocation(LATER, token="jti")
    await on.desk.revoke(ADA, "ops")
    await on.desk.revoke(token, "ops")
    before = list(on.target.events)
    await on.desk.keep(frozenset({ADA.key}))
    assert on.target.events[2:] == [before[1]]
    await on.desk.keep(frozenset({ADA.key, token.key}))
    await on.desk.keep(None)
    assert len(on.target.events) == 3


async def test_what_is_over_is_cleared_as_one_event_of_all_dispatchers(on: Stage) -> None:
    await on.desk.revoke(ADA, "ops")
    on.now = LATER / 1000
    await on.desk.keep(None)
    [_, cleared] = on.target.events
    assert (cleared["data"], cleared["by"]) == (None, "expiry")
    assert cleared["version"] == int(NOW * 1000) + 1, "by no clock, so that it is the same at all"
    await on.desk.keep(frozenset())
    assert len(on.target.events) == 2


async def test_a_quiet_log_is_kept_alive_by_one_event_in_a_while(
    on: Stage, autojump_clock: MockClock
) -> None:
    await on.desk.revoke(ADA, "ops")
    await trio.sleep(TTL / KEEP_ALIVE - 1)
    await on.desk.keep(frozenset({ADA.key}))
    assert len(on.target.events) == 1
    await trio.sleep(2)
    await on.desk.keep(frozenset({ADA.key}))
    await on.desk.keep(frozenset({ADA.key}))
    kept = on.target.events[1:]
    assert [event["type"] for event in kept] == ["audit"]
    assert kept[0]["id"] == f"keep-{int(NOW / (TTL / KEEP_ALIVE))}"


@pytest.mark.parametrize("failure", [DispatcherError("away"), BadRequest("no"), TooLarge("full")])
async def test_keeping_fails_quietly_and_is_tried_again(on: Stage, failure: Exception) -> None:
    await on.desk.revoke(ADA, "ops")
    on.target.failure = failure
    with structlog.testing.capture_logs() as logged:
        await on.desk.keep(frozenset())
    assert logged[-1]["event"] == "site_log_not_kept"
    on.target.failure = None
    await on.desk.keep(frozenset())
    assert len(on.target.events) == 2


async def test_many_are_published_in_several_requests(on: Stage) -> None:
    for number in range(501):
        await on.desk.revoke(Revocation(LATER, token=f"t{number}"), "ops")
    on.target.requests.clear()
    await on.desk.keep(frozenset())
    assert [len(request) for request in on.target.requests] == [500, 1]
