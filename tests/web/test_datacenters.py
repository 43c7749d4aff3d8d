"""Two people in two datacenters, each at the likes backend and the frontends there, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from playwright.sync_api import Browser, Page, expect

from liveserver.cluster.redis_server import RedisServer, free_port
from tests.processes import NodeProcess
from tests.web.harness import expect_likes

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.redis]


class Datacenter:
    """A dispatcher, a frontend and a likes backend over a Redis, not yet started."""

    def __init__(self, name: str, redis_url: str, peer: str, peer_url: str, data: Path, *more: str) -> None:
        where = f"node.datacenter={name}"
        dispatcher = NodeProcess(
            f"{name}-di1", "dispatcher", redis_url, where, f"peers.{peer}.url={peer_url}", *more
        )
        at = f'dispatchers=["{dispatcher.url}"]'
        pages = 'edge.allow_origins=["*"]'
        self.frontend = NodeProcess(
            f"{name}-fe1", "frontend", redis_url, where, f"frontend.{at}", pages, *more
        )
        self.backend = NodeProcess(
            f"{name}-be1", "backend", redis_url, where, f"backend.{at}", f"backend.directory={data}", *more
        )
        self.nodes = [dispatcher, self.frontend, self.backend]

    def open(self, browser: Browser, video: str) -> Page:
        """The page of this datacenter's likes backend, watching at its frontend."""
        calm: Any = {"reduced_motion": "reduce"}
        page = browser.new_context(**calm).new_page()
        page.goto(f"{self.backend.url}/?video={video}&frontends={self.frontend.url}")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        return page


@pytest.fixture
def datacenters(tmp_path: Path) -> Iterator[tuple[Datacenter, Datacenter]]:
    servers = {name: RedisServer(free_port(), tmp_path / name) for name in ("dc1", "dc2")}
    with ExitStack() as stack:
        for server in servers.values():
            server.directory.mkdir()
            stack.callback(server.stop)
            server.start()
        one, two = (
            Datacenter(name, servers[name].url, peer, servers[peer].url, tmp_path / f"{name}-data")
            for name, peer in (("dc1", "dc2"), ("dc2", "dc1"))
        )
        nodes = [*one.nodes, *two.nodes]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        for node in nodes:
            trio.run(node.wait_ready)
        yield one, two


def test_pages_in_two_datacenters_show_each_others_events(
    datacenters: tuple[Datacenter, Datacenter], browser: Browser
) -> None:
    here, there = (each.open(browser, "far") for each in datacenters)
    here.get_by_role("button", name="Like").click()
    expect_likes(there, 1)
    there.keyboard.press("l")
    there.keyboard.press("3")
    expect_likes(here, 3)
    expect_likes(there, 3)
    for page, text in ((here, "Hello over there"), (there, "Hello yourself")):
        page.get_by_role("textbox", name="Your comment").fill(text)
        page.get_by_role("button", name="Send").click()
    for page in (here, there):
        expect(page.locator(".said")).to_have_count(2)
        assert set(page.locator(".said").all_inner_texts()) == {"Hello over there", "Hello yourself"}
    here.locator("#line summary").click()
    expect(here.locator("#node")).to_have_text("dc1-fe1")
    there.locator("#line summary").click()
    expect(there.locator("#node")).to_have_text("dc2-fe1")
