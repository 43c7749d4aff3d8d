"""The browser client against scripted frontends: namespaces, line ends, closing, sharing, losing a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.web.browsers import stop_clock, wait_until
from tests.web.scripted import ScriptedFrontend, cursor, event, frame

pytestmark = pytest.mark.browser

# `live` watches; `seen` are the ids as "*" fired them, `fired` everything else that was fired, in order.
WATCH = """async ({ urls, options }) => {
    const { LiveVideo } = await import("/liveserver.js");
    window.LiveVideo = LiveVideo;
    const foreign = ["error", "open", "message", "close"];
    window.seen = [], window.fired = [], window.names = [];
    window.watch = (urls, options) => {
        const live = new LiveVideo(urls, "v", options);
        live.addEventListener("*", ({ detail }) => seen.push(detail.id));
        live.addEventListener("connection", ({ detail }) => names.push([detail.name, performance.now()]));
        for (const word of ["ready", "gap", "bye", "viewers", "state", "refused", "like", ...foreign])
            live.addEventListener(word, ({ detail }) => fired.push([word, detail]));
        return live;
    };
    if (urls) window.live = watch(urls, options);
}"""
WORDS = [
    "ready",
    "gap",
    "bye",
    "viewers",
    "state",
    "refused",
    "error",
    "open",
    "message",
    "close",
    "connection",
    "events",
    "*",
]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


@pytest.fixture
def frontend() -> Iterator[ScriptedFrontend]:
    with ScriptedFrontend() as frontend:
        yield frontend


@pytest.fixture
def other() -> Iterator[ScriptedFrontend]:
    with ScriptedFrontend() as frontend:
        yield frontend


def opened(
    context: BrowserContext, at: ScriptedFrontend, *urls: str, clock: bool = False, **options: Any
) -> Page:
    page = context.new_page()
    if clock:
        stop_clock(page)
    page.goto(f"{at.url}/page/icon.svg")
    page.evaluate(WATCH, {"urls": list(urls) or None, "options": options})
    return page


def ids(first: int, last: int) -> list[str]:
    return [f"e{number}" for number in range(first, last + 1)]


def expect_seen(page: Page, first: int, last: int) -> None:
    wait_until(lambda: page.evaluate("seen.length") >= last - first + 1)
    assert page.evaluate("seen") == ids(first, last)


# Line ends

ODD = "one\u2028two\u2029three\u0085four\u000bfive\u000csix\u001cseven\ufeff"


def test_only_line_feeds_and_carriage_returns_end_a_line(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    stream.send(frame(event(1, "comment", data={"text": ODD}), 1))
    stream.events(2, 2)
    page.evaluate("live.addEventListener('comment', ({ detail }) => (window.text = detail.data.text))")
    expect_seen(page, 1, 2)
    assert len(frontend.streams) == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_is_the_same_however_it_is_cut(
    context: BrowserContext, frontend: ScriptedFrontend, end: str
) -> None:
    lines = [":hello", "retry: 2500", "id: c1", "event: like", 'data: {"text":', f'data:"{ODD}"}}', "", ":"]
    lines += ["id", "event: x", "data", "", "event: without data", "", "unknown: 1", "data: last", ""]
    lines += ["data: not finished"]
    page = opened(context, frontend)
    found = page.evaluate(
        """async (text) => {
            const { EventStreamParser } = await import("/liveserver/event_stream.js");
            const found = new Set();
            for (let first = 0; first <= text.length; first++)
                for (const second of [first, first + 1, first + 7]) {
                    const parser = new EventStreamParser(), messages = [];
                    let last;
                    for (const cut of [[0, first], [first, second], [second]]) {
                        const { messages: more, retry } = parser.feed(text.slice(...cut));
                        messages.push(...more), (last = retry ?? last);
                    }
                    found.add(JSON.stringify([messages, last]));
                }
            return [...found].map((each) => JSON.parse(each));
        }""",
        end.join(lines),
    )
    assert found == [[
        [
            {"event": "like", "data": f'{{"text":\n"{ODD}"}}', "id": "c1"},
            {"event": "x", "data": "", "id": ""},
            {"event": "message", "data": "last", "id": None},
        ],
        2500,
    ]]  # fmt: skip


# Namespaces


def test_published_events_are_never_taken_for_control_messages(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    """Whatever their type: they are fired as "*" alone where the client has a word of that name."""
    page = opened(context, frontend, frontend.url, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    data = {
        "reason": "drain",
        "reconnect": False,
        "status": 403,
        "detail": "no",
        "total": 1,
        "cursor": "x",
        "events": [],
    }
    for number, word in enumerate(WORDS, 1):
        stream.send(frame(event(number, word, data=data), number))
    stream.events(len(WORDS) + 1, len(WORDS) + 1)
    expect_seen(page, 1, len(WORDS) + 1)
    assert [word for word, _ in page.evaluate("fired")] == ["ready", "like"]
    assert page.evaluate("live.connection.name") == "live"
    assert page.evaluate("live.cursor") == cursor(len(WORDS) + 1)


def test_events_of_any_type_arrive_by_polls_too(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    events = [event(number, word, data={"reconnect": False}) for number, word in enumerate(WORDS, 1)]
    pages = iter(
        [
            {"cursor": cursor(0), "gap": False, "events": []},
            {"cursor": cursor(99), "gap": False, "events": events},
        ]
    )
    frontend.poll = lambda query: next(pages, {"cursor": cursor(99), "gap": False, "events": []})
    page = opened(context, frontend, frontend.url, share=False, transport="poll")
    expect_seen(page, 1, len(WORDS))
    assert [word for word, _ in page.evaluate("fired")] == ["ready"]
    page.evaluate("live.close()")


def test_unknown_control_messages_are_ignored(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    for word in ("later", "refused", "error", "message", "close"):
        stream.send(f'event: {word}\ndata: {{"status":403}}\n\n')
    stream.send("data: null\n\n")
    stream.events(1, 1)
    expect_seen(page, 1, 1)
    assert [word for word, _ in page.evaluate("fired")] == ["ready", "like"]


# Beginning and ending


def test_closed_in_the_task_of_its_making_it_never_begins(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    """As React's StrictMode does: the second one is the only one."""
    page = opened(context, frontend)
    page.evaluate("url => { watch(url, {}).close(); window.live = watch(url, {}) }", frontend.url)
    stream = frontend.stream(1)
    stream.ready(0)
    stream.events(1, 3)
    expect_seen(page, 1, 3)
    page.wait_for_timeout(300)
    assert frontend.count("/events") == 1


