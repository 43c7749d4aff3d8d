"""The page in a real browser, before a scripted frontend and backend: failure, content, access, cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.web.browsers import SECONDS, stop_clock, wait_until
from tests.web.scripted import ScriptedFrontend, Stream, event, frame

pytestmark = pytest.mark.browser

expect.set_options(timeout=SECONDS * 1000)

MINUTE = 60_000
OPEN = {"scopes": ["comment", "like", "watch"], "signed_in": False}


class Backend:
    """The likes backend of the page: what it answers, and what it was sent."""

    def __init__(self, frontend: ScriptedFrontend) -> None:
        self.me: tuple[int, dict[str, Any]] = (200, OPEN)
        self.likes = 0
        self.comments: list[dict[str, Any]] = []
        self.answer: tuple[int, dict[str, Any]] | None = (201, {"id": "c1", "total": 1})
        self.sent: list[tuple[str, dict[str, Any]]] = []
        frontend.likes = self._on_request

    def _on_request(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if path.endswith("/me"):
            return self.me
        if path.endswith("/summary"):
            return 200, {"likes": self.likes, "reactions": {}, "comments": self.comments}
        self.sent.append((path.rpartition("/")[2], body))
        return self.answer


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


def opened(
    context: BrowserContext, frontend: ScriptedFrontend, path: str = "/?video=v", clock: bool = False
) -> Page:
    """The page, watching, without an error so far."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.evaluate_errors = errors  # type: ignore[attr-defined]
    if clock:
        stop_clock(page)
    page.goto(f"{frontend.url}{path}")
    frontend.stream(1).ready(0)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def expect_no_errors(page: Page) -> None:
    assert page.evaluate_errors == []  # type: ignore[attr-defined]


def comment(number: int, text: str, user: str = "Ada", at: int = 0) -> dict[str, Any]:
    return event(number, "comment", user=user, data={"text": text}) | {"at": at or 1_763_862_000_000 + number}


def tell(stream: Stream, *events: dict[str, Any]) -> None:
    for each in events:
        stream.send(frame(each, int(each["id"][1:])))


# Names of others


def test_reactions_named_like_parts_of_an_object_are_reactions(
    browser: Browser, frontend: ScriptedFrontend, backend: Backend
) -> None:
    with browser.new_context() as context:
        page = opened(context, frontend)
        words = ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "prototype", "x"]
        backend.likes = 10  # whatever a viewer is sent is stored, whenever the page asks
        tell(frontend.stream(1), *(event(n, data={"reaction": word}) for n, word in enumerate(words, 1)))
        tell(
            frontend.stream(1),
            event(8, data={"reaction": {"a": 1}}),
            event(9, data=None),
            event(10, data={"reaction": "heart"}),
        )
        expect(page.locator("#count")).to_have_attribute("data-exact", "10")
        page.wait_for_timeout(300)
        expect_no_errors(page)
        assert page.evaluate(
            """() => {
                const canvas = document.querySelector("#reactions"), { width, height } = canvas;
                return canvas.getContext("2d").getImageData(0, 0, width, height).data.some(Boolean);
            }"""
        )


