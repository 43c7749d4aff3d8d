"""A node's frontend: whom it admits, and what it says of its videos."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.auth.grant import Grant
from liveserver.errors import Forbidden
from liveserver.moderation import acts
from liveserver.moderation.rules import SITE, Ban
from liveserver.transport.form import Reason
from tests.frontend.fakes import connect
from tests.frontend.harness import settings, stage
from tests.frontend.test_drain import GatedBus, begun


async def test_a_viewer_that_arrives_while_draining_is_sent_bye(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "0s"})) as on:
        await on.frontend.drain()
        client = await on.watch()
        assert msgspec.json.decode((await client.event()).data)["reason"] == "drain"


async def test_a_subscription_under_way_when_draining_begins_is_refused(autojump_clock: MockClock) -> None:
    bus = GatedBus()
    async with stage(settings(node={"drain_timeout": "5s"}), bus) as on:
        client = await connect(on)
        await client.say(subscribe={"video": "v"})
        await trio.testing.wait_all_tasks_blocked(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.frontend.drain)
            kinds = [(await client.message())[0] for _ in range(2)]
            assert sorted(kinds) == ["bye", "error"]
        assert on.frontend.statistics().viewers == 0


async def test_a_long_poll_that_begins_to_wait_after_draining_began_is_answered(
    autojump_clock: MockClock,
) -> None:
    bus = GatedBus()
    async with stage(settings(node={"drain_timeout": "5s"}), bus) as on:
        client = on.connect()
        await client.get("/v1/videos/v/poll?cursor=dc9-aaa-1")
        await trio.testing.wait_all_tasks_blocked(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.frontend.drain)
            await begun(on)
            bus.gate.set()
            before = trio.current_time()
            assert "HTTP/1.1" in await client.head()
            assert trio.current_time() - before < 1


async def test_a_full_node_refuses_until_it_has_room_and_a_draining_one_for_good(
    autojump_clock: MockClock,
) -> None:
    async with stage() as on:
        assert on.frontend.refusal() is None
        on.frontend.is_full = lambda: True
        assert on.frontend.refusal() is Reason.OVERLOAD
        on.frontend.is_draining = True
        assert on.frontend.refusal() is Reason.DRAIN
        on.frontend.is_full = lambda: False
        assert on.frontend.refusal() is Reason.DRAIN


async def test_a_video_not_watched_here_has_no_status(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.ready("v")
        assert on.frontend.video_status("w") is None
        assert on.frontend.watching_users("w") is None
        assert on.frontend.trace("w", "e") is None
        assert on.frontend.watching_users("v") == ({}, 1, 1)
        status = on.frontend.video_status("v")
        assert status is not None
        assert status.viewers == 1
        assert [each.video for each in on.frontend.overview().videos] == ["v"]


async def test_viewers_are_counted_here_and_elsewhere(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.ready("v")
        here = await on.frontend.viewers("v")
        elsewhere = await on.frontend.viewers("w")
        assert (here.video, here.here) == ("v", 1)
        assert (elsewhere.video, elsewhere.here, elsewhere.total) == ("w", 0, 0)


async def test_a_banned_user_is_refused_by_the_site_or_the_video(autojump_clock: MockClock) -> None:
    async with stage() as on:
        ada = Grant(user="ada", is_viewer=True)
        on.frontend.check_ban(None, ada)
        on.frontend.site_rules.fold(acts.ban(SITE, "mo", Ban("ada", reason="spam")).stamped(1, -1).keyed())
        with pytest.raises(Forbidden, match="spam"):
            on.frontend.check_ban(None, ada)
        for other in (Grant(user="bob", is_viewer=True), Grant(user="ada"), Grant(is_viewer=True)):
            on.frontend.check_ban(None, other)
        on.frontend.site_rules.fold(acts.lift_ban(SITE, "mo", "ada").stamped(2, -1).keyed())
        on.frontend.check_ban(None, ada)