@pytest.mark.parametrize("share", [True, False])
def test_a_transport_set_in_the_task_of_its_making_is_the_only_one(
    context: BrowserContext, frontend: ScriptedFrontend, share: bool
) -> None:
    page = opened(context, frontend)
    page.evaluate(
        """([url, share]) => {
            window.live = watch(url, { share });
            live.setTransport("poll");
            live.setTransport("sse");
        }""",
        [frontend.url, share],
    )
    frontend.stream(1).ready(0)
    frontend.stream(1).events(1, 2)
    expect_seen(page, 1, 2)
    page.wait_for_timeout(300)
    assert frontend.count("/v1/") == 1


def test_nothing_is_fired_after_close_in_a_listener(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    page.evaluate("live.addEventListener('*', ({ detail }) => detail.id === 'e2' && live.close())")
    stream = frontend.stream(1)
    stream.ready(0)
    stream.events(1, 5)
    wait_until(lambda: page.evaluate("live.connection.name") == "closed")
    page.evaluate("live.setTransport('poll')")
    page.evaluate("window.dispatchEvent(new Event('pageshow'))")
    page.wait_for_timeout(300)
    assert page.evaluate("seen") == ids(1, 2)
    assert page.evaluate("live.cursor") == cursor(2)
    assert frontend.count("/v1/") == 1
    wait_until(lambda: frontend.open_streams() == 0)


def test_a_transport_set_in_a_listener_resumes_behind_the_received_events(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    page.evaluate(
        "live.addEventListener('*', ({ detail }) => detail.id === 'e2' && live.setTransport('sse'))"
    )
    stream = frontend.stream(1)
    stream.ready(0)
    stream.events(1, 5)
    again = frontend.stream(2)
    assert again.query == {"cursor": cursor(5)}
    again.ready(5, resumed=True)
    again.events(6, 7)
    expect_seen(page, 1, 7)


@pytest.mark.parametrize("share", [True, False])
def test_a_closed_client_releases_its_connection(
    context: BrowserContext, frontend: ScriptedFrontend, share: bool
) -> None:
    """Also from the listeners on the window, the timers and the channels of a page that lives on."""
    page = opened(context, frontend)
    make = """([url, share]) => {
        const live = watch(url, { share });
        window.refs = [...(window.refs ?? []), new WeakRef(live)];
        window.end = () => live.close();
    }"""
    for number in range(1, 4):
        page.evaluate(make, [frontend.url, share])
        frontend.stream(number).ready(0)
        page.wait_for_function(f"fired.length === {number}")
        page.evaluate("end(), (window.end = null)")
    devtools = context.new_cdp_session(page)

    def are_gone() -> bool:
        devtools.send("HeapProfiler.collectGarbage")
        return bool(page.evaluate("refs.every((ref) => !ref.deref())"))

    wait_until(are_gone)
    wait_until(lambda: frontend.open_streams() == 0)


# Where and how requests go


def test_the_path_of_an_address_is_kept(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    page = opened(context, frontend, f"{frontend.url}/live/edge?x=1#y", share=False)
    frontend.stream(1).ready(0)
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    paths = [path for _, path, _ in frontend.asked if "/v1/" in path]
    assert paths == ["/live/edge/v1/videos/v/events"]
    frontend.likes = lambda path, body: (201, {"id": path, "total": 1})
    assert page.evaluate("live.like()")["id"] == "/live/edge/v1/videos/v/likes"


@pytest.mark.parametrize("credentials", ["include", None])
def test_credentials_go_to_other_origins_when_asked_for(
    context: BrowserContext, frontend: ScriptedFrontend, other: ScriptedFrontend, credentials: str | None
) -> None:
    context.add_cookies([{"name": "who", "value": "me", "url": other.url}])
    options: dict[str, Any] = {"credentials": credentials} if credentials else {}
    page = opened(context, frontend, other.url, share=False, **options)
    stream = other.stream(1)
    stream.ready(0)
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    assert stream.headers.get("cookie") == ("who=me" if credentials else None)
    other.likes = lambda path, body: (201, {"id": "1", "total": 1})
    page.evaluate("live.like()")
    sent = next(headers for method, _, headers in other.asked if method == "POST")
    assert sent.get("cookie") == ("who=me" if credentials else None)


def test_offline_is_noticed_and_online_too(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    frontend.stream(1).ready(0)
    frontend.stream(1).events(1, 2)
    expect_seen(page, 1, 2)
    context.set_offline(True)
    wait_until(lambda: page.evaluate("live.connection.name") in ("waiting", "connecting"))
    context.set_offline(False)
    again = frontend.stream(2)
    assert again.query == {"cursor": cursor(2)}
    again.ready(2, resumed=True)
    again.events(3, 3)
    expect_seen(page, 1, 3)


# Losing a server


def test_a_lost_frontend_is_followed_by_the_other_at_once(
    context: BrowserContext, frontend: ScriptedFrontend, other: ScriptedFrontend
) -> None:
    """`retry` said 4 s. Where the other one fails as well, that is waited for."""
    page = opened(context, frontend, frontend.url, other.url, share=False)
    first = frontend.stream(1)
    first.ready(0)
    first.events(1, 2)
    expect_seen(page, 1, 2)
    page.evaluate("window.lostAt = performance.now(), names.length = 0")
    first.close()
    second = other.stream(1)
    assert second.query == {"cursor": cursor(2)}
    second.ready(2, resumed=True)
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    assert page.evaluate("names.find(([name]) => name === 'connecting')[1] - lostAt") < 4_000
    assert "waiting" not in [name for name, _ in page.evaluate("names")]
    page.evaluate("Math.random = () => 0.5")  # a wait of less than 250 ms is not shown
    second.close()
    third = frontend.stream(2)
    third.close()
    wait_until(lambda: "waiting" in [name for name, _ in page.evaluate("names")])


def test_a_server_that_hangs_is_not_shown_as_live(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    """Two seconds behind a heartbeat that did not come; five, and it is given up."""
    page = opened(context, frontend, frontend.url, clock=True, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    page.clock.run_for(16_000)
    assert page.evaluate("live.connection.name") == "live"
    page.clock.run_for(1_500)
    assert page.evaluate("live.connection.name") == "stalled"
    stream.send(":\n")
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    page.clock.run_for(21_000)
    wait_until(lambda: page.evaluate("live.connection.name") == "waiting")
    page.clock.run_for(4_100)  # `retry`
    again = frontend.stream(2)
    again.ready(0, resumed=True, heartbeat=60_000)
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    page.clock.run_for(40_000)
    assert page.evaluate("live.connection.name") == "live"
    page.clock.run_for(23_000)
    assert page.evaluate("live.connection.name") == "stalled"


def test_the_latency_is_by_the_servers_clock(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    page.evaluate("window.hour = 3_600_000")
    frontend.stream(1).ready(0, at=page.evaluate("Date.now() + hour"))
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    assert abs(page.evaluate("live.now() - Date.now() - hour")) < 1_000


def test_a_server_that_asks_for_no_pause_is_given_one(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    page = opened(context, frontend, frontend.url, clock=True, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    stream.send("retry: 0\n\n" + frame(event(1), 1))
    expect_seen(page, 1, 1)
    stream.close()
    paused = 0

    def is_back() -> bool:
        nonlocal paused
        page.clock.run_for(10)
        paused += 10
        return frontend.count("/events") == 2

    wait_until(is_back)
    assert paused >= 100


def test_a_servers_numbers_are_bounded(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    """A timer of more than 2^31 ms would be none."""
    page = opened(context, frontend, frontend.url, clock=True, share=False)
    stream = frontend.stream(1)
    stream.ready(0, heartbeat=10**13)
    wait_until(lambda: page.evaluate("live.connection.name") == "live")
    page.clock.run_for(60_000)
    assert page.evaluate("live.connection.name") == "live"
    frontend.refusal = (503, {"detail": "not now"})
    frontend.retry_after = "99999999999"
    stream.close()
    wait_until(lambda: page.evaluate("live.connection.name") == "waiting")
    page.clock.run_for(4_100)  # `retry`
    wait_until(lambda: page.evaluate("live.connection.wait > 500_000"))
    page.clock.run_for(60_000)
    assert frontend.count("/events") == 2


# State


def test_the_newest_event_of_each_key_is_held(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    received = [
        event(
            1, "likes", key="likes/a", version=5, data={"added": {}, "total": {"heart": 3, "__proto__": 2}}
        ),
        event(2, "pin", key="pin", data={"text": "hello"}),
    ]
    state = {"events": received}
    stream.send(f"event: state\ndata: {json.dumps(state)}\n\n")
    for number, more in enumerate([
        {"kind": "likes", "key": "likes/a", "version": 4, "data": {"total": {"heart": 1}}},
        {"kind": "likes", "key": "likes/b", "version": 9, "data": {"total": {"heart": 9}}},
        {"kind": "pin", "key": "pin", "data": None},
        {"kind": "like"},
    ], 10):  # fmt: skip
        stream.send(frame(event(number, **more), number))  # type: ignore[arg-type]
    expect_seen(page, 10, 13)
    assert page.evaluate("[...live.state.keys()]") == ["likes/a", "likes/b"]
    assert page.evaluate("live.state.get('likes/a').version") == 5
    assert page.evaluate("live.total.likes") == 14
    assert page.evaluate("[...live.total.reactions]") == [["heart", 12], ["__proto__", 2]]
    changes = [
        [one["id"] for one in detail["events"]] for word, detail in page.evaluate("fired") if word == "state"
    ]
    assert changes == [["e1", "e2"], ["e11"], ["e12"]]


def test_settings_and_the_pin_are_read_from_the_state(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    expected = {"comments": "open", "slow": 30, "likes": "open", "review": False}
    assert page.evaluate("[live.settings, live.pinned]") == [expected, None]
    slow = {"comments": "slow", "slow": 5, "likes": "closed", "review": True}
    received = [event(1, "settings", key="settings", data=slow)]
    stream.send(f"event: state\ndata: {json.dumps({'events': received})}\n\n")
    pinned = {"text": "hello", "comment": "c1", "user": "ada"}
    stream.send(frame(event(2, "pin", key="pin", data=pinned), 2))
    expect_seen(page, 2, 2)
    assert page.evaluate("[live.settings, live.pinned]") == [slow, pinned]
    for number, key in ((3, "settings"), (4, "pin")):
        stream.send(frame(event(number, key, key=key, data=None), number))
    expect_seen(page, 2, 4)
    assert page.evaluate("[live.settings, live.pinned]") == [expected, None]


@pytest.mark.parametrize("begins", ["gap", "ready"])
def test_a_state_that_is_not_sent_behind_a_gap_is_empty(
    context: BrowserContext, frontend: ScriptedFrontend, begins: str
) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    stream = frontend.stream(1)
    stream.ready(0)
    stream.send(frame(event(1, "pin", key="pin", data={"text": "hello"}), 1))
    expect_seen(page, 1, 1)
    if begins == "gap":
        lost = {"video": "v", "cursor": cursor(5)}
        stream.send(f"id: {cursor(5)}\nevent: gap\ndata: {json.dumps(lost)}\n\n")
    else:
        page.evaluate("live.setTransport('sse')")
        stream = frontend.stream(2)
        stream.ready(5, gap=True)
    assert page.evaluate("live.pinned.text") == "hello", "it may follow"
    stream.send(frame(event(6), 6))
    wait_until(lambda: page.evaluate("seen.at(-1)") == "e6")
    assert page.evaluate("live.pinned") is None
    cleared = "fired.filter(([word]) => word === 'state').at(-1)[1].events"
    assert [(one["key"], one["data"]) for one in page.evaluate(cleared)] == [("pin", None)]


# Tabs


def leader_and_follower(
    context: BrowserContext, frontend: ScriptedFrontend, **options: Any
) -> tuple[Page, Page]:
    leader = opened(context, frontend, frontend.url, **options)
    frontend.stream(1).ready(0)
    wait_until(lambda: leader.evaluate("live.connection.name") == "live")
    follower = opened(context, frontend, frontend.url, **options)
    wait_until(lambda: follower.evaluate("live.connection.name") == "live")
    return leader, follower


def test_events_the_leader_has_dropped_come_from_the_server(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    """Not shown as a gap; then the tab follows again, and its connection ends."""
    leader, follower = leader_and_follower(context, frontend)
    stream = frontend.stream(1)
    stream.events(1, 5)
    expect_seen(follower, 1, 5)
    follower.evaluate("window.dispatchEvent(new Event('pagehide'))")
    for first in range(6, 3_000, 500):
        stream.events(first, first + 499)
    wait_until(lambda: leader.evaluate("seen.length") == 3_005)
    follower.evaluate("window.dispatchEvent(new Event('pageshow'))")
    detour = frontend.stream(2)
    assert detour.query == {"cursor": cursor(5)}
    detour.ready(5, resumed=True)
    stream.events(3_006, 3_008)
    detour.events(6, 3_006)
    expect_seen(follower, 1, 3_008)
    wait_until(lambda: frontend.open_streams() == 1)
    stream.events(3_009, 3_010)
    expect_seen(follower, 1, 3_010)
    assert not [word for word, _ in follower.evaluate("fired") if word == "gap"]
    assert follower.evaluate("live.connection.shared") is True


def test_a_tab_with_a_replay_gets_it_from_the_tab_that_has_it(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    leader, _ = leader_and_follower(context, frontend)
    stream = frontend.stream(1)
    stream.events(101, 103)
    expect_seen(leader, 101, 103)
    short = opened(context, frontend, frontend.url, replay=2)
    expect_seen(short, 102, 103)
    long = opened(context, frontend, frontend.url, replay=10)
    detour = frontend.stream(2)
    assert detour.query == {"replay": "10"}
    detour.ready(93)
    detour.events(94, 103)
    expect_seen(long, 94, 103)
    wait_until(lambda: frontend.open_streams() == 1)
    stream.events(104, 104)
    expect_seen(long, 94, 104)
    expect_seen(short, 102, 104)


# A tab that has the lock, and posts what the test says.
FAKE_LEADER = """async (name) => {
    await new Promise((got) => navigator.locks.request(name, () => (got(), new Promise(() => {}))));
    window.channel = new BroadcastChannel(name), window.questions = [];
    channel.onmessage = ({ data }) => questions.push(data);
    window.connection = { name: "live", transport: "sse", url: "x", node: "n", shared: false };
    const at = (n) => "dc1-aaaaa-" + n;
    const data = (n) => ({ id: "e" + n, type: "like", at: n });
    const item = (n) => ({ kind: "event", type: "like", cursor: at(n), data: data(n) });
    const items = (first, last) => Array.from({ length: last - first + 1 }, (_, n) => item(first + n));
    window.post =
        (number, first, last, before = first - 1, reign = "r") =>
        channel.postMessage({
            reign, number, items: items(first, last), before: at(before), cursor: at(last), replay: 0 });
    const greeting = { node: "n", cursor: null, state: [], viewers: null, clock: { offset: 0, error: 1 } };
    window.answer = (question, number, first, last, asked = question.cursor) => channel.postMessage({
        to: question.from, asked, reign: "r", number, cursor: at(last), items: items(first, last), connection,
        greeting: question.cursor ? null : greeting });
}"""


def test_a_late_answer_does_not_take_a_tab_back(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    """Nor does a post that comes again, or from a leader that is behind; each event comes once."""
    leader = opened(context, frontend)
    leader.evaluate(FAKE_LEADER, f"liveserver v,{frontend.url}/,,,")
    page = opened(context, frontend, frontend.url)
    wait_until(lambda: leader.evaluate("questions.length") == 1)
    leader.evaluate("answer(questions[0], 2, 1, 2)")
    expect_seen(page, 1, 2)
    leader.evaluate("post(4, 3, 4), post(4, 3, 4), post(3, 3, 3)")
    leader.evaluate("answer(questions[0], 3, 1, 3), answer(questions[0], 3, 3, 3, 'dc1-aaaaa-2')")
    leader.evaluate("post(5, 5, 5), post(6, 4, 6, 3)")
    expect_seen(page, 1, 6)
    leader.evaluate("post(9, 9, 9)")  # 7 and 8 were missed
    wait_until(lambda: leader.evaluate("questions.length") == 2)
    assert leader.evaluate("questions[1].cursor") == cursor(6)
    leader.evaluate("answer(questions[1], 9, 7, 9)")
    expect_seen(page, 1, 9)
    leader.evaluate("post(1, 8, 8, 7, 'next'), post(3, 9, 10, 8, 'next'), post(4, 11, 11, 10, 'next')")
    expect_seen(page, 1, 11)
    assert page.evaluate("live.cursor") == cursor(11)
    assert frontend.count("/events") == 0


def opened_behind_fake_leader(context: BrowserContext, frontend: ScriptedFrontend) -> tuple[Page, Page]:
    """Return a tab that plays the leader by the test's words, and one that has asked it."""
    leader = opened(context, frontend)
    leader.evaluate(FAKE_LEADER, f"liveserver v,{frontend.url}/,,,")
    page = opened(context, frontend, clock=True)
    page.evaluate("url => { window.live = watch(url, {}) }", frontend.url)
    wait_until(lambda: leader.evaluate("questions.length") == 1)
    return leader, page


def test_a_tab_whose_leader_is_mute_says_so_until_it_hears_it_again(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    leader, page = opened_behind_fake_leader(context, frontend)
    leader.evaluate("answer(questions[0], 2, 1, 2)")
    expect_seen(page, 1, 2)
    assert page.evaluate("live.connection.name") == "live"
    page.clock.run_for(21_000)
    assert page.evaluate("live.connection.name") == "stalled"
    leader.evaluate("post(2, 3, 2, 2)")  # a heartbeat
    wait_until(lambda: page.evaluate("live.connection.name") == "live")


def test_a_frozen_tab_does_not_go_on_leading(context: BrowserContext, frontend: ScriptedFrontend) -> None:
    """It gets messages still, but its timers and its stream stand still; it goes on when it thaws."""
    leader = opened(context, frontend, frontend.url, clock=True)
    frontend.stream(1).ready(0)
    frontend.stream(1).events(1, 2)
    expect_seen(leader, 1, 2)
    follower = opened(context, frontend, frontend.url, clock=True)
    wait_until(lambda: follower.evaluate("live.connection.name") == "live")
    leader.clock.set_system_time(leader.evaluate("Date.now()") + 30_000)  # without its timers

    def is_leading() -> bool:
        leader.evaluate("0")  # an answer would have been sent by then
        follower.clock.run_for(1_000)
        alone = "live.connection.name === 'connecting' && !live.connection.shared"
        return bool(follower.evaluate(alone))

    wait_until(is_leading)
    again = frontend.stream(2)
    assert again.query == {"cursor": cursor(2)}
    again.ready(2, resumed=True)
    again.events(3, 4)
    wait_until(lambda: follower.evaluate("seen.at(-1)") == "e4")
    expect_seen(leader, 1, 4)
    wait_until(lambda: frontend.open_streams() == 1)
    assert leader.evaluate("live.connection.shared") is True


def test_a_tab_knows_the_heartbeat_of_the_one_that_leads(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    """A slower one than usual is not taken for silence."""
    leader, page = opened_behind_fake_leader(context, frontend)
    leader.evaluate("answer(questions[0], 2, 1, 2), channel.postMessage({ connection, quiet: 60_000 })")
    expect_seen(page, 1, 2)
    page.clock.run_for(55_000)
    assert page.evaluate("live.connection.name") == "live"
    assert leader.evaluate("questions.length") == 1
    page.clock.run_for(8_000)
    assert page.evaluate("live.connection.name") == "stalled"


def test_a_page_that_comes_back_while_hidden_goes_on(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    page = opened(context, frontend, frontend.url, share=False)
    frontend.stream(1).ready(0)
    frontend.stream(1).events(1, 2)
    expect_seen(page, 1, 2)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: frontend.open_streams() == 0)
    assert len(frontend.streams) == 1
    page.evaluate("dispatchEvent(new Event('pageshow'))")
    frontend.stream(2).ready(2, resumed=True)
    frontend.stream(2).events(3, 3)
    expect_seen(page, 1, 3)


def test_the_end_of_one_tab_is_not_shown_to_the_others(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    """It may be this viewer's alone; each of the others asks for itself."""
    leader, follower = leader_and_follower(context, frontend)
    frontend.stream(1).send('event: bye\ndata: {"reason":"removed","reconnect":false}\n\n')
    wait_until(lambda: leader.evaluate("live.connection.name") == "closed")
    again = frontend.stream(2)
    again.ready(0)
    again.events(1, 1)
    expect_seen(follower, 1, 1)
    assert leader.evaluate("seen") == []


def test_a_filter_is_asked_for_and_the_cursor_moves_alone(
    context: BrowserContext, frontend: ScriptedFrontend
) -> None:
    page = opened(context, frontend, frontend.url, share=False, types=["like", "likes"], rate=5)
    page.evaluate("window.left = 0")
    page.evaluate("live.addEventListener('omitted', ({ detail }) => void (left += detail.omitted))")
    stream = frontend.stream(1)
    assert stream.query == {"types": "like,likes", "rate": "5"}
    stream.ready(0)
    stream.events(1, 2)
    stream.send(f"id: {cursor(7)}\n\n")
    wait_until(lambda: page.evaluate("live.cursor") == cursor(7))
    expect_seen(page, 1, 2)
    omitted = f'{{"video":"v","cursor":"{cursor(8)}","omitted":37}}'
    stream.send(f"id: {cursor(8)}\nevent: omitted\ndata: {omitted}\n\n")
    wait_until(lambda: page.evaluate("[left, live.cursor]") == [37, cursor(8)])
    page.evaluate("live.setTransport('sse')")
    again = frontend.stream(2)
    assert again.query == {"cursor": cursor(8), "types": "like,likes", "rate": "5"}
