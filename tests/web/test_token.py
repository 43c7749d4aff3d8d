"""The browser client with tokens: renewal after expiry, without loss."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from playwright.sync_api import Browser, expect

from liveserver.auth import tokens
from liveserver.cluster.redis_server import RedisServer
from tests.auth.harness import SECRET
from tests.processes import NodeProcess
from tests.web.browsers import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.redis]

WATCH = """async ({ urls, given, options }) => {
    const { LiveVideo } = await import("/liveserver.js");
    window.seen = [], window.notices = [], window.asked = 0;
    const token = async () => given[Math.min(asked++, given.length - 1)];
    window.live = new LiveVideo(urls, "v", { ...options, token });
    live.addEventListener("*", ({ detail }) => seen.push(detail.id));
    for (const word of ["ready", "bye", "refused"])
        live.addEventListener(word, ({ detail }) => notices.push(detail.reason ?? detail.status ?? word));
}"""


@pytest.fixture(scope="module")
def node(redis_process: RedisServer) -> Iterator[NodeProcess]:
    auth = ("auth.viewers=token", f"auth.secret={SECRET}", "auth.leeway=0s")
    made = NodeProcess(
        "dc1-all", "frontend", redis_process.url, 'node.roles=["frontend","dispatcher"]', *auth
    )
    try:
        made.start()
        trio.run(made.wait_ready)
        yield made
    finally:
        made.stop()


def token(seconds: float) -> str:
    return tokens.make({"exp": time.time() + seconds, "videos": ["v"]}, SECRET)


def signed(user: str, **claims: Any) -> str:
    return tokens.make({"exp": time.time() + 600, "videos": ["v"], "sub": user, **claims}, SECRET)


def like(node: NodeProcess, number: int) -> None:
    body = {"type": "like", "id": f"{node.port}-{number}"}
    httpx.post(f"{node.url}/v1/videos/v/events", json=body, trust_env=False, timeout=60).raise_for_status()


@pytest.mark.parametrize("transport", ["sse", "poll"])
def test_an_expired_token_is_followed_by_another(node: NodeProcess, browser: Browser, transport: str) -> None:
    numbers = range(10) if transport == "sse" else range(10, 20)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{node.url}/page/icon.svg")
        options: dict[str, Any] = {"transport": transport}
        page.evaluate(WATCH, {"urls": [node.url], "given": [token(1.5), token(600)], "options": options})
        wait_until(lambda: "ready" in page.evaluate("notices"))
        for number in numbers:
            like(node, number)
            page.wait_for_timeout(300)
        wait_until(lambda: len(page.evaluate("seen")) >= 10)
        assert page.evaluate("seen") == [f"{node.port}-{number}" for number in numbers]
        assert page.evaluate("asked") == 2
        assert "refused" not in page.evaluate("live.connection.name")


def test_the_page_is_its_tokens_user_and_shows_what_it_may(browser: Browser, tmp_path: Path) -> None:
    """On a node that asks for tokens, likes backend and all; without one it says so, and offers nothing."""
    auth = ("auth.viewers=token", f"auth.secret={SECRET}", f"backend.directory={tmp_path}", "bus.kind=memory")
    node = NodeProcess("dc1-all", "frontend", "", 'node.roles=["frontend","dispatcher","backend"]', *auth)
    try:
        node.start()
        trio.run(node.wait_ready)
        with browser.new_context(reduced_motion="reduce") as context:
            page = context.new_page()
            page.goto(f"{node.url}/?video=v")
            expect(page.get_by_role("status")).to_contain_text("for viewers who are signed in")
            expect(page.locator("#form")).to_be_hidden()
            expect(page.locator("#buttons")).to_be_hidden()
        with browser.new_context(reduced_motion="reduce") as context:
            page = context.new_page()
            page.goto(f"{node.url}/?video=v#token={signed('ada')}")
            expect(page.locator("#me-name")).to_have_text("ada")
            page.keyboard.press("l")
            expect(page.locator("#count")).to_have_attribute("data-exact", "1")
            page.fill("#text", "hello")
            page.keyboard.press("Enter")
            expect(page.locator("#comments li.own:not(.pending) .who")).to_contain_text("ada")
            page.reload()
            expect(page.locator("#me-name")).to_have_text("ada")
            expect(page.locator("#comments li.own .said")).to_have_text("hello")
        with browser.new_context(reduced_motion="reduce") as context:
            value = signed("ben", scope="watch like")
            context.add_cookies([{"name": "liveserver_token", "value": value, "url": node.url}])
            page = context.new_page()
            page.goto(f"{node.url}/?video=v")
            expect(page.locator("#me-name")).to_have_text("ben")
            expect(page.locator("#closed")).to_have_text("You can watch here, but not comment.")
            expect(page.locator("#comments li.own")).to_have_count(0)
            page.keyboard.press("l")
            expect(page.locator("#count")).to_have_attribute("data-exact", "2")
    finally:
        node.stop()


def test_a_token_that_stays_invalid_is_refused_for_good(node: NodeProcess, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{node.url}/page/icon.svg")
        page.evaluate(WATCH, {"urls": [node.url], "given": [token(-60)], "options": {}})
        wait_until(lambda: page.evaluate("notices") == [401])
        assert page.evaluate("live.connection.name") == "closed"
