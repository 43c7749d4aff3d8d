"""The page and the dashboard in Firefox and WebKitGTK, before a real node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
import trio

from tests.processes import NodeProcess
from tests.web.webdriver import OtherBrowser, firefox, webkit

pytestmark = [pytest.mark.browser, pytest.mark.process]

LIVE = "document.querySelector('#live').dataset.state === 'live'"
COUNT = "Number(document.querySelector('#count').dataset.exact)"
SAID = "#comments li:not(.pending) .said"
FOCUSED = "() => document.activeElement.id || document.activeElement.tagName"
AXE = "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"
SETTLE = 10.0  # seconds for colours to reach what they change to; on the way there is less contrast


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    made = NodeProcess(
        "all",
        'frontend","dispatcher","backend',
        "",
        "bus.kind=memory",
        f"backend.directory={tmp_path}",
        "frontend.compression=gzip",
    )
    try:
        made.start()
        await made.wait_ready()
        yield made
    finally:
        made.stop()


async def expect_accessible(page: OtherBrowser) -> None:
    await page.run(files("axe_playwright_python").joinpath("axe.min.js").read_text().join(("() => {", "}")))
    until = trio.current_time() + SETTLE
    while found := [
        (one["id"], node["html"], node["failureSummary"])
        for one in await page.run(AXE)
        for node in one["nodes"]
    ]:
        assert trio.current_time() < until, found
        await trio.sleep(0.2)


@pytest.mark.parametrize("browser_of", [firefox, webkit])
async def test_one_watches_likes_and_comments(
    node: NodeProcess, browser_of: Callable[[], AbstractAsyncContextManager[OtherBrowser]]
) -> None:
    """With the keyboard alone, over each transport, compressed, and over a restart of the node."""
    likes = f"{node.url}/v1/videos/smoke/likes"
    async with browser_of() as page, httpx.AsyncClient(trust_env=False, timeout=60) as outside:

        async def like() -> None:
            answer = await outside.post(likes, json={"user": "outside", "reaction": "heart"})
            assert answer.status_code == 201, answer.text

        await page.open(f"{node.url}/?video=smoke")
        await page.wait(LIVE)
        await like()
        await page.wait(f"{COUNT} === 1")
        await page.press("l")
        await page.wait(f"{COUNT} === 2")
        await page.press("c", *"hello there", "Enter")
        await page.wait(
            "document.querySelector('#comments li:not(.pending) .said')?.textContent === 'hello there'"
        )
        await page.press("Tab")
        assert await page.run(FOCUSED) != "text"
        await expect_accessible(page)
        count = 2
        for how, shown in (("poll", "Long-poll"), ("ws", "WebSocket"), ("sse", "Stream")):
            await page.run("how => document.querySelector(`[name=how][value=${how}]`).click()", how)
            await page.wait(f"{LIVE} && document.querySelector('#line-word').textContent === '{shown}'")
            await like()
            count += 1
            await page.wait(f"{COUNT} === {count}")
        node.stop()
        await page.wait(f"!({LIVE})")
        node.start()
        await node.wait_ready()
        await page.wait(LIVE)
        await like()
        await page.wait(f"{COUNT} === {count + 1}")
        await page.open(node.ops_url)
        await page.wait("document.querySelector('#state').dataset.state === 'ready'")
        await expect_accessible(page)
        await page.open(f"{node.ops_url}/#cluster")
        await page.wait("document.querySelector('#nodes tr')")
        await expect_accessible(page)
