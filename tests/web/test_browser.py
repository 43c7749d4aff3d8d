"""The page and the browser client, in a real browser, before real frontends over a real Redis."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from playwright.sync_api import Browser, BrowserContext, expect

from liveserver.cluster.redis_server import RedisServer
from tests.processes import NodeProcess
from tests.web.browsers import stop_clock, wait_until
from tests.web.harness import WATCH, Stage, expect_asked, expect_likes, expect_seen, opened, watching
from tests.web.tcp_relay import Relay

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.redis]


@pytest.fixture(scope="module")
def stage(redis_process: RedisServer) -> Iterator[Stage]:
    built = Stage(redis_process.url)
    nodes = [built.dispatcher, *built.frontends]
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        for node in nodes:
            trio.run(node.wait_ready)
        stack.enter_context(built.one)
        stack.enter_context(built.two)
        yield built


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(reduced_motion="reduce") as context:
        yield context


def test_the_page_loads_without_a_complaint(stage: Stage, context: BrowserContext) -> None:
    """Under its own policy: what that stops is an error on the console."""
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = page.goto(f"{stage.one.url}/?video=quiet&frontends={stage.one.url},{stage.two.url}")
    assert answer is not None
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.keyboard.press("l")
    expect_likes(page, 1)
    page.locator("#line summary").click()
    expect(page.locator("#node")).to_have_text("dc1-fe1")
    assert complaints == []


def test_two_people_at_two_frontends_see_each_other(stage: Stage, browser: Browser) -> None:
    calm: Any = {"reduced_motion": "reduce"}
    with browser.new_context(**calm) as hers, browser.new_context(**calm) as his:
        one = opened(hers, stage.one, "pair")
        two = opened(his, stage.two, "pair")
        for page in (one, two):
            expect(page.locator("#viewer-count")).to_have_text("2")
            expect(page.locator("#viewers")).to_be_visible()
        one.get_by_role("button", name="Like").click()
        expect_likes(two, 1)
        two.keyboard.press("l")
        two.keyboard.press("3")
        expect_likes(one, 3)
        expect_likes(two, 3)
        two.keyboard.press("c")
        two.keyboard.type("Hello over there")
        two.keyboard.press("Enter")
        expect(one.locator(".said")).to_have_text("Hello over there")
        name = two.locator("#me").input_value()
        expect(one.locator(".who")).to_contain_text(name)


def test_markup_in_a_comment_stays_text(stage: Stage, context: BrowserContext) -> None:
    page = opened(context, stage.one, "markup")
    text = "<img src=x onerror=alert(1)><b>bold</b> &amp; <script>alert(2)</script>"
    page.get_by_role("textbox", name="Your comment").fill(text)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".said")).to_have_text(text)
    assert page.locator("#comments :is(img, b, script)").count() == 0


def test_the_page_explains_where_likes_are_not_accepted(stage: Stage, context: BrowserContext) -> None:
    with Relay(stage.frontends[0].url) as relay:
        page = opened(context, relay, "alone")
        page.get_by_role("button", name="Like").click()
        expect(page.get_by_role("status")).to_contain_text("isn't possible at this address")
        stage.likes("alone", 0, 5)
        expect_likes(page, 5)


def test_when_a_frontend_is_killed_the_page_resumes_at_the_other(
    stage: Stage, context: BrowserContext
) -> None:
    """Under load, without a loss, without a double, in order; the page's own counter as well."""
    killed = stage.frontends[0]
    page = opened(context, stage.one, "killed", frontends=f"{stage.one.url},{stage.two.url}")
    viewer = watching(context, "killed", stage.one, stage.two, share=False)
    stage.likes("killed", 0, 100)
    wait_until(lambda: bool(viewer.evaluate("seen.length") >= 50))
    killed.signal(signal.SIGKILL)
    killed.stop()
    try:
        stage.likes("killed", 100, 300)
        expect_seen(viewer, "killed", 300)
        expect_likes(page, 300)
        assert viewer.evaluate("live.connection.node") == "dc1-fe2"
    finally:
        killed.start()
        trio.run(killed.wait_ready)


def test_where_streams_are_held_back_polls_get_through(stage: Stage, context: BrowserContext) -> None:
    """And once streams come through, it is back at a stream; nothing lost or doubled at either switch."""
    with Relay(stage.frontends[0].url, stage.stand) as relay:
        relay.buffering = True
        page = context.new_page()
        page.clock.install()
        page.goto(f"{relay.url}/page/icon.svg")
        page.evaluate(WATCH, {"urls": relay.url, "video": "held", "options": {"share": False}})
        assert page.evaluate("live.connection.transport") == "poll"
        stage.likes("held", 0, 50)
        expect_seen(page, "held", 50)
        relay.buffering = False
        page.clock.fast_forward(65_000)
        stage.likes("held", 50, 100)
        wait_until(
            lambda: bool(page.evaluate("live.connection.transport + live.connection.name") == "sselive")
        )
        stage.likes("held", 100, 150)
        expect_seen(page, "held", 150)


