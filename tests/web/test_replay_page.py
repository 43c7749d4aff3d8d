"""The page with a recording and a real film: what was liked and said comes when the picture is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from liveserver.bus.interface import Head, Slice
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.recorder.directory import Directory
from liveserver.recorder.recording import Recording
from tests.web.browsers import wait_until
from tests.web.film import film, serve_film
from tests.web.scripted import ScriptedFrontend
from tests.web.test_replay import serve

pytestmark = pytest.mark.browser

BEGIN = 1_763_862_000_000
SECONDS = 60

# Where the film was when a comment came into the list, or a heart on the screen.
OBSERVE = """() => {
    const film = document.getElementById("film");
    window.shown = [];
    new MutationObserver((changes) => {
        for (const { addedNodes } of changes)
            for (const node of addedNodes) {
                const [said] = node.textContent.match(/said-[0-9]+/) ?? [];
                if (said) shown.push([Number(said.slice(5)), film.currentTime * 1000]);
            }
    }).observe(document.getElementById("comments"), { childList: true });
}"""


def record(directory: Path) -> None:
    """Record a comment each second, named by its position, and a like between two."""
    lines = []
    for number in range(2 * SECONDS):
        position = number * 500
        said: dict[str, object] = {
            "id": f"e{number}",
            "video": "v",
            "type": "comment",
            "at": BEGIN + position,
        }
        said |= {"user": f"u{number}", "position": position, "data": {"text": f"said-{position}"}}
        if number % 2:
            said |= {"type": "like", "data": {"reaction": "heart"}}
        lines.append(f"{said['type']} {json.dumps(said, separators=(',', ':'))}".encode())
    head = Head("aaa", len(lines), Cursor.parse(f"dc1-aaa-{len(lines)}"))
    batch = Batch("v", "aaa", 1, "dc1", "aaa", 1, lines)
    Recording(Directory(directory), "v", 10.0).append(Slice(head, 1, [batch]))


def play_from(page: Page, seconds: float) -> None:
    """Seek; once what was before the moment is shown, play slowly: so a busy machine is quick enough."""
    page.evaluate(
        """(to) => {
            const film = document.getElementById("film");
            film.pause();
            film.playbackRate = 0.25;
            shown.length = 0;
            film.currentTime = to;
        }""",
        seconds,
    )
    wait_until(lambda: int(seconds) * 1000 in [said for said, _ in page.evaluate("shown")])
    page.evaluate("void film.play()")


def expect_in_step(page: Page, position: int) -> None:
    """This comment comes when the film is there."""
    wait_until(lambda: position in [said for said, _ in page.evaluate("shown")])
    shown: dict[int, float] = dict(page.evaluate("shown"))
    assert 0 <= shown[position] - position <= 300


def test_the_page_replays_a_recording_in_step_with_a_film(browser: Browser, tmp_path: Path) -> None:
    record(tmp_path)
    with browser.new_context() as context, ScriptedFrontend() as frontend:
        page = context.new_page()
        page.goto(f"{frontend.url}/page/icon.svg")
        serve_film(page, "film.webm", film(page, SECONDS))
        serve(page, tmp_path, "**/v1/videos/v/recording/*")
        page.goto(f"{frontend.url}/?video=v&src=/film.webm&replay")
        expect(page.locator("#live")).to_have_attribute("data-state", "replay")
        expect(page.locator("#closed")).to_have_text("This is a recording.")
        assert page.evaluate("film.duration") == SECONDS
        page.evaluate(OBSERVE)

        play_from(page, 4.8)
        expect_in_step(page, 5000)
        play_from(page, 40.8)  # of which nothing was loaded
        expect_in_step(page, 41_000)
        play_from(page, 2.8)  # back: what comes later is not shown any more
        expect_in_step(page, 3000)
        page.evaluate("film.pause()")
        texts = str(page.locator("#comments > li").all_inner_texts())
        assert "said-1000" in texts
        assert "said-5000" not in texts
        assert frontend.count("/v1/") == 0  # nothing is asked of a live frontend
