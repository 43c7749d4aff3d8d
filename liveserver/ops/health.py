"""Is this node able to deliver now? One named check after the other, each in its own time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
import trio

from liveserver.errors import LiveserverError

CHECK_SECONDS = 2.0

Check = Callable[[], Awaitable[str | None]]


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """`detail` says what is wrong, also where that does not keep the node from delivering."""

    ok: bool
    detail: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """`ready` when every check is ok."""

    ready: bool
    checks: dict[str, CheckResult]


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Run all checks at once. A check fails by raising a `LiveserverError`, or by taking too long.

    What it returns is shown beside its success.
    """
    results: dict[str, CheckResult] = {}

    async def run(name: str, check: Check) -> None:
        with trio.move_on_after(CHECK_SECONDS) as scope:
            try:
                results[name] = CheckResult(ok=True, detail=await check() or "")
            except LiveserverError as error:
                results[name] = CheckResult(ok=False, detail=str(error))
        if scope.cancelled_caught:
            results[name] = CheckResult(ok=False, detail=f"no answer within {CHECK_SECONDS:g} s")

    async with trio.open_nursery() as nursery:
        for name, check in checks.items():
            nursery.start_soon(run, name, check)
    return Readiness(all(result.ok for result in results.values()), dict(sorted(results.items())))
