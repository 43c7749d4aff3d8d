"""The web application is made by the first request that needs it."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing
import trio
from quart_trio import QuartTrio

from liveserver.edge.deferred_handoff import DeferredHandoff, open_deferred_handoff
from liveserver.web.app import public_app
from tests.edge.harness import HOST, Served, echo, serving


class Site:
    """An application that notes when it is made and ended."""

    def __init__(self) -> None:
        self.made = self.ended = self.failures = self.made_by = 0
        self.served: Served | None = None

    def __call__(self) -> QuartTrio:
        if self.failures:
            self.failures -= 1
            raise OSError("no descriptor left")
        self.made += 1
        self.made_by = threading.get_ident()
        app = public_app()

        @app.get("/page")
        async def page() -> str:
            return "page"

        @app.after_serving
        async def end() -> None:
            self.ended += 1

        assert self.served is not None
        self.served.edge.router.is_complete = True
        return app


@asynccontextmanager
async def deferring(site: Site, *modules: str) -> AsyncIterator[tuple[Served, DeferredHandoff]]:
    async with (
        open_deferred_handoff(site, modules, max_body=100_000, timeout=20) as handoff,
        serving({("GET", "/echo"): echo}, fallback=handoff.serve) as served,
    ):
        served.edge.router.is_complete = False
        served.edge.load_web = handoff.load
        site.served = served
        yield served, handoff


async def status(served: Served, request: bytes) -> int:
    async with served.connect() as client:
        return (await client.ask(request + b" HTTP/1.1\r\n" + HOST + b"\r\n")).status


async def test_hot_requests_need_none() -> None:
    site = Site()
    async with deferring(site) as (served, handoff):
        assert await status(served, b"GET /echo") == 200
        assert (site.made, handoff.is_loaded) == (0, False)
    assert site.ended == 0


async def test_requests_at_once_are_served_by_one() -> None:
    site = Site()
    statuses: list[int] = []
    async with deferring(site) as (served, _):

        async def get(request: bytes) -> None:
            statuses.append(await status(served, request))

        async with trio.open_nursery() as nursery:
            for request in (b"GET /page", b"GET /nothing", b"GET /page"):
                nursery.start_soon(get, request)
        assert site.made == 1
        assert site.ended == 0
    assert sorted(statuses) == [200, 200, 404]
    assert site.ended == 1


async def test_methods_of_hot_paths_are_known_once_it_is_made() -> None:
    site = Site()
    async with deferring(site) as (served, _):
        assert await status(served, b"DELETE /echo") == 405
        assert site.made == 1


async def test_a_failure_refuses_one_request() -> None:
    site = Site()
    site.failures = 1
    with structlog.testing.capture_logs() as entries:
        async with deferring(site) as (served, _):
            assert await status(served, b"GET /page") == 503
            assert await status(served, b"GET /page") == 200
    assert [entry["event"] for entry in entries] == ["web_application_failed"]


async def test_a_thread_imports_and_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_pages.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    site = Site()
    async with deferring(site, "late_pages") as (served, _):
        assert await status(served, b"GET /page") == 200
        assert sys.modules.pop("late_pages")
        assert site.made_by != threading.get_ident()