def test_sums_with_such_names_too(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    total = {"heart": 40, "constructor": 3, "__proto__": 2}
    added = {"heart": 5, "constructor": 3, "__proto__": 2}
    tell(
        frontend.stream(1),
        event(1, "likes", key="likes/a", version=45, data={"added": added, "total": total}),
    )
    expect(page.locator("#count")).to_have_attribute("data-exact", "45")
    tell(
        frontend.stream(1),
        event(2, "likes", key="likes/b", version=1, data={"added": {"heart": 1}, "total": {"heart": 1}}),
    )
    tell(frontend.stream(1), event(3, "like", data={"reaction": "heart"}))
    expect(page.locator("#count")).to_have_attribute("data-exact", "46")
    page.wait_for_timeout(400)
    expect_no_errors(page)


NASTY = [
    ("\u202eevil\u202c name", "evil name", "hello", "hello"),
    ("Zed", "Zed", "a" + "\n" * 12 + "b", "a\nb"),
    ("Zed", "Zed", "\n".join("123456789"), "1\n2\n3\n4\n5\n6 7 8 9"),
    ("Glitch" + "\u0301" * 50, "Glitch\u0301\u0301\u0301\u0301", "z" + "\u0336" * 99, "z" + "\u0336" * 4),
    ("\u200b\u2060", "Guest", "x\u2069\u2066y\u200fz", "xyz"),
    ("A\nB\tC", "A B C", "one\u2028two\u2029three\u0085four", "one\ntwo\nthree\nfour"),
    ("מישהו", "מישהו", "👩‍👩‍👧 میخواهم", "👩‍👩‍👧 میخواهم"),
    ("W" * 40, "W" * 40, "<b>&amp;</b>", "<b>&amp;</b>"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shown", "text", "said"), NASTY)
def test_names_and_texts_stay_in_their_place(
    context: BrowserContext,
    frontend: ScriptedFrontend,
    backend: Backend,
    name: str,
    shown: str,
    text: str,
    said: str,
) -> None:
    page = opened(context, frontend)
    tell(frontend.stream(1), comment(1, text, name), comment(2, "after", "Ben"))
    expect(page.locator("#comments li")).to_have_count(2)
    assert page.locator(".name bdi").first.text_content() == shown
    assert page.locator(".said").first.text_content() == said
    boxes = [page.locator("#comments li").nth(n).bounding_box() for n in (0, 1)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["height"] < 220
    assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"] - 1
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_a_comment_of_nothing_visible_is_not_shown(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    tell(frontend.stream(1), comment(1, "\u200b\u2060\n\n"), comment(2, "hello"))
    expect(page.locator(".said")).to_have_text(["hello"])


# Comments


def test_ones_own_is_not_known_by_the_name(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    name = page.locator("#me").input_value()
    tell(frontend.stream(1), comment(7, "not from here", name))
    expect(page.locator(".said")).to_have_text(["not from here"])
    backend.answer = (201, {"id": "e8"})
    page.fill("#text", "from here")
    page.keyboard.press("Enter")
    expect(page.locator("#comments li.own:not(.pending) .said")).to_have_text(["from here"])
    tell(frontend.stream(1), comment(8, "from here", name))
    tell(frontend.stream(1), comment(9, "the end", name))
    expect(page.locator(".said")).to_have_text(["not from here", "from here", "the end"])
    assert page.locator("#comments li.own").count() == 1
    backend.answer = (201, {"id": "e11"})
    page.fill("#text", "the same")
    page.keyboard.press("Enter")
    expect(page.locator("#comments li.own")).to_have_count(2)
    expect(page.locator("#comments li.pending")).to_have_count(0)
    tell(frontend.stream(1), comment(10, "the same", name), comment(11, "the same", name))
    expect(page.locator(".said")).to_have_count(5)
    expect(page.locator("#comments li.own .said")).to_have_text(["from here", "the same"])
    assert page.locator("#comments li").nth(4).get_attribute("class") == "own"


def test_a_comment_into_a_hanging_server_is_pending_then_kept_with_the_reason(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """And sent again with the same key; all in the order in which they were written."""
    page = opened(context, frontend, clock=True)
    backend.answer = None
    for text in ("first", "second"):
        page.fill("#text", text)
        page.keyboard.press("Enter")
    expect(page.locator("#comments li.pending .status")).to_have_text(["Sending…", "Sending…"])
    assert page.locator("#text").input_value() == ""
    wait_until(lambda: bool(backend.sent))

    def have_failed() -> bool:
        page.clock.run_for(1_000)
        return page.locator("#comments li.failed").count() == 2

    wait_until(have_failed)
    expect(page.locator(".said")).to_have_text(["first", "second"])
    expect(page.locator("#comments li.failed .status").first).to_contain_text("in time")

    def keys() -> list[str]:
        return [each["idempotency-key"] for _, path, each in frontend.asked if path.endswith("/comments")]

    before = keys()
    backend.answer = (201, {"id": "e5"})
    page.get_by_role("button", name="Try again").first.click()
    expect(page.locator("#comments li.failed")).to_have_count(1)  # at once; the request arrives later
    wait_until(lambda: len(keys()) > len(before))
    assert keys() == [*before, before[0]]
    page.get_by_role("button", name="Discard").click()
    expect(page.locator(".said")).to_have_text(["first"])


def test_comments_from_before_have_the_badges_of_their_users(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """The summary's are those of a page that was loaded again."""
    written = {"at": 1_763_862_000_000, "user": "Ada", "text": "old"}
    backend.comments = [written | {"id": "c2", "user": "Mo", "role": "moderator"}, written | {"id": "c1"}]
    page = opened(context, frontend)
    expect(page.locator("#comments li")).to_have_count(2)
    expect(page.locator("#comments li:nth-child(2) .role")).to_have_text("Moderator")
    expect(page.locator("#comments .role")).to_have_count(1)


def test_a_comment_without_an_answer_that_arrives_is_the_sent_one(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """It is shown once, and sent again with the same key and user: the answer says whether it was stored."""
    page = opened(context, frontend, clock=True)
    name = page.locator("#me").input_value()

    def fail(text: str) -> None:
        backend.answer = None
        page.fill("#text", text)
        page.keyboard.press("Enter")

        def has_failed() -> bool:
            page.clock.run_for(1_000)
            return page.locator("#comments li.failed").count() == 1

        wait_until(has_failed)
        expect(page.locator("#comments li.failed .status")).to_contain_text("Not confirmed.")
        page.fill("#me", "Another name")
        page.locator("#me").blur()

    def arrive(number: int, text: str, at: int = 0) -> None:
        sent = comment(number, text, name, at or int(time.time() * 1000) + 3_600_000)
        tell(frontend.stream(1), sent | {"role": "moderator"})

    def requests() -> list[tuple[str, str]]:
        keys = [each["idempotency-key"] for _, path, each in frontend.asked if path.endswith("/comments")]
        return list(zip(keys, [body["user"] for _, body in backend.sent], strict=True))

    fail("stored")
    arrive(5, "stored", at=1_763_862_000_005)  # long before
    expect(page.locator(".said")).to_have_text(["stored", "stored"])
    expect(page.locator("#comments li.failed")).to_have_count(1)
    before = requests()
    backend.answer = (201, {"id": "e6"})
    arrive(6, "stored")
    expect(page.locator("#comments li.own:not(.failed):not(.pending) .role")).to_have_text(["Moderator"])
    wait_until(lambda: len(requests()) > len(before))
    assert set(requests()) == {before[0]}  # one key, one user
    expect(page.locator(".said")).to_have_text(["stored", "stored"])
    assert page.locator("#comments .status").count() == 0

    page.fill("#me", name)
    page.locator("#me").blur()
    fail("of both")
    backend.answer = (201, {"id": "e9"})
    arrive(8, "of both")  # another's under the same name: the answer has another id
    expect(page.locator("#comments li.own .said")).to_have_text(["stored"])
    arrive(9, "of both")
    expect(page.locator("#comments li.own .said")).to_have_text(["stored", "of both"])
    assert page.locator(".said").all_text_contents() == ["stored", "stored", "of both", "of both"]
    expect_no_errors(page)


def test_a_comment_that_arrives_while_it_is_sent_does_not_fail(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend, clock=True)
    backend.answer = None
    page.fill("#text", "unanswered")
    page.keyboard.press("Enter")
    wait_until(lambda: bool(backend.sent))
    tell(frontend.stream(1), comment(5, "unanswered", page.locator("#me").input_value()))
    expect(page.locator("#comments li.own:not(.pending) .said")).to_have_text(["unanswered"])
    for _ in range(15):
        page.clock.run_for(1_000)
    expect(page.locator("#comments .status")).to_have_count(0)
    expect(page.locator("#comments li.failed")).to_have_count(0)


def test_refused_comments_keep_their_order(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    backend.answer = (403, {"detail": "Comments are closed.", "reason": "closed"})
    for text in ("one", "two", "three"):
        page.fill("#text", text)
        page.keyboard.press("Enter")
    expect(page.locator("#comments li.failed .said")).to_have_text(["one", "two", "three"])
    expect(page.locator(".status").first).to_contain_text("Comments are closed.")
    assert page.locator("#text").input_value() == ""


def test_lines_of_one_author_in_a_minute_stand_under_one_name(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    start = 1_763_862_000_000 // MINUTE * MINUTE
    received = [
        comment(1, "a", "Ada", start + 1), comment(2, "b", "Ada", start + 2),
        comment(3, "c", "Ben", start + 3),
        comment(4, "d", "Ben", start + MINUTE), comment(5, "e", "Ben", start + MINUTE + 1),
    ]  # fmt: skip
    tell(frontend.stream(1), *received)
    expect(page.locator(".said")).to_have_text(list("abcde"))
    grouped = "(li) => li.classList.contains('grouped')"
    assert page.evaluate(f"[...document.querySelectorAll('#comments li')].map({grouped})") == [
        False, True, False, False, True,
    ]  # fmt: skip
    times = page.evaluate(
        "[...document.querySelectorAll('#comments time')].map((time) => time.textContent !== '')"
    )
    assert times == [True, False, False, True, False]
    tell(frontend.stream(1), event(6, "retract", data={"id": "e4"}))
    expect(page.locator(".said")).to_have_text(list("abce"))
    assert page.locator("#comments li.grouped .said").all_text_contents() == ["b"]


def test_a_retracted_comment_does_not_come_back(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    tell(frontend.stream(1), event(1, "retract", data={"id": "e2"}), comment(2, "gone"), comment(3, "there"))
    expect(page.locator(".said")).to_have_text(["there"])


def test_writing_with_emoji_and_a_limit(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """With the keyboard alone."""
    page = opened(context, frontend)
    page.keyboard.press("c")
    page.keyboard.type("hi ")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#pick")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#emoji button").first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_have_value("hi 😂")
    page.locator("#pick").click()
    page.keyboard.press("Escape")
    expect(page.locator("#emoji")).to_be_hidden()
    page.fill("#text", "😂" * 441)
    expect(page.locator("#left")).to_have_text("59")
    page.fill("#text", "😂" * 499)
    expect(page.locator("#send")).to_be_enabled()
    page.fill("#text", "😂" * 500 + "!")
    expect(page.locator("#left")).to_have_text("-1")
    expect(page.locator("#send")).to_be_disabled()


def test_an_empty_page_says_what_to_do(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend, "/?video=v&title=A+%3Cb%3Eshow%3C%2Fb%3E")
    expect(page.locator("h1")).to_have_text("A <b>show</b>")
    link = page.get_by_role("link", name="Open a second window")
    assert link.get_attribute("href") == page.url
    tell(frontend.stream(1), comment(1, "hello"))
    expect(link).to_be_hidden()


# Failure


def test_silence_is_shown(context: BrowserContext, frontend: ScriptedFrontend, backend: Backend) -> None:
    page = opened(context, frontend, clock=True)
    page.clock.run_for(17_500)
    expect(page.locator("#live")).to_have_text("No signal")
    expect(page.locator("#live")).to_have_attribute("data-state", "stalled")


@pytest.mark.parametrize("size", [(1280, 720), (390, 844), (844, 390), (640, 360), (320, 568)])
def test_a_note_covers_nothing_that_one_uses(
    browser: Browser, frontend: ScriptedFrontend, backend: Backend, size: tuple[int, int]
) -> None:
    backend.answer = (404, {"detail": "there is nothing here"})
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
    ) as context:
        page = opened(context, frontend)
        page.locator("[data-reaction=heart]").click()
        expect(page.get_by_role("status")).to_contain_text("isn't possible at this address")
        for part in ["#form", "#line summary", *(f"#buttons button:nth-child({n})" for n in range(1, 6))]:
            assert not page.evaluate(
                """(part) => {
                    const box = (one) => document.querySelector(one).getBoundingClientRect();
                    const a = box("#note"), b = box(part);
                    return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
                }""",
                part,
            ), part


def test_the_count_is_right_behind_a_gap(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """All 40 that are replayed are in the backend's 45."""
    backend.likes = 5
    page = opened(context, frontend)
    expect(page.locator("#count")).to_have_attribute("data-exact", "5")
    page.evaluate(
        """() => {
            window.counts = [];
            const count = document.querySelector("#count");
            const note = () => counts.push(Number(count.dataset.exact));
            new MutationObserver(note).observe(count, { attributes: true });
        }"""
    )
    backend.likes = 45
    frontend.stream(1).close()
    again = frontend.stream(2)
    again.ready(60, gap=True)
    again.events(61, 100)
    expect(page.locator("#count")).to_have_attribute("data-exact", "45")
    again.events(101, 101)
    backend.likes = 46
    expect(page.locator("#count")).to_have_attribute("data-exact", "46")
    page.wait_for_timeout(1_200)
    again.close()
    third = frontend.stream(3)
    third.ready(110, gap=True)
    third.events(111, 112)
    page.wait_for_timeout(1_200)
    counts = page.evaluate("counts")
    assert counts == sorted(counts)
    assert counts[-1] == 46


# Identity


def test_a_token_in_the_address_is_taken_out_of_it_and_used(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    backend.me = (200, {"user": "ada", "scopes": ["comment", "like", "watch"], "signed_in": True})
    page = opened(context, frontend, "/?video=v#token=a.b.c")
    assert page.url == f"{frontend.url}/?video=v"
    assert frontend.stream(1).headers["authorization"] == "Bearer a.b.c"
    expect(page.locator("#me-name")).to_have_text("ada")
    expect(page.locator("#me")).to_be_hidden()
    page.fill("#text", "hello")
    page.keyboard.press("Enter")
    wait_until(lambda: bool(backend.sent))
    assert backend.sent == [("comments", {"text": "hello"})]  # the token says whose it is
    tell(frontend.stream(1), comment(1, "from my other window", "ada"))
    expect(page.locator("#comments li.own .said")).to_have_text(["from my other window", "hello"])
    expect(page.get_by_role("button", name="Remove")).to_have_count(2)


def test_controls_without_permission_are_hidden(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """The token is in a cookie, which only the server sees."""
    context.add_cookies([{"name": "liveserver_token", "value": "x", "url": frontend.url}])
    backend.me = (200, {"user": "ada", "scopes": ["watch"], "signed_in": True})
    page = opened(context, frontend)
    expect(page.locator("#me-name")).to_have_text("ada")
    expect(page.locator("#form")).to_be_hidden()
    expect(page.locator("#buttons")).to_be_hidden()
    expect(page.locator("#closed")).to_have_text("You can watch here, but not comment.")
    page.keyboard.press("l")
    page.locator("#stage").dblclick(position={"x": 300, "y": 300})
    page.wait_for_timeout(200)
    assert backend.sent == []


def test_a_sites_function_gives_the_token(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    context.add_init_script("window.liveserver = { token: async () => 'from.the.site' }")
    opened(context, frontend)
    assert frontend.stream(1).headers["authorization"] == "Bearer from.the.site"


def test_a_refused_viewer_sees_the_reason(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    backend.me = (401, {"detail": "this needs a token"})
    frontend.refusal = (401, {"detail": "this needs a token"})
    page = context.new_page()
    page.goto(f"{frontend.url}/?video=v")
    expect(page.get_by_role("status")).to_contain_text("for viewers who are signed in")
    expect(page.locator("#live")).to_have_text("Ended")
    expect(page.locator("#form")).to_be_hidden()


def test_moderators_settings_are_followed(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    closed = event(1, "settings", key="settings", version=1, data={"comments": "closed", "likes": "closed"})
    tell(frontend.stream(1), closed, event(2, "pin", key="pin", data={"text": "Welcome\u202e!"}))
    expect(page.locator("#closed")).to_have_text("Comments are closed.")
    expect(page.locator("#form")).to_be_hidden()
    expect(page.locator("#pin-text")).to_have_text("Welcome!")
    tell(
        frontend.stream(1),
        event(3, "settings", key="settings", version=2, data={"comments": "open", "likes": "open"}),
    )
    tell(frontend.stream(1), event(4, "pin", key="pin", data=None))
    expect(page.locator("#form")).to_be_visible()
    expect(page.locator("#pin")).to_be_hidden()


def test_a_viewer_count_of_zero_is_not_shown(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    page = opened(context, frontend)
    stream = frontend.stream(1)
    stream.send('event: viewers\ndata: {"video":"v","here":0,"datacenter":0,"total":0}\n\n')
    tell(stream, comment(1, "hello"))
    expect(page.locator(".said")).to_have_count(1)
    expect(page.locator("#viewers")).to_be_hidden()
    stream.send('event: viewers\ndata: {"video":"v","here":1,"datacenter":1,"total":1}\n\n')
    expect(page.locator("#viewer-count")).to_have_text("1")


# Access

SIZES = [
    (1280, 720),
    (390, 844),
    (844, 390),
    (640, 360),
    (667, 375),
    (320, 256),
    (390, 380),
    (320, 568),
    (1024, 500),
    (600, 1000),
]


@pytest.mark.parametrize("size", SIZES)
def test_everything_can_be_reached_at_every_size(
    browser: Browser, frontend: ScriptedFrontend, backend: Backend, size: tuple[int, int]
) -> None:
    """WCAG 1.4.4 and 1.4.10: 200 % and 400 % of zoom, landscape phones, a keyboard that is open."""
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
    ) as context:
        page = opened(context, frontend)
        tell(frontend.stream(1), *(comment(n, f"line {n} " * 6, f"user {n}") for n in range(1, 30)))
        expect(page.locator(".said")).to_have_count(29)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        for part in (
            "#text",
            "#send",
            "#pick",
            "[data-reaction=heart]",
            "[data-reaction=wow]",
            "#line summary",
        ):
            box = page.evaluate(
                """(part) => {
                    const element = document.querySelector(part);
                    element.focus(), element.scrollIntoView({ block: "nearest" });
                    const { left, right, top, bottom, width, height } = element.getBoundingClientRect();
                    const at = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
                    return { inside: left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight,
                             free: element.contains(at), size: Math.min(width, height) };
                }""",
                part,
            )
            assert box["inside"], (part, box)
            assert box["free"], (part, box)
            assert box["size"] >= 24, (part, box)
        assert page.evaluate("document.querySelector('#scroll').clientHeight") >= 40
        page.locator("#line summary").click()
        radio = page.get_by_role("radio", name="WebSocket")
        radio.scroll_into_view_if_needed()
        radio.check()


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced colours": {"forced_colors": "active"},
    "forced dark colours": {"forced_colors": "active", "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
    "landscape": {"viewport": {"width": 844, "height": 390}, "color_scheme": "dark"},
    "200 %": {"viewport": {"width": 640, "height": 360}},
}


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(browser: Browser, frontend: ScriptedFrontend, backend: Backend, look: str) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    with browser.new_context(reduced_motion="reduce", bypass_csp=True, **LOOKS[look]) as context:
        page = opened(context, frontend)
        numbers = iter(range(40, 100_000))

        def has_a_rate() -> bool:
            now = int(time.time() * 1000)  # likes of a while ago have none
            tell(frontend.stream(1), *(event(next(numbers)) | {"at": now} for _ in range(5)))
            return page.locator("#rate").is_visible()

        for state in ("empty", "used"):
            if state == "used":
                backend.answer = (403, {"detail": "Slow mode is on.", "reason": "slow"})
                tell(
                    frontend.stream(1),
                    comment(1, "hello"),
                    comment(2, "again"),
                    *(event(n) | {"at": int(time.time() * 1000)} for n in range(3, 40)),
                )
                page.fill("#text", "refused")
                page.keyboard.press("Enter")
                expect(page.locator(".failed")).to_have_count(1)
                page.locator("#line summary").click()
                page.fill("#text", "x" * 480)
                wait_until(has_a_rate)
            page.evaluate(axe)
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            nodes = [
                (one["id"], node["html"], node["failureSummary"])
                for one in found["violations"]
                for node in one["nodes"]
            ]
            assert nodes == []


# Cost

COUNT_FRAMES = """() => {
    window.frames_ = 0, window.copies = 0, window.draws = 0;
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (then) => ask((now) => (frames_++, then(now)));
    const draw = CanvasRenderingContext2D.prototype.drawImage;
    CanvasRenderingContext2D.prototype.drawImage = function (image, ...where) {
        if (this.canvas.id === "scene") image === this.canvas ? copies++ : draws++;
        return draw.call(this, image, ...where);
    };
}"""


def frames(page: Page) -> list[int]:
    page.evaluate("window.frames_ = window.copies = window.draws = 0")
    page.wait_for_timeout(2_000)
    counted: list[int] = page.evaluate("[frames_, copies, draws]")
    return counted


def test_the_scene_costs_a_copy_a_frame_and_few_frames(
    browser: Browser, frontend: ScriptedFrontend, backend: Backend
) -> None:
    with browser.new_context() as context:
        context.add_init_script(f"({COUNT_FRAMES})()")
        page = opened(context, frontend)
        page.wait_for_timeout(500)
        assert frames(page)[0] <= 2 * 8
        numbers = iter(range(1, 1_000))

        def drawn_while_liked() -> tuple[int, int]:
            """Return how often the scene was copied, which is once a frame, and what else was drawn."""
            tell(frontend.stream(1), *(event(next(numbers)) for _ in range(3)))
            _, copies, draws = frames(page)
            return copies, draws

        wait_until(lambda: drawn_while_liked()[0] > 0)
        copies, draws = drawn_while_liked()
        assert copies <= 2 * 31
        assert draws <= 4 * (copies + 1)
        page.locator("#stage").evaluate("(stage) => (stage.style.translate = '0 -5000px')")
        wait_until(lambda: drawn_while_liked()[0] == 0)
        assert drawn_while_liked()[0] == 0
        page.locator("#stage").evaluate("(stage) => (stage.style.translate = '')")
        wait_until(lambda: drawn_while_liked()[0] > 0)
        page.emulate_media(reduced_motion="reduce")
        wait_until(lambda: drawn_while_liked() == (0, 0))
        assert drawn_while_liked() == (0, 0)


def test_nothing_is_drawn_or_animated_with_reduced_motion(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    context.add_init_script(f"({COUNT_FRAMES})()")
    page = opened(context, frontend)
    page.wait_for_timeout(300)
    assert frames(page) == [0, 0, 0]
    assert page.evaluate("document.getAnimations().length") == 0


def test_with_reduced_motion_likes_are_drawn_a_few_times_a_second(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    """However many there are: reactions appear and fade, and the number changes."""
    context.add_init_script(
        """(() => {
            const dispatch = EventTarget.prototype.dispatchEvent;
            window.likes = 0;
            EventTarget.prototype.dispatchEvent = function (event) {
                if (event.type === "like") likes++;
                return dispatch.call(this, event);
            };
        })()"""
    )
    page = opened(context, frontend, clock=True)
    page.evaluate(COUNT_FRAMES)

    def arrived(number: int) -> None:
        wait_until(lambda: bool(page.evaluate("likes") == number))

    for first in range(1, 80, 8):
        backend.likes = first + 7
        tell(frontend.stream(1), *(event(number) for number in range(first, first + 8)))
        arrived(first + 7)
        page.clock.run_for(200)
    page.clock.run_for(1_000)
    expect(page.locator("#count")).to_have_attribute("data-exact", "80")
    assert 6 <= page.evaluate("frames_") <= 3 * (4 + 4) + 2


def test_seconds_are_not_counted_while_nothing_is_seen(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    context.add_init_script(
        """(() => {
            const [begin, end] = [setInterval, clearInterval];
            const running = new Map();
            window.setInterval = (act, every) => {
                const timer = begin(act, every);
                running.set(timer, every);
                return timer;
            };
            window.clearInterval = (timer) => (running.delete(timer), end(timer));
            window.timers = (isHidden) => {
                Object.defineProperty(document, "hidden", { configurable: true, value: isHidden });
                document.dispatchEvent(new Event("visibilitychange"));
                return [...running.values()].filter((every) => every <= 1_000).length;
            };
        })()"""
    )
    page = opened(context, frontend)
    assert page.evaluate("timers(true)") == 0
    assert page.evaluate("timers(false)") == 1
    assert page.evaluate("timers(false)") == 1


def test_while_hidden_nothing_is_written_and_all_is_shown_on_return(
    context: BrowserContext, frontend: ScriptedFrontend, backend: Backend
) -> None:
    context.add_init_script(
        """(() => {
            const dispatch = EventTarget.prototype.dispatchEvent;
            window.received = window.changes = window.timers = 0;
            EventTarget.prototype.dispatchEvent = function (event) {
                if (event.type === "*" || event.type === "viewers") received++;
                return dispatch.call(this, event);
            };
            window.hide = (isHidden) => {
                Object.defineProperty(document, "hidden", { configurable: true, value: isHidden });
                document.dispatchEvent(new Event("visibilitychange"));
            };
            const observer = new MutationObserver((records) => (changes += records.length));
            const all = { subtree: true, childList: true, attributes: true, characterData: true };
            observer.observe(document, all);
            const later = setTimeout;
            window.setTimeout = (act, wait) => (timers++, later(act, wait));
        })()"""
    )
    page = opened(context, frontend)
    tell(frontend.stream(1), comment(1, "first"))
    expect(page.locator(".said")).to_have_text(["first"])
    page.evaluate("(hide(true), new Promise((done) => setTimeout(done, 50)))")
    before = page.evaluate("[received, changes, timers]")
    backend.likes = 30
    total = {"heart": 30}
    settings = {"comments": "closed", "slow": 30, "likes": "open", "review": False}
    tell(
        frontend.stream(1),
        comment(2, "second"),
        comment(3, "third"),
        event(4, "retract", data={"id": "e1"}),
        *(event(number, data={"reaction": "heart"}) for number in range(5, 15)),
        event(
            15, "likes", key="likes/a", version=30, at=2**45, data={"added": {"heart": 20}, "total": total}
        ),
        event(16, "announcement", data={"text": "a word"}),
        event(17, "settings", key="settings", data=settings),
        comment(18, "fourth"),
        event(19, "retract", data={"id": "e3"}),
    )
    frontend.stream(1).send('event: viewers\ndata: {"video":"v","total":7}\n\n')
    wait_until(lambda: bool(page.evaluate("received") == before[0] + 19))
    assert page.evaluate("changes") == before[1]
    assert page.evaluate("timers") - before[2] <= 4  # the connection's own, one for each write
    page.evaluate("hide(false)")
    expect(page.locator(".said")).to_have_text(["second", "fourth"])
    expect(page.locator("#count")).to_have_attribute("data-exact", "30")
    expect(page.locator("#viewer-count")).to_have_text("7")
    expect(page.locator("#closed")).to_have_text("Comments are closed.")
    expect(page.locator("#note")).to_have_text("a word")
    page.evaluate("hide(true)")
    tell(frontend.stream(1), *(comment(number, f"{number}") for number in range(20, 1_020)))
    wait_until(lambda: bool(page.evaluate("received") == before[0] + 1_019))
    page.evaluate("hide(false)")
    expect(page.locator(".said")).to_have_count(200)
    expect(page.locator(".said").last).to_have_text("1019")
    expect_no_errors(page)


def test_no_animation_is_endless_and_nothing_blurs_what_moves(
    browser: Browser, frontend: ScriptedFrontend, backend: Backend
) -> None:
    with browser.new_context() as context:
        page = opened(context, frontend)
        page.locator("#line summary").click()
        assert page.evaluate(
            """() => [...document.querySelectorAll("*")].every((element) => {
                const { backdropFilter } = getComputedStyle(element);
                return !backdropFilter || backdropFilter === "none";
            })"""
        )
        running = "document.getAnimations().filter((one) => one.playState === 'running').length"
        wait_until(lambda: bool(page.evaluate(running) == 0))
