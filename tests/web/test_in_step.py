"""Live, 12 s behind and replayed, in a browser with a real film: events come when the picture is there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from playwright.sync_api import Browser, BrowserContext, Page

from liveserver.cluster.redis_server import RedisServer
from tests.processes import NodeProcess
from tests.web.browsers import running_browser, wait_until
from tests.web.film import film, serve_film
from tests.web.tcp_relay import Stand

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.redis, pytest.mark.slow]

SECONDS = 40  # of the film
BEGUN = 14.0  # seconds that the broadcast has lasted when the viewers come
BEHIND = 12.0
COUNT = 8
EVERY = 400  # milliseconds
SLACK = 300.0

# A film that plays from a moment on, and by how much the page's timers are late at worst.
FILM = """async (from) => {
    const element = document.createElementNS("http://www.w3.org/1999/xhtml", "video");
    window.film = Object.assign(element, { src: "/film.webm", muted: true });
    window.shown = [];
    window.note = ({ detail }) => shown.push([detail.id, film.currentTime * 1000 - detail.position]);
    window.stalled = 0;
    let due = performance.now() + 50;
    setInterval(() => {
        stalled = Math.max(stalled, performance.now() - due);
        due = performance.now() + 50;
    }, 50);
    await new Promise((loaded) => film.addEventListener("loadedmetadata", loaded, { once: true }));
    film.currentTime = from;
    await new Promise((sought) => film.addEventListener("seeked", sought, { once: true }));
}"""

# The broadcast began at a known moment of the clock; a player knows from it how far behind live it is.
WATCH = """async ([url, begun]) => {
    const { LiveVideo } = await import("/liveserver.js");
    await film.play();
    window.behind = () => (Date.now() - begun) / 1000 - film.currentTime;
    window.live = new LiveVideo(url, "v", { behind });
    live.addEventListener("*", note);
    await new Promise((ready) => live.addEventListener("ready", ready, { once: true }));
}"""

RECORDED = """async (url) => (await (await fetch(url)).text()).split("\\n").filter(Boolean).length"""

REPLAY = """async (url) => {
    const { Replay } = await import("/liveserver.js");
    window.sought = 0;
    window.replay = new Replay(url, film);
    replay.addEventListener("*", note);
    replay.addEventListener("seek", ({ detail }) => {
        window.before = detail.events.map(({ id }) => id);
        sought += 1;
    });
}"""

SEEK = """(to) => { film.pause(); shown.length = 0; sought = 0; film.currentTime = to; }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def node(redis_process: RedisServer, tmp_path: Path) -> Iterator[NodeProcess]:
    node = NodeProcess(
        "dc1-n1",
        'frontend","dispatcher","recorder',
        redis_process.url,
        f"recorder.directory={tmp_path}",
        "recorder.interval=200ms",
    )
    try:
        node.start()
        trio.run(node.wait_ready)
        yield node
    finally:
        node.stop()


def opened(context: BrowserContext, node: NodeProcess, content: bytes, moment: float) -> Page:
    """Open a page with the film, paused at this moment."""
    page = context.new_page()
    page.goto(f"{node.url}/page/icon.svg")
    serve_film(page, "film.webm", content)
    page.evaluate(FILM, moment)
    return page


def publish(page: Page, stand: Stand, begun: float) -> tuple[dict[str, int], float]:
    """Publish comments at the broadcast's moment; return their positions, and how late it was at worst."""
    positions, slowest = {}, 0.0
    for number in range(COUNT):
        page.evaluate("(ms) => new Promise((next) => setTimeout(next, ms))", EVERY)
        now = time.time() * 1000
        positions[f"e{number}"] = round(now - begun)
        comment = {"type": "comment", "id": f"e{number}", "position": round(now - begun)}
        stand.publish("v", [comment | {"data": {"text": "!"}}])
        slowest = max(slowest, time.time() * 1000 - now)
    return positions, slowest


def expect_in_step(page: Page, expected: list[str], late: float = 0.0) -> None:
    """Each is shown once, in order, within `SLACK` of its moment and what the machine was held up."""
    wait_until(lambda: len(page.evaluate("shown")) >= len(expected))
    shown: list[tuple[str, float]] = page.evaluate("shown")
    assert [name for name, _ in shown] == expected
    off = [abs(by) for _, by in shown]
    assert statistics.median(off) <= SLACK
    assert max(off) <= SLACK + late + float(page.evaluate("stalled"))


def play_from(page: Page, moment: float) -> list[Any]:
    """Seek in the replay, then play; return which events were before the moment."""
    page.evaluate(SEEK, moment)
    wait_until(lambda: bool(page.evaluate("sought")))
    before: list[Any] = page.evaluate("before")
    page.evaluate("film.play()")
    return before


def test_events_are_in_step_with_the_film_live_behind_and_replayed(
    browser: Browser, node: NodeProcess
) -> None:
    with browser.new_context() as context:
        maker = context.new_page()
        maker.goto(f"{node.url}/page/icon.svg")
        content = film(maker, SECONDS)
        live = opened(context, node, content, BEGUN)
        behind = opened(context, node, content, BEGUN - BEHIND)
        begun = time.time() * 1000 - BEGUN * 1000
        for page in (behind, live):
            page.evaluate(WATCH, [node.url, begun])
        positions, slowest = publish(live, Stand(node.url), begun)
        names = list(positions)
        expect_in_step(live, names, slowest)
        assert behind.evaluate("shown") == []
        assert abs(live.evaluate("behind()")) <= BEHIND / 4
        assert abs(behind.evaluate("behind()") - BEHIND) <= BEHIND / 4

        # The recording is replayed while the other viewer waits for its picture.
        page = opened(context, node, content, 0.0)
        recording = f"{node.url}/v1/videos/v/recording"
        wait_until(lambda: page.evaluate(RECORDED, recording) == COUNT)
        page.evaluate(REPLAY, recording)
        first, middle = positions["e0"] / 1000, (positions["e3"] + positions["e4"]) / 2000
        assert play_from(page, first - 0.3) == []
        expect_in_step(page, names)
        assert play_from(page, middle) == names[:4]
        expect_in_step(page, names[4:])

        expect_in_step(behind, names, slowest)
