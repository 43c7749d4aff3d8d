"""In time with the picture, in a browser: a viewer behind live, and a recording in step with a video."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from liveserver.bus.interface import Head, Slice
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.recorder.directory import Directory
from liveserver.recorder.recording import Recording
from tests.web.browsers import wait_until
from tests.web.scripted import ScriptedFrontend

pytestmark = pytest.mark.browser

BEGIN = 1_763_862_000_000

# What a `<video>` is to the client, with a playhead that the test moves.
VIDEO = """async (url) => {
    const { Replay } = await import("/liveserver.js");
    window.film = Object.assign(new EventTarget(), { currentTime: 0, seeking: false, playbackRate: 1 });
    window.seek = (to) => { film.currentTime = to; film.dispatchEvent(new Event("seeked")); };
    window.shown = [], window.sought = [], window.faults = [];
    window.replay = new Replay(url, film);
    replay.addEventListener("*", ({ detail }) => shown.push([detail.id, film.currentTime]));
    replay.addEventListener("comment", ({ detail }) => { window.last = detail.data.text; });
    replay.addEventListener("seek", ({ detail }) => sought.push(detail.events.map(({ id }) => id)));
    replay.addEventListener("error", ({ detail }) => faults.push(String(detail)));
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context, ScriptedFrontend() as frontend:
        page = context.new_page()
        page.goto(f"{frontend.url}/page/icon.svg")
        yield page


def record(directory: Path, count: int, *, has_position: bool = True) -> Recording:
    """Record a comment every half second."""
    lines = []
    for number in range(count):
        at = number * 500
        said = {"id": f"e{number}", "video": "v", "type": "comment", "at": BEGIN + at}
        if has_position:
            said["position"] = at
        lines.append(
            b"comment " + json.dumps(said | {"data": {"text": f"t{number}"}}, separators=(",", ":")).encode()
        )
    head = Head("aaa", count, Cursor.parse(f"dc1-aaa-{count}"))
    recording = Recording(Directory(directory), "v", 10.0)
    recording.append(Slice(head, 1, [Batch("v", "aaa", 1, "dc1", "aaa", 1, lines)]))
    return recording


def serve(page: Page, directory: Path, where: str = "**/recordings/v/**") -> list[str]:
    """Serve the files as any web server does; return what is asked for."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        asked.append(name)
        path = directory / "v" / name
        if path.exists():
            route.fulfill(body=path.read_bytes(), content_type="application/gzip")
        else:
            route.fulfill(status=404)

    page.route(where, answer)
    return asked


def play(page: Page, start: float, end: float, step: float = 0.1) -> None:
    """Move the playhead as a film that plays does, a step at each look of the client's."""
    page.evaluate(
        """async ([start, end, step]) => {
            for (let at = start; at < end + step / 2; at += step) {
                film.currentTime = at;
                await new Promise((next) => setTimeout(next, 60));
            }
        }""",
        [start, end, step],
    )


@pytest.mark.parametrize("has_position", [True, False])
def test_events_come_when_the_picture_is_there(page: Page, tmp_path: Path, has_position: bool) -> None:
    record(tmp_path, 200, has_position=has_position)
    asked = serve(page, tmp_path)
    page.evaluate(VIDEO, "/recordings/v")
    wait_until(lambda: page.evaluate("sought.length") == 1)
    assert page.evaluate("sought") == [[]]
    play(page, 0, 1.95)
    wait_until(lambda: page.evaluate("shown.length") >= 4)
    shown = page.evaluate("shown")
    assert [name for name, _ in shown] == ["e0", "e1", "e2", "e3"]
    for number, (_, at) in enumerate(shown):
        assert 0 < at - number * 0.5 <= 0.5
    assert page.evaluate("last") == "t3"
    assert len([name for name in asked if name.endswith(".gz")]) <= 2  # of ten: a look ahead, not all

    page.evaluate("shown.length = 0; seek(60.2)")
    wait_until(lambda: page.evaluate("sought.length") == 2)
    assert page.evaluate("sought[1]")[-2:] == ["e119", "e120"]
    play(page, 60.3, 61.1)
    wait_until(lambda: page.evaluate("shown.length") >= 2)
    assert [name for name, _ in page.evaluate("shown")] == ["e121", "e122"]

    page.evaluate("shown.length = 0; seek(0.4)")  # back: what was shown is shown again
    wait_until(lambda: page.evaluate("sought.length") == 3)
    assert page.evaluate("sought[2]") == ["e0"]
    play(page, 0.5, 1.2)
    wait_until(lambda: page.evaluate("shown.length") >= 2)
    assert [name for name, _ in page.evaluate("shown")] == ["e1", "e2"]
    page.evaluate("replay.close()")
    assert page.evaluate("faults") == []


def test_a_jump_back_shows_nothing_twice_before_the_player_reports_it(page: Page, tmp_path: Path) -> None:
    record(tmp_path, 80)
    serve(page, tmp_path)
    page.evaluate(VIDEO, "/recordings/v")
    wait_until(lambda: page.evaluate("sought.length") == 1)
    page.evaluate("seek(19.8)")
    wait_until(lambda: page.evaluate("sought.length") == 2)
    play(page, 19.9, 20.1)
    wait_until(lambda: page.evaluate("shown.length") == 1)
    page.evaluate("shown.length = 0, film.currentTime = 10.2")  # and "seeked" is late
    wait_until(lambda: page.evaluate("sought.length") == 3)
    page.evaluate("new Promise((next) => setTimeout(next, 120))")
    assert page.evaluate("sought[2].at(-1)") == "e20"
    assert page.evaluate("shown") == []


def test_a_seek_that_is_overtaken_by_another_shows_nothing(page: Page, tmp_path: Path) -> None:
    record(tmp_path, 300)
    serve(page, tmp_path)
    page.evaluate(VIDEO, "/recordings/v")
    wait_until(lambda: page.evaluate("sought.length") == 1)
    page.evaluate("""() => {
        const real = fetch;
        window.held = [];
        window.fetch = async (...asked) => {
            if (!window.isOver) await new Promise((next) => held.push(next));
            return real(...asked);
        };
    }""")
    page.evaluate("seek(40.2)")
    wait_until(lambda: page.evaluate("held.length") > 0)
    page.evaluate("isOver = true, seek(140.2)")
    wait_until(lambda: page.evaluate("sought.length") == 2)
    page.evaluate("held.forEach((next) => next())")
    page.evaluate("new Promise((next) => setTimeout(next, 200))")
    assert len(page.evaluate("sought")) == 2
    assert page.evaluate("sought[1].at(-1)") == "e280"
    assert page.evaluate("shown") == []


def test_a_recording_that_was_rewritten_is_read_anew(page: Page, tmp_path: Path) -> None:
    recording = record(tmp_path, 40)
    serve(page, tmp_path)
    page.evaluate(VIDEO, "/recordings/v/")
    wait_until(lambda: page.evaluate("sought.length") == 1)
    retraction = b'retract {"id":"r","video":"v","type":"retract","at":%d,"data":{"id":"e30"}}' % (
        BEGIN + 19_600
    )
    head = Head("aaa", 41, Cursor.parse("dc1-aaa-41"))
    recording.append(Slice(head, 1, [Batch("v", "aaa", 41, "dc1", "aaa", 41, [retraction])]))
    page.evaluate("seek(14.8)")
    wait_until(lambda: len(page.evaluate("faults")) >= 1)  # the former file is gone
    wait_until(lambda: page.evaluate("seek(14.8), sought.at(-1)").count("e29") == 1)
    play(page, 14.9, 16.1)
    wait_until(lambda: page.evaluate("shown.length") >= 2)
    assert [name for name, _ in page.evaluate("shown")][:1] == ["e31"]  # e30 was taken back


def test_the_delay_follows_the_picture(browser: Browser) -> None:
    with browser.new_context() as context, ScriptedFrontend() as frontend:
        page = context.new_page()
        page.goto(f"{frontend.url}/page/icon.svg")
        page.evaluate(
            """async (url) => {
                const { LiveVideo } = await import("/liveserver.js");
                window.delay = NaN;
                window.live = new LiveVideo(url, "v", { behind: () => delay, transport: "sse" });
            }""",
            frontend.url,
        )
        first = frontend.stream(1)
        assert "behind" not in first.query
        page.evaluate("delay = 12.4")
        assert frontend.stream(2).query["behind"] == "12s"
        page.evaluate("delay = 12.9")  # not worth a reconnection
        page.evaluate("new Promise((next) => setTimeout(next, 1200))")
        page.evaluate("delay = 0.1")
        assert "behind" not in frontend.stream(3).query
