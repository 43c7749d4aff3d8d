"""The dispatcher's operations for the roles of its own process."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
import trio
from trio.testing import MockClock

from liveserver.config import DispatcherSettings
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.errors import BadRequest, TooLarge, TooMany, Unavailable
from tests.dispatcher.harness import Bus, Stage, publishing


def local(on: Stage) -> LocalDispatcher:
    return LocalDispatcher(Parser(DispatcherSettings()), on.publisher, Subscriptions(on.bus, 30.0))


def body(*events: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(list(events))


async def test_events_of_several_videos_are_in_their_logs_when_it_returns(autojump_clock: MockClock) -> None:
    async with publishing() as on:
        events = body(*({"type": "comment", "video": video, "id": video} for video in ("v", "w")))
        assert await local(on).publish(events, retractions=False) == 0
        for video in ("v", "w"):
            assert f'"id":"{video}"' in (await on.bus.lines(video))[0]


async def test_events_older_than_the_state_are_counted_as_stale(autojump_clock: MockClock) -> None:
    async with publishing() as on:
        for version, stale in ((2, 0), (1, 1)):
            event = {"type": "t", "video": "v", "key": "a", "version": version, "data": 1}
            assert await local(on).publish(body(event), retractions=False) == stale


async def test_a_time_too_far_ahead_is_taken_as_now(autojump_clock: MockClock) -> None:
    async with publishing() as on:
        await local(on).publish(body({"type": "t", "video": "v", "at": 2**52}), retractions=False)
        [line] = await on.bus.lines("v")
        assert str(2**52) not in line


async def test_retractions_are_apart_from_other_events(autojump_clock: MockClock) -> None:
    async with publishing() as on:
        retraction = body({"type": "retract", "video": "v", "data": {"id": "x"}})
        assert await local(on).publish(retraction, retractions=True) == 0
        with pytest.raises(BadRequest):
            await local(on).publish(retraction, retractions=False)
        with pytest.raises(BadRequest):
            await local(on).publish(body({"type": "like", "video": "v"}), retractions=True)
        with pytest.raises(BadRequest):
            await local(on).publish(body({"type": "like"}), retractions=False)
        with pytest.raises(TooLarge):
            await local(on).publish(
                body({"type": "t", "video": "v", "data": "x" * 20_000}), retractions=False
            )


async def test_a_video_that_is_held_back_is_temporarily_unavailable(autojump_clock: MockClock) -> None:
    class HeldBack(Publisher):
        async def publish(self, *_: object) -> object:  # type: ignore[override]
            await trio.lowlevel.checkpoint()
            raise TooMany("held back", 7)

    bus = Bus()
    held = LocalDispatcher(
        Parser(DispatcherSettings()), HeldBack(bus, "dc1", DispatcherSettings()), Subscriptions(bus, 30.0)
    )
    with pytest.raises(Unavailable) as raised:
        await held.publish(body({"type": "like", "video": "v"}), retractions=False)
    assert (raised.value.detail, raised.value.retry_after) == ("held back", 7)


async def test_leases_and_canaries(autojump_clock: MockClock) -> None:
    async with publishing() as on, on.bus.inbox("fe1") as inbox:
        found = await local(on).renew_leases("fe1", {"v": 3}, 30.0)
        assert set(found) == {"v"}
        await local(on).send_canary("v", "abc")
        [batch] = await anext(inbox)
        assert b"abc" in batch.lines[0]
        await local(on).withdraw("fe1", ["v"])
        await local(on).send_canary("v", "def")
        with trio.move_on_after(10) as waiting:
            await anext(inbox)
        assert waiting.cancelled_caught
