"""What the page stands on in the browser tests, and how to look at it: nodes, relays, viewers in pages."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.processes import NodeProcess
from tests.web.browsers import SECONDS, wait_until
from tests.web.tcp_relay import Relay, Stand

expect.set_options(timeout=SECONDS * 1000)

# A viewer of its own in a page: what it received, in order.
WATCH = """async ({ urls, video, options }) => {
    const { LiveVideo } = await import("/liveserver.js");
    window.live = new LiveVideo(urls, video, options);
    window.seen = [];
    window.notices = [];
    live.addEventListener("*", ({ detail }) => seen.push(detail.id));
    for (const word of ["ready", "gap"]) live.addEventListener(word, ({ detail }) => notices.push([word, detail.gap]));
    await new Promise((ready) => live.addEventListener("ready", ready, { once: true }));
}"""  # noqa: E501


class Stage:
    """A dispatcher, two frontends with a relay before each, and what stands in for the backend.

    The second frontend compresses.
    """

    def __init__(self, redis_url: str) -> None:
        self.dispatcher = NodeProcess("dc1-di1", "dispatcher", redis_url)
        where = f'frontend.dispatchers=["{self.dispatcher.url}"]'
        self.frontends = [NodeProcess(f"dc1-fe{n}", "frontend", redis_url, where) for n in (1, 2)]
        self.frontends[1].change("frontend.compression=gzip")
        self.stand = Stand(self.dispatcher.url)
        self.one, self.two = (Relay(node.url, self.stand) for node in self.frontends)

    def likes(self, video: str, first: int, last: int) -> None:
        """Likes with ids of their own, in batches."""
        for start in range(first, last, 10):
            numbers = range(start, min(start + 10, last))
            self.stand.publish(video, [{"type": "like", "id": f"{video}-{n}"} for n in numbers])


def ids(video: str, count: int) -> list[str]:
    return [f"{video}-{n}" for n in range(count)]


def opened(context: BrowserContext, relay: Relay, video: str, **parameters: str) -> Page:
    """The page, watching."""
    page = context.new_page()
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    page.goto(f"{relay.url}/?video={video}{query}")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def watching(context: BrowserContext, video: str, *relays: Relay, **options: Any) -> Page:
    """An empty page at the first relay, with a viewer in it that is ready."""
    page = context.new_page()
    page.goto(f"{relays[0].url}/page/icon.svg")
    page.evaluate(WATCH, {"urls": [relay.url for relay in relays], "video": video, "options": options})
    return page


def expect_seen(page: Page, video: str, count: int) -> None:
    wait_until(lambda: page.evaluate("seen.length") >= count)
    assert page.evaluate("seen") == ids(video, count)
    assert not any(gap for _, gap in page.evaluate("notices"))


def expect_asked(relay: Relay, path: str, least: int) -> None:
    """Wait until the relay has been asked for this path so often."""
    wait_until(lambda: relay.count(path) >= least)


def expect_likes(page: Page, count: int) -> None:
    expect(page.locator("#count")).to_have_attribute("data-exact", str(count))
