"""The dashboard: self-contained files, and the page in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
import trio
from playwright.sync_api import Browser, expect

from liveserver.ops import dashboard
from liveserver.ops.app import ops_app
from tests.processes import NodeProcess
from tests.web.browsers import SECONDS, wait_until

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
def test_files_load_nothing_from_elsewhere_and_make_no_markup(name: str) -> None:
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


SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
    for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) shifted += value;
}).observe({ type: "layout-shift", buffered: true });
"""


# What is drawn again and again while nothing happens.
ENDLESS = (
    """document.getAnimations().filter(({ effect }) => effect.getTiming().iterations === Infinity).length"""
)

# How often the node is asked within a second and a half, with the page hidden or shown.
LOOKS = """async (isHidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, value: isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
    const before = performance.getEntriesByName(new URL("/v1/status", location).href).length;
    await new Promise((done) => setTimeout(done, 1_500));
    return performance.getEntriesByName(new URL("/v1/status", location).href).length - before;
}"""


def test_the_cluster_view_publishes_and_traces(node: NodeProcess, browser: Browser) -> None:
    """And shows what moderators did; on a phone, without a shift, and accessibly."""
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    settings = f"{node.url}/v1/videos/traced/settings"
    with (
        browser.new_context(
            viewport={"width": 390, "height": 844}, reduced_motion="reduce", bypass_csp=True
        ) as context,
        httpx.Client(trust_env=False, timeout=SECONDS) as client,
        client.stream("GET", f"{node.url}/v1/videos/traced/events") as stream,
    ):
        received = stream.iter_raw()  # the stream ends with it
        next(received)
        assert client.put(settings, json={"comments": "slow", "slow": 7}).status_code == 200
        page = context.new_page()
        page.add_init_script(SHIFTS)
        page.goto(f"{node.ops_url}/#cluster")
        expect(page.locator("#nodes tr")).to_have_count(1)
        expect(page.locator("#nodes .pill")).to_have_attribute("data-state", "ready")
        expect(page.locator("#sums div").first).to_have_text("Nodes ready1 of 1")
        expect(page.locator("#acts tr").first).to_contain_text("comments slow · slow 7")
        page.locator("#publish [name=video]").fill("traced")
        page.locator("#publish [name=data]").fill("{")
        page.keyboard.press("Enter")
        expect(page.locator("#published")).to_have_text("The data is not JSON.")
        page.locator("#publish [name=data]").fill('{"reaction":"heart"}')
        page.keyboard.press("Enter")
        expect(page.locator("#published")).to_contain_text("Accepted as test-")
        expect(page.locator("#line li.good")).to_contain_text("all: written to 1 viewer")
        expect(page.locator("#line li")).to_have_count(3)
        page.locator("#trace [name=event]").fill("unknown")
        page.get_by_role("button", name="Trace").click()
        expect(page.locator("#traced")).to_contain_text("No frontend has this event")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.evaluate("shifted") < 0.1
        page.evaluate(axe)
        assert page.evaluate("axe.run().then(({ violations }) => violations.map(({ id }) => id))") == []
        page.get_by_role("link", name="This node").click()
        expect(page.locator("#quiet")).to_contain_text("Waiting for a dispatcher0 events")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.evaluate("axe.run().then(({ violations }) => violations.map(({ id }) => id))") == []


def test_the_dashboard_shows_events_and_viewers(node: NodeProcess, browser: Browser) -> None:
    """Without a complaint on the console, also from its policy."""
    complaints: list[str] = []
    events = f"{node.url}/v1/videos/shown/events"
    with browser.new_context() as context, httpx.Client(trust_env=False, timeout=60) as client:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.add_init_script(SHIFTS)
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
        assert page.evaluate("shifted") < 0.1
        assert page.evaluate(ENDLESS) == 0
        assert page.evaluate(LOOKS, True) <= 1  # the one under way
        assert page.evaluate(LOOKS, False) >= 1
        node.stop()
        expect(page.locator("#state")).to_have_attribute("data-state", "lost")
        wait_until(lambda: bool(complaints))  # the browser itself reports that there is no answer
        assert all("ERR_CONNECTION" in text for text in complaints)
