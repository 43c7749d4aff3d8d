"""Watching over a connection, as API.md says it."""

from __future__ import annotations

import time

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.frontend.harness import Client, settings, stage


async def refused(client: Client, path: str, *headers: str) -> tuple[str, str]:
    """The status line and the problem's detail."""
    await client.get(path, *headers)
    while b"\r\n\r\n" not in client.raw:
        assert await client.more()
    status = client.raw.split(b"\r\n")[0].decode()
    return status, (await client.json())["detail"]


async def test_an_event_stream_begins_with_its_head_and_ready(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = on.connect()
        await client.get("/v1/videos/v/events")
        head = await client.head()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        for line in (
            "content-type: text/event-stream",
            "cache-control: no-store, no-transform",
            "x-accel-buffering: no",
            "transfer-encoding: chunked",
        ):
            assert line in head.split("\r\n")
        chunk = (await client.chunk()).decode()
        retry, id_line, event, data, *rest = chunk.split("\n")
        assert 1000 <= int(retry.removeprefix("retry: ")) <= 4000
        cursor = id_line.removeprefix("id: ")
        assert event == "event: ready"
        ready = msgspec.json.decode(data.removeprefix("data: "))
        assert abs(ready.pop("at") / 1000 - time.time()) < 60
        assert ready.pop("heartbeat") == 15_000
        assert ready == {
            "video": "v", "node": "n1", "cursor": cursor, "resumed": False, "gap": False,
        }  # fmt: skip
        assert rest == ["", ""]


async def test_events_come_in_order_with_their_cursors(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, ready = await on.ready()
        receipt = await on.publish(3)
        events = [await client.event() for _ in range(3)]
        assert [event.type for event in events] == ["like"] * 3
        assert [event.id for event in events] == [f"dc1-{receipt.epoch}-{number}" for number in (1, 2, 3)]
        assert ready["cursor"] == f"dc1-{receipt.epoch}-0"


async def test_a_viewer_of_another_video_sees_nothing(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready("other")
        await on.watch("v")
        await on.publish(3, "v")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert client.pending() == b""


async def test_json_lines(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = on.connect()
        await client.get("/v1/videos/v/events", "Accept: application/x-ndjson")
        assert "content-type: application/x-ndjson" in await client.head()
        ready = msgspec.json.decode(await client.chunk())
        assert (ready["event"], ready["data"]["cursor"]) == ("ready", ready["cursor"])
        await on.publish()
        line = msgspec.json.decode(await client.chunk())
        assert (line["event"], line["data"]["n"]) == ("like", 1)


async def test_http_1_0_gets_a_stream_without_chunks(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = on.connect()
        await client.get("/v1/videos/v/events", version="1.0")
        head = await client.head()
        assert "transfer-encoding" not in head
        assert "connection: close" in head
        while not client.raw.endswith(b"\n\n"):
            await client.more()
        assert client.raw.startswith(b"retry: ")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/videos/v/events?cursor=bad!", "a cursor looks like"),
        ("/v1/videos/v/events?cursor=bad!&lastEventId=dc1-k3f9a-1", "a cursor looks like"),
        ("/v1/videos/v/events?cursor=now&lastEventId=bad!", "a cursor looks like"),
        ("/v1/videos/v/events?cursor=dc1-a-1~dc1-a-2", "each origin once"),
        ("/v1/videos/v/events?unknown=1", "unknown query parameter"),
        ("/v1/videos/v/events?replay=201", "replay is a number from 0 to 200"),
        ("/v1/videos/v/events?replay=1.5", "replay is a number from 0 to 200"),
        ("/v1/videos/-v/events", "a video is named with"),
        ("/v1/videos/v/poll?wait=61", "wait is a number from 0 to 60"),
        ("/v1/videos/v/poll?wait=nan", "wait is a number from 0 to 60"),
        ("/v1/videos/v/poll?limit=0", "limit is a number from 1 to 500"),
        ("/v1/videos/v/poll?cursor=", "a cursor"),
    ],
)
async def test_bad_requests_are_answered_with_what_to_do_instead(
    autojump_clock: MockClock, path: str, says: str
) -> None:
    async with stage() as on:
        status, detail = await refused(on.connect(), path)
        assert status == "HTTP/1.1 400 Bad Request"
        assert says in detail


async def test_polling_without_a_cursor_answers_at_once(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(3)
        client = on.connect()
        await client.get("/v1/videos/v/poll")
        assert await client.json() == {"cursor": f"dc1-{receipt.epoch}-3", "gap": False, "events": []}
        await client.get("/v1/videos/v/poll?replay=2")
        assert [event["n"] for event in (await client.json())["events"]] == [2, 3]
        await client.get("/v1/videos/v/poll?cursor=earliest&limit=2")
        page = await client.json()
        assert [event["n"] for event in page["events"]] == [1, 2]
        assert page["cursor"] == f"dc1-{receipt.epoch}-2"


async def test_a_poll_waits_for_events_after_its_cursor(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(1)
        client = on.connect()
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1&wait=30")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await on.publish(2)
        page = await client.json()
        assert [event["n"] for event in page["events"]] == [2, 3]
        await client.get(f"/v1/videos/v/poll?cursor={page['cursor']}&wait=30")
        await on.publish(1)
        assert [event["n"] for event in (await client.json())["events"]] == [4]


async def test_a_poll_that_waits_in_vain_answers_with_the_same_cursor(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(1)
        client = on.connect()
        started = trio.current_time()
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1&wait=5")
        assert await client.json() == {"cursor": f"dc1-{receipt.epoch}-1", "gap": False, "events": []}
        assert 5 <= trio.current_time() - started < 6
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1&wait=0")
        assert (await client.json())["events"] == []


async def test_a_poll_resumes_from_a_streams_cursor(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stream, _ = await on.ready()
        await on.publish(3)
        await stream.event()
        cursor = (await stream.event()).id
        poller = on.connect()
        await poller.get(f"/v1/videos/v/poll?cursor={cursor}")
        assert [event["n"] for event in (await poller.json())["events"]] == [3]


async def test_a_poll_behind_the_log_gets_the_gap(autojump_clock: MockClock) -> None:
    async with stage(settings(history={"max_events": 3, "ephemeral_types": []})) as on:
        receipt = await on.publish(5)
        client = on.connect()
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1")
        page = await client.json()
        assert page["gap"]
        assert [event["n"] for event in page["events"]] == [3, 4, 5]


async def test_a_poll_withholds_what_was_seen_elsewhere(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(1)
        client = on.connect()
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1~dc2-zzzzz-4")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await on.publish(1)
        page = await client.json()
        assert page["cursor"] == f"dc1-{receipt.epoch}-2~dc2-zzzzz-4"


async def test_requests_pipelined_behind_a_poll_are_answered_after_it(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(1)
        client = on.connect()
        await client.get(f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1")
        await client.get("/v1/videos/v/poll")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert client.pending() == b""
        await on.publish(1)
        assert [event["n"] for event in (await client.json())["events"]] == [2]
        assert (await client.json())["events"] == []


async def test_a_full_node_says_bye_to_streams_and_503_to_polls(autojump_clock: MockClock) -> None:
    async with stage() as on:
        on.frontend.is_full = lambda: True
        stream = await on.watch()
        bye = await stream.event()
        assert (bye.type, bye.id) == ("bye", "")
        assert msgspec.json.decode(bye.data) == {"reason": "overload", "reconnect": True}
        assert await stream.chunk() == b""
        assert not await stream.more()
        status, _ = await refused(on.connect(), "/v1/videos/v/poll")
        assert status == "HTTP/1.1 503 Service Unavailable"


async def test_a_viewer_that_disconnects_is_removed(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready()
        assert on.frontend.statistics().viewers == 1
        client.sock.close()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert on.frontend.statistics().viewers == 0
        assert not on.edge.connections


async def test_pages_of_other_origins_may_watch_if_they_are_allowed(autojump_clock: MockClock) -> None:
    async with stage(settings(edge={"allow_origins": ["*"]})) as on:
        receipt = await on.publish(1)
        allowed = "access-control-allow-origin: *"
        stream = on.connect()
        await stream.get("/v1/videos/v/events", "Origin: https://a.example")
        assert allowed in (await stream.head()).split("\r\n")
        for wait in ("0", "30"):
            poller = on.connect()
            path = f"/v1/videos/v/poll?cursor=dc1-{receipt.epoch}-1&wait={wait}"
            await poller.get(path, "Origin: https://a.example")
            if wait == "30":
                await trio.testing.wait_all_tasks_blocked(0.01)
                await on.publish(1)
            assert allowed in (await poller.head()).split("\r\n")


@pytest.mark.parametrize("is_poll", [False, True])
async def test_gaps_are_not_counted_as_replayed_events(autojump_clock: MockClock, is_poll: bool) -> None:
    async with stage() as on:
        stays, _ = await on.ready()
        await on.publish(1)
        assert await stays.events(1) == [1]
        for offset in (2, 3, 4):  # each after a gap in another origin's numbers
            await on.relay_after_gap(b'like {"n":%d}' % offset, 10 * offset)
        kinds = [(await stays.event()).type for _ in range(6)]
        assert kinds == ["gap", "like"] * 3
        if is_poll:
            client = on.connect()
            await client.get("/v1/videos/v/poll?replay=3")
            assert [event["n"] for event in (await client.json())["events"]] == [2, 3, 4]
        else:
            client, ready = await on.ready("v", "?replay=3")
            assert not ready["gap"]
            kinds = [(await client.event()).type for _ in range(5)]
            assert kinds == ["like", "gap", "like", "gap", "like"]


# What libraries and other clients do


@pytest.mark.parametrize(
    "query",
    [
        "?lastEventId={cursor}",
        "?lastEventID={cursor}",
        "?last-event-id={cursor}",
        "?last_event_id={cursor}",
        "?Last-Event-ID={cursor}",
        "?Last-Event-Id={cursor}",
        "?evs_last_event_id={cursor}&evs_preamble=2056",
        # What a library adds is newer than what its URL had.
        "?cursor=earliest&lastEventId={cursor}&r=0.7262",
        "?lastEventId=now&lastEventId={cursor}",
        "?lastEventId=&cursor={cursor}",
        "?cursor={cursor}&_=1763862000123&nocache=1&cb=x",
    ],
)
async def test_event_source_libraries_resume_by_what_they_add_to_the_url(
    autojump_clock: MockClock, query: str
) -> None:
    async with stage() as on:
        await on.ready()
        receipt = await on.publish(5)
        cursor = f"dc1-{receipt.epoch}-3"
        client, ready = await on.ready("v", query.format(cursor=cursor))
        assert (ready["resumed"], ready["cursor"]) == (True, cursor)
        assert await client.events(2) == [4, 5]


@pytest.mark.parametrize(
    "query", ["?lastEventId=bad!", "?last-event=now", "?lasteventids=now", "?_cursor=now"]
)
async def test_unknown_parameters_are_bad_requests(autojump_clock: MockClock, query: str) -> None:
    async with stage() as on:
        status, _ = await refused(on.connect(), f"/v1/videos/v/events{query}")
        assert status == "HTTP/1.1 400 Bad Request"


async def test_the_header_wins_over_what_a_library_adds(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.ready()
        receipt = await on.publish(5)
        header = f"Last-Event-ID:   dc1-{receipt.epoch}-4 \t "  # white space around it is none of its value
        client, ready = await on.ready("v", f"?lastEventId=dc1-{receipt.epoch}-1", header)
        assert ready["resumed"]
        assert await client.events(1) == [5]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/x-ndjson;q=0, text/event-stream", "text/event-stream"),
        ("text/event-stream;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("*/*", "text/event-stream"),
    ],
)
async def test_the_form_is_the_one_that_is_preferred(
    autojump_clock: MockClock, accept: str, kind: str
) -> None:
    async with stage() as on:
        client = on.connect()
        await client.get("/v1/videos/v/events", f"Accept: {accept}")
        assert f"content-type: {kind}" in await client.head()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/videos/v/events", "text/event-stream"),
        ("/v1/videos/v/poll?cursor=now&wait=60", "application/json"),
        ("/v1/videos/v/viewers", "application/json"),
    ],
)
async def test_head_is_answered_at_once_as_get_is_without_the_body(
    autojump_clock: MockClock, path: str, kind: str
) -> None:
    async with stage() as on:
        client = on.connect()
        started = trio.current_time()
        for _ in range(2):
            await client.sock.send(f"HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            head = await client.head()
            assert head.startswith("HTTP/1.1 200 OK\r\n")
            assert f"content-type: {kind}" in head
        await client.get("/v1/videos/v/poll")  # nothing of a body was taken for the next answer
        assert (await client.json())["events"] == []
        assert trio.current_time() - started < 1
        assert on.frontend.statistics().viewers == 0


async def test_head_is_refused_as_get_is(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = on.connect()
        await client.sock.send(b"HEAD /v1/videos/v/events?unknown=1 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await client.head()).startswith("HTTP/1.1 400 ")
        await client.sock.send(b"HEAD /v1/ws HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await client.head()).startswith("HTTP/1.1 426 ")


async def test_a_poll_whose_client_has_ended_its_side_is_answered(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(1)
        cursor = f"dc1-{receipt.epoch}-1"
        for line in ((), ("Connection: close",)):
            client = on.connect()
            await client.get(f"/v1/videos/v/poll?cursor={cursor}&wait=60", *line)
            await trio.testing.wait_all_tasks_blocked(0.01)
            client.sock.shutdown(trio.socket.SHUT_WR)
            started = trio.current_time()
            assert await client.json() == {"cursor": cursor, "gap": False, "events": []}
            assert not await client.more()
            assert trio.current_time() - started < 1


async def test_a_stream_whose_client_has_ended_its_side_begins_all_the_same(
    autojump_clock: MockClock,
) -> None:
    async with stage() as on:
        client = on.connect()
        await client.get("/v1/videos/v/events")
        client.sock.shutdown(trio.socket.SHUT_WR)
        await client.head()
        assert (await client.event()).type == "ready"
