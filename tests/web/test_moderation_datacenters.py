"""A moderator in one datacenter and a spectator in the other, on the page, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from playwright.sync_api import Browser, Page, expect

from liveserver.auth import tokens
from liveserver.cluster.redis_server import RedisServer, free_port
from tests.auth.harness import SECRET
from tests.processes import NodeProcess
from tests.web.browsers import wait_until
from tests.web.test_datacenters import Datacenter

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.redis]

VIDEO = "show"
SLOWEST = "One comment every 1 h"


class Locked(Datacenter):
    """A datacenter whose viewers need a token."""

    def __init__(self, name: str, redis_url: str, peer: str, peer_url: str, data: Path) -> None:
        locked = ("auth.viewers=token", f"auth.secret={SECRET}")
        super().__init__(name, redis_url, peer, peer_url, data, *locked)

    def token(self, user: str, scope: str) -> str:
        return tokens.make({"sub": user, "scope": scope, "videos": [VIDEO], "exp": time.time() + 600}, SECRET)

    def enter(self, browser: Browser, user: str, scope: str) -> Page:
        """The page of this datacenter's likes backend, watching at its frontend."""
        calm: Any = {"reduced_motion": "reduce"}
        page = browser.new_context(**calm).new_page()
        there = f"{self.backend.url}/?video={VIDEO}&frontends={self.frontend.url}"
        page.goto(f"{there}#token={self.token(user, scope)}")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        return page

    def ask(self, what: str) -> Any:
        """What its backend answers a moderator."""
        shown = {"Authorization": f"Bearer {self.token('mo', 'watch moderate')}"}
        answer = httpx.get(f"{self.backend.url}/v1/videos/{VIDEO}/{what}", headers=shown, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_settings(self, **expected: Any) -> None:
        """Wait until the likes backend knows these settings."""
        wait_until(lambda: bool(expected.items() <= self.ask("settings").items()))


@pytest.fixture
def datacenters(tmp_path: Path) -> Iterator[tuple[Locked, Locked]]:
    servers = {name: RedisServer(free_port(), tmp_path / name) for name in ("dc1", "dc2")}
    with ExitStack() as stack:
        for server in servers.values():
            server.directory.mkdir()
            stack.callback(server.stop)
            server.start()
        one, two = (
            Locked(name, servers[name].url, peer, servers[peer].url, tmp_path / f"{name}-data")
            for name, peer in (("dc1", "dc2"), ("dc2", "dc1"))
        )
        nodes: list[NodeProcess] = [*one.nodes, *two.nodes]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        for node in nodes:
            trio.run(node.wait_ready)
        yield one, two


def say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Your comment").fill(text)
    page.keyboard.press("Enter")


def test_what_a_moderator_does_holds_in_the_other_datacenter(
    datacenters: tuple[Locked, Locked], browser: Browser
) -> None:
    one, two = datacenters
    mo = one.enter(browser, "mo", "watch comment like moderate")
    vi = two.enter(browser, "vi", "watch comment like")
    mo.locator("#moderate").click()
    say(mo, "Welcome")
    expect(vi.locator(".role")).to_have_text("Moderator")

    mo.get_by_role("radio", name="Slow").check()
    slowest = mo.get_by_role("slider").get_attribute("max")
    mo.get_by_role("slider").fill(str(slowest))  # longer than the rest of the test takes
    expect(vi.locator("#text")).to_have_attribute("placeholder", SLOWEST)
    two.wait_settings(comments="slow", slow=3600)
    say(vi, "first")
    expect(mo.locator(".said")).to_have_text(["Welcome", "first"])
    expect(vi.locator("#hold")).to_contain_text("Wait")
    vi.reload()  # which knows nothing of it; the backend does
    expect(vi.locator("#live")).to_have_attribute("data-state", "live")
    expect(vi.locator("#text")).to_have_attribute("placeholder", SLOWEST)
    say(vi, "too soon")
    expect(vi.locator(".failed .status")).to_contain_text("slow mode")
    expect(vi.locator("#hold")).to_contain_text("Wait")

    mo.get_by_role("button", name="Moderate vi").click()
    mo.get_by_role("menuitem", name="Pin").click()
    expect(vi.locator("#pin-text")).to_have_text("vi: first")
    mo.get_by_role("button", name="Unpin").click()
    expect(vi.locator("#pin")).to_be_hidden()

    mo.get_by_role("radio", name="Closed").click()
    expect(vi.locator("#closed")).to_have_text("Comments are closed.")
    say(mo, "Only moderators now")
    expect(vi.locator(".said").filter(has_text="Only moderators now")).to_have_count(1)

    mo.get_by_text("Who is here").click()
    expect(mo.locator("#users bdi")).to_have_text(["mo", "vi"])
    mo.get_by_role("button", name="Moderate vi").click()
    mo.get_by_role("menuitem", name="Ban vi", exact=True).click()
    expect(mo.locator("#bans bdi")).to_have_text(["vi"])
    expect(vi.locator("#closed")).to_have_text("You were removed by a moderator.")
    expect(vi.locator("#form")).to_be_hidden()
    mo.get_by_role("button", name="Moderate vi").click()
    mo.get_by_role("menuitem", name="Remove all of vi").click()
    expect(mo.locator(".said")).to_have_text(["Welcome", "Only moderators now"])
    vi.reload()
    expect(vi.locator("#closed")).to_have_text("You were removed by a moderator.")


def test_comments_wait_and_a_host_announces(datacenters: tuple[Locked, Locked], browser: Browser) -> None:
    one, two = datacenters
    mo = one.enter(browser, "mo", "watch comment like moderate")
    vi = two.enter(browser, "vi", "watch comment like")
    hal = one.enter(browser, "hal", "watch comment like host")
    mo.locator("#moderate").click()
    mo.get_by_label("Review comments first").check()
    wait_until(lambda: two.ask("settings").get("review") is True)
    say(vi, "may I?")
    expect(vi.locator(".pending .status")).to_have_text("Waiting for a moderator")
    say(vi, "and this?")
    expect(mo.locator("#waiting p")).to_have_text(["may I?", "and this?"])
    wait_until(lambda: len(one.ask("comments?status=waiting")["comments"]) == 2)
    expect(hal.locator(".said")).to_have_count(0)
    mo.get_by_role("button", name="Approve: vi").first.click()
    for page in (mo, hal):
        expect(page.locator(".said")).to_have_text(["may I?"])
    expect(vi.locator(".pending")).to_have_count(1)
    mo.get_by_role("button", name="Reject: vi").click()
    expect(mo.locator("#queue")).to_be_hidden()
    wait_until(lambda: not one.ask("comments?status=waiting")["comments"])
    mo.reload()
    expect(mo.locator(".said")).to_have_text(["may I?"])
    expect(mo.locator("#moderate-count")).to_be_hidden()

    hal.locator("#moderate").click()
    hal.get_by_label("Announcement").fill("Doors close at nine")
    hal.keyboard.press("Enter")
    expect(vi.locator("#note")).to_have_text("Doors close at nine")
    hal.get_by_role("button", name="Moderate vi").click()
    hal.get_by_role("menuitem", name="Pin").click()
    expect(vi.locator("#pin-text")).to_have_text("vi: may I?")