def test_a_mute_stream_is_given_up(stage: Stage, context: BrowserContext) -> None:
    page = context.new_page()
    stop_clock(page)
    page.goto(f"{stage.one.url}/page/icon.svg")
    page.evaluate(WATCH, {"urls": stage.one.url, "video": "mute", "options": {"share": False}})
    stage.likes("mute", 0, 10)
    expect_seen(page, "mute", 10)
    page.clock.fast_forward(40_000)
    page.clock.fast_forward(5_000)
    page.clock.resume()
    wait_until(lambda: stage.one.count("/mute/events") == 2)
    stage.likes("mute", 10, 20)
    expect_seen(page, "mute", 20)


def test_five_tabs_share_one_connection(stage: Stage, context: BrowserContext) -> None:
    """Also after the one that had it is closed, without a loss."""
    with Relay(stage.frontends[1].url, stage.stand) as relay:
        pages = [opened(context, relay, "tabs")]
        expect(pages[0].locator("#viewer-count")).to_have_text("1")
        pages += [opened(context, relay, "tabs") for _ in range(4)]
        for page in pages:  # the first one informs the later ones
            expect(page.locator("#viewer-count")).to_have_text("1")
        viewers = [watching(context, "shared", relay) for _ in range(5)]
        assert relay.streams == 2
        assert relay.count("/tabs/events") == relay.count("/shared/events") == 1
        stage.likes("shared", 0, 50)
        pages[3].get_by_role("button", name="Like").click()
        for page, viewer in zip(pages, viewers, strict=True):
            expect_likes(page, 1)
            expect_seen(viewer, "shared", 50)
        pages.pop(0).close()
        viewers.pop(0).close()
        stage.likes("tabs", 0, 20)
        stage.likes("shared", 50, 120)
        for page, viewer in zip(pages, viewers, strict=True):
            expect_likes(page, 21)
            expect_seen(viewer, "shared", 120)
        assert relay.count("/tabs/events") == relay.count("/shared/events") == 2


def test_a_silent_connection_is_renewed_after_a_wake_up(stage: Stage, context: BrowserContext) -> None:
    page = context.new_page()
    stop_clock(page)
    page.goto(f"{stage.two.url}/page/icon.svg")
    page.evaluate(WATCH, {"urls": stage.two.url, "video": "woken", "options": {"share": False}})
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.clock.fast_forward(31_000)
    assert stage.two.count("/woken/events") == 1
    page.clock.resume()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    wait_until(lambda: stage.two.count("/woken/events") >= 2)
    stage.likes("woken", 0, 10)
    expect_seen(page, "woken", 10)


def test_a_tab_that_has_the_lock_and_says_nothing_loses_it(stage: Stage, context: BrowserContext) -> None:
    hung = context.new_page()
    hung.goto(f"{stage.two.url}/page/icon.svg")
    hung.evaluate(
        "name => new Promise((held) => navigator.locks.request(name, () => new Promise(held)))",
        f"liveserver hung,{stage.two.url}/,,,",
    )
    page = context.new_page()
    stop_clock(page)
    page.goto(f"{stage.two.url}/page/icon.svg")
    page.evaluate(
        f"options => void ({WATCH})(options)", {"urls": stage.two.url, "video": "hung", "options": {}}
    )
    wait_until(lambda: bool(page.evaluate("!!window.live")))
    assert stage.two.count("/hung/events") == 0
    page.clock.run_for(30_000)
    page.clock.resume()
    wait_until(lambda: stage.two.count("/hung/events") == 1)
    wait_until(lambda: bool(page.evaluate("live.connection.name === 'live'")))
    stage.likes("hung", 0, 10)
    expect_seen(page, "hung", 10)


