"""Live and behind live by a delay with a fraction, in a browser: each event comes at its moment."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import pytest
import trio
from playwright.sync_api import Browser

from liveserver.cluster.redis_server import RedisServer
from tests.processes import NodeProcess
from tests.web.browsers import wait_until
from tests.web.scripted import ScriptedFrontend
from tests.web.tcp_relay import Stand

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.redis]

DELAY = 2.4  # the server is asked for 2 s, the client waits for the rest
COUNT = 12
SLACK = 0.3

# A viewer that notes what it was shown, when by the page's clock, and the cursor then.
WATCH = """async ([name, url, behind, transport]) => {
    const { LiveVideo } = await import("/liveserver.js");
    const live = new LiveVideo(url, "v", { behind, transport });
    const seen = ((window.shown ??= {})[name] = []);
    (window.lives ??= {})[name] = live;
    live.addEventListener("*", ({ detail }) => seen.push([detail.id, performance.now() / 1000, live.cursor]));
    await new Promise((ready) => live.addEventListener("ready", ready, { once: true }));
}"""


@pytest.fixture(scope="module")
def node(redis_process: RedisServer) -> Iterator[NodeProcess]:
    node = NodeProcess("dc1-n1", 'frontend","dispatcher', redis_process.url)
    try:
        node.start()
        trio.run(node.wait_ready)
        yield node
    finally:
        node.stop()


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_each_event_is_shown_at_its_moment(browser: Browser, node: NodeProcess, transport: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{node.url}/page/icon.svg")
        page.evaluate(WATCH, ["live", node.url, 0, transport])
        page.evaluate(WATCH, ["behind", node.url, DELAY, transport])
        backend = Stand(node.url)
        names = [f"{transport}-{number}" for number in range(COUNT)]
        for name in names:
            backend.publish("v", [{"type": "comment", "id": name, "data": {"text": name}}])
            page.evaluate("new Promise((next) => setTimeout(next, 60))")
        assert len(page.evaluate("shown.behind")) < COUNT
        wait_until(lambda: len(page.evaluate("shown.behind")) >= COUNT)
        live, behind = page.evaluate("[shown.live, shown.behind]")
        assert [name for name, *_ in live] == [name for name, *_ in behind] == names
        cursors = [[cursor for *_, cursor in each] for each in (live, behind)]
        if transport == "ws":  # a message has one cursor, for however many events
            cursors = [each[-1:] for each in cursors]
        assert cursors[0] == cursors[1]
        late = [then - now for (_, now, _), (_, then, _) in zip(live, behind, strict=True)]
        assert abs(statistics.median(late) - DELAY) <= SLACK


def test_what_is_held_is_neither_lost_nor_doubled_by_a_new_connection(browser: Browser) -> None:
    with browser.new_context() as context, ScriptedFrontend() as frontend:
        page = context.new_page()
        page.goto(f"{frontend.url}/page/icon.svg")
        page.evaluate(f"({WATCH})(['behind', '{frontend.url}', 12.9, 'sse']), 0")
        first = frontend.stream(1)
        assert first.query["behind"] == "12s"
        first.ready(1)
        first.events(2, 3)
        wait_until(lambda: page.evaluate("lives.behind.connection.name") == "live")
        first.close()
        second = frontend.stream(2)
        assert second.query == {"cursor": "dc1-aaaaa-3", "behind": "12s"}
        second.ready(3, resumed=True)
        second.events(4, 4)
        wait_until(lambda: len(page.evaluate("shown.behind")) >= 3)
        assert [name for name, *_ in page.evaluate("shown.behind")] == ["e2", "e3", "e4"]
        assert page.evaluate("lives.behind.cursor") == "dc1-aaaaa-4"
        second.events(5, 5)  # held when it is closed: the cursor is still before it
        page.evaluate("lives.behind.close()")
        assert page.evaluate("lives.behind.cursor") == "dc1-aaaaa-4"
