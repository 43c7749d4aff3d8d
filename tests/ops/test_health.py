"""Readiness: checks run concurrently, each with its own timeout."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from liveserver.edge.request import Request
from liveserver.edge.router import Router
from liveserver.errors import BusError
from liveserver.ops.health import CHECK_SECONDS, CheckResult, ProbeRoutes, Readiness, readiness
from liveserver.role import Check


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


async def test_a_check_that_fails_says_why_and_the_others_are_shown_too() -> None:
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


async def test_probes_are_answered_by_the_edge() -> None:
    router = Router()
    checks: dict[str, Check] = {}
    ProbeRoutes(lambda: checks).add_to(router)

    async def ask(path: str) -> bytes:
        request = Request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        handler = router.match(request)
        assert handler is not None
        answer = await handler(request, None)  # type: ignore[arg-type]
        assert isinstance(answer, bytes)
        return answer

    assert (await ask("/healthz")).endswith(b'\r\n\r\n{"ok":true}')
    assert (await ask("/readyz")).startswith(b"HTTP/1.1 200 ")
    checks["bus"] = gone
    refused = await ask("/readyz")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert refused.endswith(b'{"ready":false,"checks":{"bus":{"ok":false,"detail":"the bus is gone"}}}')
    assert (await ask("/healthz")).startswith(b"HTTP/1.1 200 ")
