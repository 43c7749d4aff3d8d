"""The page for moderators and for moderated users, before a scripted frontend and backend."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.web.browsers import wait_until
from tests.web.scripted import ScriptedFrontend, event
from tests.web.test_page_in_browser import LOOKS, comment, expect_no_errors, opened, tell

pytestmark = pytest.mark.browser

MODERATOR = {"scopes": ["comment", "like", "moderate", "watch"], "signed_in": True, "user": "mo"}
VIEWER = {"scopes": ["comment", "like", "watch"], "signed_in": True, "user": "vi"}


class Backend:
    """What it answers, and what it was asked: method, path below the video's, body."""

    def __init__(self, frontend: ScriptedFrontend) -> None:
        self.me = MODERATOR
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self._frontend = frontend
        frontend.likes = self._on_request

    def _on_request(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        what = path.partition("/v1/videos/v/")[2]
        if what == "me":
            return 200, self.me
        if what == "summary":
            return 200, {"likes": 0, "reactions": {}, "comments": []}
        method = next(method for method, asked, _ in reversed(self._frontend.asked) if asked == path)
        self.asked.append((method, what, body))
        return self.answers.get(what, (200, {}))

    def wait_asked(self, *request: Any) -> None:
        wait_until(lambda: request in self.asked)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(reduced_motion="reduce") as context:
        yield context


@pytest.fixture
def frontend() -> Iterator[ScriptedFrontend]:
    with ScriptedFrontend() as frontend:
        yield frontend


@pytest.fixture
def backend(frontend: ScriptedFrontend) -> Backend:
    return Backend(frontend)


def keyed(number: int, kind: str, key: str, data: Any, **more: Any) -> dict[str, Any]:
    return event(number, kind, key=key, data=data, **more)


def waiting(number: int, text: str, user: str = "Ada") -> dict[str, Any]:
    data = {"id": f"w{number}", "text": text, "at": 1, "user": user}
    return keyed(number, "waiting", f"waiting/w{number}", data)


def desk(page: Page) -> Page:
    page.locator("#moderate").click()
    expect(page.locator("#desk")).to_be_visible()
    return page


def test_settings_are_shown_and_changed(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = desk(opened(context, frontend, clock=True))  # what a slider sends waits for the next step of it
    page.get_by_role("radio", name="Slow").check()
    backend.wait_asked("PUT", "settings", {"comments": "slow", "slow": 30})
    tell(
        frontend.stream(1),
        keyed(1, "settings", "settings", {"comments": "slow", "slow": 120, "likes": "open"}),
    )
    expect(page.locator("#slow-word")).to_have_text("2 min")
    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", "2 min")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.clock.run_for(1_000)
    backend.wait_asked("PUT", "settings", {"slow": 30})
    assert ("PUT", "settings", {"slow": 60}) not in backend.asked
    page.get_by_label("Likes", exact=True).uncheck()
    backend.wait_asked("PUT", "settings", {"likes": "closed"})
    page.get_by_label("Review comments first").check()
    backend.wait_asked("PUT", "settings", {"review": True})
    backend.answers["settings"] = (403, {"detail": "this needs the scope 'moderate'"})
    page.get_by_role("radio", name="Closed").click()
    expect(page.locator("#note")).to_contain_text("needs the scope")
    expect(page.get_by_role("radio", name="Slow")).to_be_checked()  # what holds is shown again
    expect(page.locator("#text")).to_be_visible()
    expect_no_errors(page)


@pytest.mark.parametrize("size", [(640, 400), (844, 390), (390, 844), (320, 568), (320, 256)])
def test_the_desk_fits_at_every_size(
    browser: Browser, frontend: ScriptedFrontend, backend: Backend, size: tuple[int, int]
) -> None:
    """200 % of zoom, phones, also on their side: nothing is cut off, and what is below can be reached."""
    backend.me = MODERATOR | {"user": "a moderator with a long name"}
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
    ) as context:
        page = opened(context, frontend)
        long = "It is a rather long line that has to be read before it is let in. "
        tell(
            frontend.stream(1),
            *(waiting(number, long * 3, "W" * 40) for number in range(1, 12)),
            keyed(12, "pin", "pin", {"text": "Please be kind to each other, all of you."}),
        )
        expect(page.locator("#moderate-count")).to_have_text("11")
        desk(page)
        expect(page.locator("#waiting li")).to_have_count(11)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.evaluate("(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)(desk)")
        for part in ("#moderate", "#waiting button", "#announce-it", "#text", "#send"):
            page.locator(part).first.scroll_into_view_if_needed()
            assert page.evaluate(
                """(part) => {
                    const element = document.querySelector(part);
                    const { left, right, top, bottom } = element.getBoundingClientRect();
                    const inside = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
                    return inside && element.contains(
                        document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
                }""",
                part,
            ), part
        assert page.evaluate(
            "document.querySelector('#me-known').getBoundingClientRect().right"
            " <= document.querySelector('#moderate').getBoundingClientRect().left"
        )
        # The picture leaves nothing empty above what is below it.
        empty = page.evaluate(
            "document.querySelector('.bar').getBoundingClientRect().top"
            " - document.querySelector('#stage').getBoundingClientRect().bottom"
        )
        assert -1 <= empty <= 20


def test_each_comment_has_a_menu(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """With the keyboard."""
    page = opened(context, frontend)
    tell(frontend.stream(1), comment(1, "hello", "Ada / Lovelace"), comment(2, "mine", "mo"))
    more = page.get_by_role("button", name="Moderate Ada / Lovelace")
    for steps, request in (
        (0, ("DELETE", "comments/e1", {})),
        (1, ("PUT", "pin", {"comment": "e1"})),
        (3, ("PUT", "bans/Ada%20%2F%20Lovelace", {"until": None})),
        (4, ("DELETE", "users/Ada%20%2F%20Lovelace/comments", {})),
    ):
        more.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("menuitem").first).to_be_focused()
        for _ in range(steps):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        backend.wait_asked(*request)
        expect(page.get_by_role("menu")).to_have_count(0)
        expect(more).to_be_focused()
    more.click()
    page.get_by_role("menuitem", name="Ban Ada / Lovelace for 10 min").click()
    wait_until(lambda: any((body.get("until") or 0) > 1_000 * time.time() for _, _, body in backend.asked))
    more.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    page.get_by_role("button", name="Moderate mo").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Remove", "Pin"])
    page.locator("h1").click()
    expect(page.get_by_role("menu")).to_have_count(0)
    tell(frontend.stream(1), keyed(3, "clear", "clear/ada", {"user": "Ada / Lovelace"}))
    expect(page.locator(".said")).to_have_text(["mine"])
    expect_no_errors(page)


def test_comments_that_wait_are_decided(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    tell(frontend.stream(1), waiting(1, "one"), waiting(2, "two <b>", "Ben"), waiting(3, "three", "Cy"))
    expect(page.locator("#moderate-count")).to_have_text("3")
    expect(page.get_by_role("button", name="Moderate, 3 waiting")).to_be_visible()
    desk(page)
    expect(page.locator("#waiting p")).to_have_text(["one", "two <b>", "three"])
    page.get_by_role("button", name="Approve: Ben").press("Enter")
    backend.wait_asked("POST", "comments/w2/approve", {})
    expect(page.locator("#waiting p")).to_have_text(["one", "three"])
    backend.answers["comments/w1/reject"] = (403, {"detail": "not yours", "reason": "x"})
    page.get_by_role("button", name="Reject: Ada").click()
    expect(page.locator("#note")).to_have_text("not yours")
    expect(page.locator("#waiting p")).to_have_text(["one", "three"])
    tell(frontend.stream(1), keyed(4, "waiting", "waiting/w1", None), keyed(5, "waiting", "waiting/w3", None))
    expect(page.locator("#queue")).to_be_hidden()
    expect(page.locator("#moderate-count")).to_be_hidden()
    expect_no_errors(page)


def test_bans_the_pin_and_the_list_of_viewers(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = desk(opened(context, frontend))
    soon = round(1_000 * time.time()) + 3_600_000
    tell(
        frontend.stream(1),
        keyed(1, "ban", "ban/eve", {"user": "Eve", "reason": "x"}),
        keyed(2, "ban", "ban/old", {"user": "Old", "until": 1}),
        keyed(3, "ban", "ban/zed", {"user": "Zed", "until": soon}),
        keyed(4, "pin", "pin", {"comment": "e9", "user": "Hal", "text": "Welcome!"}, role="host"),
    )
    expect(page.locator("#pin-text")).to_have_text("Hal: Welcome!")
    page.locator("#banned summary").click()
    expect(page.locator("#bans bdi")).to_have_text(["Eve", "Zed"])
    page.get_by_role("button", name="Lift: Eve").click()
    backend.wait_asked("DELETE", "bans/Eve", {})
    page.get_by_role("button", name="Unpin").click()
    backend.wait_asked("DELETE", "pin", {})
    page.get_by_label("Message to pin").fill("Back at nine")
    page.keyboard.press("Enter")
    backend.wait_asked("PUT", "pin", {"text": "Back at nine"})
    expect(page.get_by_label("Message to pin")).to_have_value("")
    backend.answers["users?limit=50"] = (
        200,
        {
            "users": [{"user": "ada"}, {"user": "hal", "role": "host"}],
            "next": "hal",
            "anonymous": 2,
            "complete": True,
        },
    )
    backend.answers["users?limit=50&after=hal"] = (
        200,
        {"users": [{"user": "zed"}], "next": None, "anonymous": 2, "complete": False},
    )
    page.get_by_text("Who is here").click()
    expect(page.locator("#users li")).to_have_text(["ada", "halhost"])
    page.get_by_role("button", name="More").click()
    expect(page.locator("#users bdi")).to_have_text(["ada", "hal", "zed"])
    expect(page.locator("#here-note")).to_contain_text("Not all servers")
    expect_no_errors(page)


def test_a_spectator_sees_what_holds_and_no_tools(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    backend.me = VIEWER
    page = opened(context, frontend)
    tell(
        frontend.stream(1),
        comment(1, "hello"),
        comment(2, "welcome", "Hal") | {"role": "host"},
        comment(3, "behave", "Mo") | {"role": "moderator"},
        keyed(4, "pin", "pin", {"text": "Back at nine"}),
        keyed(5, "settings", "settings", {"comments": "slow", "slow": 5, "likes": "closed"}),
    )
    expect(page.locator(".role")).to_have_text(["Host", "Moderator"])
    expect(page.locator("#pin-text")).to_have_text("Back at nine")
    expect(page.locator("#moderate")).to_be_hidden()
    expect(page.locator("#unpin")).to_be_hidden()
    expect(page.locator("#text")).to_have_attribute("placeholder", "One comment every 5 s")
    assert page.locator(".more").count() == 0
    page.keyboard.press("l")
    expect(page.locator("#note")).to_have_text("Likes are closed just now.")
    tell(frontend.stream(1), keyed(6, "settings", "settings", {"comments": "closed"}))
    expect(page.locator("#closed")).to_have_text("Comments are closed.")
    expect(page.locator("#text")).to_be_hidden()
    expect_no_errors(page)


def test_a_host_pins_and_announces_and_has_no_other_tools(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    backend.me = {"scopes": ["comment", "host", "like", "watch"], "signed_in": True, "user": "hal"}
    page = opened(context, frontend)
    tell(frontend.stream(1), comment(1, "hello", "Ada"), comment(2, "mine", "hal"))
    expect(page.locator("#moderate-word")).to_have_text("Host")
    desk(page)
    expect(page.locator("#desk button:visible")).to_have_text(["Pin", "Announce"])
    expect(page.get_by_role("radio")).to_have_count(0)
    expect(page.get_by_text("Who is here")).to_be_hidden()
    page.get_by_label("Announcement").fill("  Doors close at nine ")
    page.keyboard.press("Enter")
    backend.wait_asked("POST", "announcements", {"text": "Doors close at nine"})
    expect(page.get_by_label("Announcement")).to_have_value("")
    backend.answers["announcements"] = (403, {"detail": "not now"})
    page.get_by_label("Announcement").fill("Again")
    page.get_by_role("button", name="Announce").click()
    expect(page.locator("#note")).to_have_text("not now")
    expect(page.get_by_label("Announcement")).to_have_value("Again")
    page.get_by_label("Message to pin").fill("Back at nine")
    page.get_by_role("button", name="Pin", exact=True).click()
    backend.wait_asked("PUT", "pin", {"text": "Back at nine"})
    page.get_by_role("button", name="Moderate Ada").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Pin"])
    page.get_by_role("menuitem", name="Pin").click()
    backend.wait_asked("PUT", "pin", {"comment": "e1"})
    page.get_by_role("button", name="Moderate hal").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Remove", "Pin"])
    page.keyboard.press("Escape")
    tell(frontend.stream(1), keyed(3, "pin", "pin", {"text": "Back at nine"}))
    page.get_by_role("button", name="Unpin").click()
    backend.wait_asked("DELETE", "pin", {})
    expect_no_errors(page)


def test_the_slowed_count_down(context: BrowserContext, frontend: ScriptedFrontend, backend: Backend) -> None:
    backend.me = VIEWER
    page = opened(context, frontend, clock=True)
    tell(frontend.stream(1), keyed(1, "settings", "settings", {"comments": "slow", "slow": 5}))
    expect(page.locator("#text")).to_have_attribute("placeholder", "One comment every 5 s")
    backend.answers["comments"] = (201, {"id": "c1"})
    page.fill("#text", "one")
    page.keyboard.press("Enter")
    expect(page.locator("#hold")).to_have_text("Wait 5 s")
    page.fill("#text", "two")
    page.keyboard.press("Enter")
    expect(page.locator("#send")).to_be_disabled()
    expect(page.locator(".said")).to_have_text(["one"])
    page.clock.run_for(3_000)
    expect(page.locator("#hold")).to_have_text("Wait 2 s")
    page.clock.run_for(3_000)
    expect(page.locator("#hold")).to_be_hidden()
    frontend.retry_after = "20"
    backend.answers["comments"] = (429, {"detail": "slow mode: wait 20 s", "reason": "slow"})
    page.keyboard.press("Enter")
    expect(page.locator(".failed .status")).to_contain_text("slow mode: wait 20 s")
    expect(page.locator("#hold")).to_have_text("Wait 20 s")
    tell(frontend.stream(1), keyed(2, "settings", "settings", {"comments": "open"}))
    expect(page.locator("#hold")).to_be_hidden()
    expect_no_errors(page)


def test_a_comment_that_waits_says_so(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    backend.me = VIEWER
    page = opened(context, frontend)
    backend.answers["comments"] = (202, {"id": "e7"})
    page.fill("#text", "hello")
    page.keyboard.press("Enter")
    expect(page.locator(".pending .status")).to_have_text("Waiting for a moderator")
    tell(frontend.stream(1), comment(7, "hello", "vi"))
    expect(page.locator(".pending")).to_have_count(0)
    expect(page.locator(".said")).to_have_text(["hello"])


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("removed", "You were removed by a moderator."),
        ("revoked", "You are signed out. Sign in again to go on watching."),
        ("disconnected", "You were disconnected by the site."),
    ],
)
def test_a_disconnected_viewer_sees_why(
    reason: str, said: str, context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    backend.me = VIEWER
    page = opened(context, frontend)
    frontend.stream(1).send(f'event: bye\ndata: {{"reason":"{reason}","reconnect":false}}\n\n')
    expect(page.locator("#note")).to_have_text(said)
    expect(page.locator("#closed")).to_have_text(said)
    expect(page.locator("#form")).to_be_hidden()
    expect_no_errors(page)


def test_a_banned_viewer_sees_so_when_it_connects(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    backend.me = VIEWER
    page = opened(context, frontend)
    detail = "you were removed by a moderator: spam"
    backend.answers["comments"] = (403, {"detail": detail, "reason": "banned"})
    page.fill("#text", "hello")
    page.keyboard.press("Enter")
    expect(page.locator("#closed")).to_have_text(detail)
    expect(page.locator("#form")).to_be_hidden()


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(browser: Browser, frontend: ScriptedFrontend, backend: Backend, look: str) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    with browser.new_context(reduced_motion="reduce", bypass_csp=True, **LOOKS[look]) as context:
        page = desk(opened(context, frontend))
        tell(
            frontend.stream(1),
            comment(1, "hello", "Hal") | {"role": "host"},
            comment(2, "again", "Mo") | {"role": "moderator"},
            waiting(3, "may I?"),
            keyed(4, "ban", "ban/eve", {"user": "Eve"}),
            keyed(5, "pin", "pin", {"text": "Back at nine"}),
            keyed(6, "settings", "settings", {"comments": "slow", "slow": 30}),
        )
        expect(page.locator("#slow-field")).to_be_visible()
        backend.answers["users?limit=50"] = (200, {"users": [{"user": "a", "role": "host"}], "next": "a"})
        page.locator("#banned summary").click()
        page.get_by_text("Who is here").click()
        expect(page.locator("#users li")).to_have_count(1)
        for opens_menu in (False, True):
            if opens_menu:
                page.get_by_role("button", name="Moderate Hal").press("Enter")
            page.evaluate(axe)
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            nodes = [
                (one["id"], node["html"], node["failureSummary"])
                for one in found["violations"]
                for node in one["nodes"]
            ]
            assert nodes == []
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_tabs_share_a_connection_only_where_they_may_the_same(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """A moderator's tab beside a spectator's has a stream of its own: it is sent more."""

    def signed(number: int, scope: str) -> str:
        """A token of that number; what it says is read without being verified."""
        claims = base64.urlsafe_b64encode(json.dumps({"sub": "mo", "scope": scope, "jti": number}).encode())
        return f"e30.{claims.decode().rstrip('=')}.x"

    opened(context, frontend)  # without a token
    for number, scope in ((1, "watch"), (2, "watch moderate"), (3, "watch moderate"), (4, "watch")):
        page = context.new_page()
        page.goto(f"{frontend.url}/?video=v#token={signed(number, scope)}")
        if number < 3:
            frontend.stream(number + 1).ready(0)
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert len(frontend.streams) == 3