def test_with_the_real_backend_the_counter_is_exact(browser: Browser, tmp_path: Path) -> None:
    """In one process, as `make run` starts it; also for pages that are opened later."""
    everything = 'node.roles=["frontend","dispatcher","backend"]'
    node = NodeProcess(
        "dc1-all", "frontend", "", everything, "bus.kind=memory", f"backend.directory={tmp_path}"
    )
    try:
        node.start()
        trio.run(node.wait_ready)
        with browser.new_context(reduced_motion="reduce") as context:
            page = context.new_page()
            page.goto(f"{node.url}/?video=real")
            expect(page.locator("#live")).to_have_attribute("data-state", "live")
            for _ in range(10):
                page.keyboard.press("l")
            page.keyboard.press("c")
            page.keyboard.type("First!")
            page.keyboard.press("Enter")
            expect_likes(page, 10)
            expect(page.locator(".said")).to_have_text("First!")
            page.reload()
            expect_likes(page, 10)
            expect(page.locator(".said")).to_have_text("First!")
    finally:
        node.stop()


STATE = """async ([urls, transport]) => {
    const { LiveVideo } = await import("/liveserver.js");
    const live = new LiveVideo(urls, "sums", { transport, share: false });
    const notices = [];
    for (const word of ["ready", "state", "*"]) live.addEventListener(word, () => notices.push(word));
    await new Promise((done) => live.addEventListener("state", done, { once: true }));
    const { likes, reactions } = live.total;
    live.close();
    return [notices, likes, Object.fromEntries(reactions)];
}"""


def test_where_likes_are_summed_the_number_is_exact_on_every_page(browser: Browser, tmp_path: Path) -> None:
    """Also on pages that come later, and over every transport: the whole state is sent, not a difference."""
    everything = 'node.roles=["frontend","dispatcher","backend"]'
    directory = f"backend.directory={tmp_path}"
    node = NodeProcess(
        "dc1-all", "frontend", "", everything, "bus.kind=memory", directory, "likes.each_up_to=0"
    )
    try:
        node.start()
        trio.run(node.wait_ready)
        with browser.new_context() as hers, browser.new_context(reduced_motion="reduce") as his:
            pages = [hers.new_page(), his.new_page()]
            for page in pages:
                page.goto(f"{node.url}/?video=sums")
                expect(page.locator("#live")).to_have_attribute("data-state", "live")
            for _ in range(7):
                pages[0].keyboard.press("l")
                pages[1].keyboard.press("3")
            for page in pages:
                expect_likes(page, 14)
            pages[0].reload()
            expect_likes(pages[0], 14)
            pages[0].keyboard.press("2")
            for page in pages:
                expect_likes(page, 15)
            for transport in ("sse", "poll", "ws"):
                received, likes, reactions = pages[1].evaluate(STATE, [node.url, transport])
                assert received == ["ready", "state"]
                assert (likes, reactions) == (15, {"heart": 7, "star": 7, "fire": 1})
    finally:
        node.stop()


def test_a_transport_can_be_insisted_on(stage: Stage, context: BrowserContext) -> None:
    page = opened(context, stage.two, "insist")
    page.locator("#line summary").click()
    page.get_by_role("radio", name="Long-poll").check()
    expect(page.locator("#transport")).to_have_text("Long-poll")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Wow").click()
    expect_likes(page, 1)
    expect_asked(stage.two, "/insist/poll", 1)
    page.locator("#line summary").click()
    page.get_by_role("radio", name="Stream").check()
    expect(page.locator("#transport")).to_have_text("Event stream")
    stage.likes("insist", 0, 20)
    expect_likes(page, 21)


def test_a_websocket_can_be_insisted_on(stage: Stage, context: BrowserContext) -> None:
    """From here, and from elsewhere: the page's policy allows it."""
    for frontend, others in ((stage.two, {}), (stage.two, {"frontends": stage.two.url})):
        video = f"insocket{len(others)}"
        page = opened(context, frontend, video, **others)
        page.locator("#line summary").click()
        page.get_by_role("radio", name="WebSocket").check()
        expect(page.locator("#transport")).to_have_text("WebSocket")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        expect_asked(stage.two, "/v1/ws", len(others) + 1)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Wow").click()
        expect_likes(page, 1)
        stage.likes(video, 0, 20)
        expect_likes(page, 21)


def test_a_script_resumes_over_a_websocket(stage: Stage, context: BrowserContext) -> None:
    """Without a loss or a double: from a stream to a WebSocket, and back; all of them compressed."""
    page = watching(context, "over", stage.two, share=False)
    for step, transport in enumerate(("ws", "sse", "ws", "poll"), 1):
        stage.likes("over", 30 * step - 30, 30 * step - 15)
        page.evaluate("(transport) => live.setTransport(transport)", transport)
        stage.likes("over", 30 * step - 15, 30 * step)
        expect_seen(page, "over", 30 * step)
        page.wait_for_function("(transport) => live.connection.transport === transport", arg=transport)
