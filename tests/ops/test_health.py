"""Readiness: checks run concurrently, each with its own timeout."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from liveserver.errors import BusError
from liveserver.ops.health import CHECK_SECONDS, CheckResult, Readiness, readiness


async def fine() -> None:
    await trio.lowlevel.checkpoint()


async def gone() -> None:
    raise BusError("the bus is gone")


async def slow() -> None:
    await trio.sleep_forever()


async def test_ready_is_when_every_check_is_ok() -> None:
    assert await readiness({}) == Readiness(True, {})
    assert await readiness({"a": fine, "b": fine}) == Readiness(
        True, {"a": CheckResult(True), "b": CheckResult(True)}
    )


async def test_a_check_that_fails_says_why_and_the_others_are_told_too() -> None:
    result = await readiness({"z": gone, "a": fine})
    assert result == Readiness(False, {"a": CheckResult(True), "z": CheckResult(False, "the bus is gone")})
    assert list(result.checks) == ["a", "z"]


async def test_slow_checks_fail_together_in_their_time(autojump_clock: trio.testing.MockClock) -> None:
    async def almost() -> None:
        await trio.sleep(CHECK_SECONDS - 0.1)

    result = await readiness({"a": slow, "b": slow, "c": almost})
    assert trio.current_time() == pytest.approx(CHECK_SECONDS)
    assert result.checks == {
        "a": CheckResult(False, "no answer within 2 s"),
        "b": CheckResult(False, "no answer within 2 s"),
        "c": CheckResult(True),
    }


async def test_readiness_can_be_cancelled() -> None:
    with trio.move_on_after(0) as scope:
        await readiness({"a": slow})
    assert scope.cancelled_caught
