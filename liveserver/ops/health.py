"""Readiness: named checks, run concurrently, each with a timeout."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import trio

from liveserver.edge.answer import Peer
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.errors import LiveserverError
from liveserver.role import Check

CHECK_SECONDS = 2.0


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a check. `detail` is an error, or a warning if the check succeeded."""

    ok: bool
    detail: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """The results of all checks; `ready` if all succeeded."""

    ready: bool
    checks: dict[str, CheckResult]


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Run all checks concurrently. A check fails if it raises a `LiveserverError` or takes too long.

    Its return value is a warning.
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


class ProbeRoutes:
    """`/healthz` and `/readyz`, answered by the edge: probes are frequent, and need no web application."""

    def __init__(self, checks: Callable[[], Mapping[str, Check]]) -> None:
        self._checks = checks

    def add_to(self, router: Router) -> None:
        """Register the handlers."""
        router.add("GET", "/healthz", self._healthz)
        router.add("GET", "/readyz", self._readyz)

    async def _healthz(self, request: Request, peer: Peer) -> bytes:
        return json_response(200, b'{"ok":true}')

    async def _readyz(self, request: Request, peer: Peer) -> bytes:
        result = await readiness(self._checks())
        return json_response(200 if result.ready else 503, msgspec.json.encode(result))
