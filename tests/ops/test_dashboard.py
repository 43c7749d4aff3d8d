"""The dashboard: self-contained files, and the page in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio
from playwright.sync_api import Browser, expect

from liveserver.ops import dashboard
from liveserver.ops.app import ops_app
from tests.processes import NodeProcess
from tests.web.browsers import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.process]

STATIC = Path(dashboard.__file__).parent / "static"
FILES = sorted(path.name for path in STATIC.iterdir() if path.name != "index.html")


async def test_the_page_is_under_a_strict_policy_and_its_files_are_there() -> None:
    client = ops_app({}, {}, dict).test_client()
    response = await client.get("/")
    assert response.status_code == 200
    assert "unsafe" not in response.headers["content-security-policy"]
    page = await response.get_data(as_text=True)
    for name in re.findall(r'(?:href|src)="/dashboard/([^"]+)"', page):
        assert (await client.get(f"/dashboard/{name}")).status_code == 200
    assert (await client.get("/dashboard/../app.py")).status_code == 404


@pytest.mark.parametrize("name", FILES)
def test_files_need_nobody_else_and_make_no_markup(name: str) -> None:
    text = (STATIC / name).read_text()
    addresses = set(re.findall(r"https?://[^\s\"')]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    made = NodeProcess(
        "all",
        'frontend","dispatcher","backend',
        "redis://127.0.0.1:1",
        "bus.kind=memory",
        f"backend.directory={tmp_path_factory.mktemp('data')}",
    )
    try:
        made.start()
        trio.run(made.wait_ready)
        yield made
    finally:
        made.stop()


def test_the_dashboard_shows_events_and_viewers(node: NodeProcess, browser: Browser) -> None:
    """Without a complaint on the console, also from its policy."""
    complaints: list[str] = []
    events = f"{node.url}/v1/videos/shown/events"
    with browser.new_context(reduced_motion="reduce") as context, httpx.Client(trust_env=False) as client:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(node.ops_url)
        with client.stream("GET", events):
            expect(page.locator("#node")).to_have_text("all")
            expect(page.locator("#state")).to_have_attribute("data-state", "ready")
            expect(page.locator("#checks li.ok")).to_have_count(5)
            row = page.locator("#videos tr", has_text="shown")
            expect(row.locator("td").nth(1)).to_have_text("1")
            client.post(events, json={"type": "like"})
            expect(row.locator("td").nth(4)).to_have_text("1")
            charts = page.get_by_role("img", name=re.compile("^Viewers: now 1 "))
            expect(charts).to_be_visible()
        node.stop()
        expect(page.locator("#state")).to_have_attribute("data-state", "lost")
        wait_until(lambda: bool(complaints))  # the browser itself says that nobody answers
        assert all("ERR_CONNECTION" in text for text in complaints)
