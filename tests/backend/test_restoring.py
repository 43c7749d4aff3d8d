"""Rules that a video's state has lost are published again until a dispatcher has them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver import state
from liveserver.backend.outbox import RETRY_LONGEST
from liveserver.backend.restoring import BATCH_SIZE, Restorer
from liveserver.errors import BadRequest, DispatcherError, TooLarge, Unavailable
from liveserver.state import Keyed
from tests.backend.harness import FakeDispatcher


def rule(key: str, data: Any, at: int = 5) -> Keyed:
    head = state.head(key.partition("/")[0], key, None, at, is_cleared=data is None, is_internal=False)
    event = {"id": f"{key}-{at}", "video": "v", "type": "-", "data": data, "by": "mo"}
    return state.read(head + b" " + msgspec.json.encode(event))


@asynccontextmanager
async def running(dispatcher: FakeDispatcher) -> AsyncIterator[Restorer]:
    restorer = Restorer(dispatcher)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(restorer.run)
        yield restorer
        nursery.cancel_scope.cancel()


async def test_what_is_lost_is_published_as_it_was(autojump_clock: MockClock) -> None:
    dispatcher = FakeDispatcher()
    async with running(dispatcher) as restorer:
        restorer.put("v", [rule("settings", {"likes": "closed"}), rule("ban/ada", None, at=7)])
        await dispatcher.wait_taken(2)
        await wait_all_tasks_blocked()
        statistics = restorer.statistics()
    assert dispatcher.taken == [
        {"id": "settings-5", "video": "v", "type": "settings", "key": "settings", "at": 5,
         "data": {"likes": "closed"}, "by": "mo"},
        {"id": "ban/ada-7", "video": "v", "type": "ban", "key": "ban/ada", "at": 7, "data": None, "by": "mo"},
    ]  # fmt: skip
    assert (statistics.restored, statistics.waiting) == (2, 0)
    assert dispatcher.retractions == [False]


async def test_many_are_published_in_several_requests(autojump_clock: MockClock) -> None:
    dispatcher = FakeDispatcher()
    async with running(dispatcher) as restorer:
        restorer.put("v", [rule(f"ban/u{number}", {}) for number in range(2 * BATCH_SIZE + 1)])
        await dispatcher.wait_taken(2 * BATCH_SIZE + 1)
        assert dispatcher.asked == 3


@pytest.mark.parametrize("loses_answers", [False, True])
async def test_a_dispatcher_that_is_away_is_asked_again(
    autojump_clock: MockClock, loses_answers: bool
) -> None:
    failures = [Unavailable("full"), DispatcherError("away"), Unavailable("full")]
    dispatcher = FakeDispatcher(failures, loses_answers=loses_answers)
    with structlog.testing.capture_logs() as logged:
        async with running(dispatcher) as restorer:
            restorer.put("v", [rule("settings", {})])
            await wait_all_tasks_blocked()
            assert restorer.statistics().waiting == 1
            await trio.sleep(4 * RETRY_LONGEST)
            statistics = restorer.statistics()
    assert (dispatcher.asked, len(dispatcher.taken)) == (4, 1)
    assert (statistics.restored, statistics.waiting) == (1, 0)
    assert [entry["event"] for entry in logged] == ["rules_not_restored"] * 3


@pytest.mark.parametrize("error", [BadRequest("no"), TooLarge("no")])
async def test_what_is_refused_is_given_up_and_logged(autojump_clock: MockClock, error: Exception) -> None:
    dispatcher = FakeDispatcher([error])
    with structlog.testing.capture_logs() as logged:
        async with running(dispatcher) as restorer:
            restorer.put("v", [rule("settings", {})])
            await wait_all_tasks_blocked()
            restorer.put("w", [rule("settings", {})])
            await dispatcher.wait_taken(1)
            await wait_all_tasks_blocked()
            statistics = restorer.statistics()
    assert [event["video"] for event in dispatcher.taken] == ["w"]
    assert (statistics.restored, statistics.waiting) == (1, 0)
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("rules_refused", "error")]


async def test_a_newer_form_that_comes_meanwhile_is_published_too(autojump_clock: MockClock) -> None:
    class Slow(FakeDispatcher):
        async def publish(self, body: bytes, *, retractions: bool) -> int:
            await trio.sleep(1)
            return await super().publish(body, retractions=retractions)

    dispatcher = Slow()
    async with running(dispatcher) as restorer:
        restorer.put("v", [rule("settings", {"slow": 1}, at=1)])
        await trio.sleep(0.5)
        restorer.put("v", [rule("settings", {"slow": 2}, at=2)])
        restorer.put("v", [rule("settings", {"slow": 3}, at=3)])
        await trio.sleep(5)
        assert restorer.statistics().waiting == 0
    assert [event["data"]["slow"] for event in dispatcher.taken] == [1, 3]
