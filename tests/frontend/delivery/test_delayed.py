"""Viewers behind live receive each event after their delay; none is lost, doubled or early."""

from __future__ import annotations

import random
from urllib.parse import quote

import msgspec
import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest
from liveserver.frontend.delivery.delayed import LINGER
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import Client, Stage, settings, stage

TICK = 0.06  # seconds; see DELAY_TICK


async def numbers(client: Client, count: int, received: list[tuple[float, int]]) -> None:
    for _ in range(count):
        event = await client.event()
        if event.type == "like":
            received.append((trio.current_time(), msgspec.json.decode(event.data)["n"]))


async def said(on: Stage, name: str, *, kind: str = "comment", data: str = '{"text":"goal"}') -> None:
    line = f'{kind} {{"id":"{name}","video":"v","type":"{kind}","at":1763862000000,"data":{data}}}'
    await on.bus.append([AppendRequest("v", f"t-{name}", [line.encode()], [name])])


async def test_each_event_has_the_requested_delay(autojump_clock: MockClock) -> None:
    async with stage() as on, trio.open_nursery() as nursery:
        received: dict[str, list[tuple[float, int]]] = {}
        for behind in ("0", "1s", "2.4s", "12.5s"):
            client, ready = await on.ready("v", f"?behind={behind}")
            assert ready.get("behind", 0) == {"0": 0, "1s": 1, "2.4s": 2, "12.5s": 13}[behind]
            nursery.start_soon(numbers, client, 20, received.setdefault(behind, []))
        published = []
        for _ in range(20):
            published.append(trio.current_time())
            await on.publish()
            await trio.sleep(random.Random(7).choice([0.01, 0.3, 5.0]))
    for behind, delay in (("0", 0), ("1s", 1), ("2.4s", 2), ("12.5s", 13)):
        assert [number for _, number in received[behind]] == list(range(1, 21))
        for (when, _), at in zip(received[behind], published, strict=True):
            assert 0 <= when - at - delay <= TICK


async def test_a_cursor_resumes_at_another_delay(autojump_clock: MockClock) -> None:
    """Exactly: further behind it waits where it was, closer it is given what it has not seen."""
    async with stage() as on:
        client, _ = await on.ready()
        for _ in range(4):
            await on.publish()
            await trio.sleep(1)
        event = [await client.event() for _ in range(4)][1]
        client.sock.close()
        begun = trio.current_time()  # the 3rd came 2 s ago
        late, ready = await on.ready("v", "?behind=10", f"Last-Event-ID: {event.id}")
        assert (ready["cursor"], ready["resumed"], ready["gap"]) == (event.id, True, False)
        received: list[tuple[float, int]] = []
        await numbers(late, 1, received)
        assert received[0][1] == 3
        assert 8 <= received[0][0] - begun <= 8 + TICK
        late.sock.close()
        soon, _ = await on.ready("v", "?behind=1", f"Last-Event-ID: {event.id}")
        assert await soon.events(2) == [3, 4]


async def test_a_viewer_ahead_of_its_delay_gets_heartbeats_and_counts(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"counts_interval": "1s", "heartbeat": "3s"})) as on:
        client, _ = await on.ready()
        await trio.sleep(2)
        await on.publish()
        while (event := await client.event()).type != "like":
            pass
        late, _ = await on.ready("v", "?behind=20", f"Last-Event-ID: {event.id}")
        await trio.sleep(12)
        assert on.frontend.overview().videos[0].viewers == 2
        pending = late.pending()
        assert pending.count(b"\n:\n") + pending.count(b"\r\n:\n") >= 2
        assert b'"here":2' in pending
        assert b"event: like" not in pending
        cursors = {line for line in pending.split(b"\n") if line.startswith(b"id: ")}
        assert cursors <= {b"id: " + event.id.encode()}


async def test_long_polls_may_be_behind_live(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.ready()
        await on.publish()
        client = on.connect()
        await client.get("/v1/videos/v/poll?behind=5")
        first = await client.json()
        assert first["events"] == []
        begun = trio.current_time()
        await client.get(f"/v1/videos/v/poll?behind=5&cursor={first['cursor']}&wait=2")
        nothing = await client.json()
        assert (nothing["events"], nothing["cursor"]) == ([], first["cursor"])
        assert 2 <= trio.current_time() - begun <= 2.3
        await client.get(f"/v1/videos/v/poll?behind=5&cursor={first['cursor']}&wait=20")
        page = await client.json()
        assert [each["n"] for each in page["events"]] == [1]
        assert 5 - 0.01 <= trio.current_time() - begun <= 5 + TICK
        # A longer delay: the cursor is further than that, and stays as it is.
        await client.get(f"/v1/videos/v/poll?behind=60&cursor={page['cursor']}&wait=3")
        waiting = await client.json()
        assert (waiting["events"], waiting["cursor"], waiting["gap"]) == ([], page["cursor"], False)


async def test_a_websocket_changes_its_delay(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await SocketClient(on.connect()).open()
        await client.say(subscribe={"video": "v", "behind": 10})
        kind, ready = await client.message()
        assert (kind, ready["behind"]) == ("ready", 10)
        for _ in range(3):
            await on.publish()
            await trio.sleep(1)
        begun = trio.current_time()
        await client.say(behind={"video": "v", "seconds": 2.2})
        kind, first = await client.message()
        assert [each["n"] for each in first["events"]] == [1, 2]
        assert trio.current_time() - begun < TICK
        await client.say(behind={"video": "v", "seconds": 30})
        await trio.sleep(5)
        await client.say(behind={"video": "v", "seconds": 0})
        kind, rest = await client.message()
        assert [each["n"] for each in rest["events"]] == [3]
        for wrong in (
            {"video": "v", "seconds": -1},
            {"video": "v", "seconds": 121},
            {"video": "w", "seconds": 1},
        ):
            await client.say(behind=wrong)
            kind, error = await client.message()
            assert (kind, error["status"]) == ("error", 400)


@pytest.mark.parametrize("behind", ["", "-1", "x", "1m", "121s", "1e1", "nan", "inf", "١", "5 s", "0.5ms"])
async def test_delays_that_are_none(autojump_clock: MockClock, behind: str) -> None:
    async with stage() as on:
        for what in ("events", "poll"):
            client = on.connect()
            await client.get(f"/v1/videos/v/{what}?behind={quote(behind)}")
            assert " 400 " in await client.head()


async def test_only_so_many_delays_at_once(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"max_delays": 3})) as on:
        clients = [(await on.ready("v", f"?behind={delay}")) for delay in (5, 10, 20, 7, 15, 30)]
        assert [ready["behind"] for _, ready in clients] == [5, 10, 20, 10, 20, 20]
        for client, _ in clients:
            client.sock.close()
        await trio.sleep(30)
        assert on.channel().audience.delayed == {} if "v" in on.frontend.table.channels else True
        _, ready = await on.ready("v", "?behind=7")
        assert ready["behind"] == 7


@pytest.mark.parametrize("has_events", [False, True])
@pytest.mark.parametrize("how", ["stream", "ahead", "poll", "socket", "moved", "slow"])
async def test_a_delay_is_dropped_when_its_viewers_have_left(
    autojump_clock: MockClock, how: str, has_events: bool
) -> None:
    """Also where nothing is published, and where the next event is not due for long."""
    async with stage() as on:
        live, ready = await on.ready()
        if has_events:
            await on.publish()
            cursor = (await live.event()).id
        else:
            cursor = ready["cursor"]
        if how == "slow":
            client, _ = await on.ready("v", "?behind=5", receive_buffer=4096, send_buffer=4096)
            for _ in range(40):
                await on.publish(5, padding=500)
            await trio.sleep(6)
            assert on.frontend.statistics().lagging == 1
        elif how == "poll":
            client = on.connect()
            await client.get(f"/v1/videos/v/poll?behind=5&cursor={cursor}&wait=60")
        elif how in ("socket", "moved"):
            socket = await SocketClient(on.connect()).open()
            client = on.clients[-1]
            await socket.say(subscribe={"video": "v", "behind": 5})
            await socket.message()
            if how == "moved":
                await socket.say(behind={"video": "v", "seconds": 0})
        else:
            headers = [f"Last-Event-ID: {cursor}"] if how == "ahead" else []
            client, _ = await on.ready("v", "?behind=100", *headers)
        await trio.sleep(1)
        assert len(on.channel().audience.delayed) == 1
        if how != "moved":
            client.sock.close()
        await trio.sleep(LINGER + 5)
        assert on.channel().audience.delayed == {}
        assert on.frontend.statistics().viewers == (2 if how == "moved" else 1)
        on.channel().trim()
        assert on.channel().log.reach == 0


async def test_the_log_holds_the_events_that_delayed_viewers_need(autojump_clock: MockClock) -> None:
    small = {"max_events": 50, "ephemeral_types": []}
    async with stage(settings(history=small | {"delayed_events": 1_000})) as on:
        client, _ = await on.ready("v", "?behind=60")
        live, _ = await on.ready()
        for _ in range(80):
            await on.publish(10)
            await trio.sleep(0.5)
            live.pending()
            live.raw = b""
        received: list[tuple[float, int]] = []
        await numbers(client, 800, received)
        assert [number for _, number in received] == list(range(1, 801))
        await trio.sleep(30)
        client.sock.close()
        await trio.sleep(20)
        assert len(on.channel().log.items) <= 60


async def test_a_delay_beyond_the_held_events_is_a_gap(autojump_clock: MockClock) -> None:
    async with stage(
        settings(history={"max_events": 50, "ephemeral_types": [], "delayed_events": 100})
    ) as on:
        client, _ = await on.ready("v", "?behind=60")
        for _ in range(30):
            await on.publish(10)
            await trio.sleep(0.1)
        await trio.sleep(70)
        kinds = []
        while client.pending():
            kinds.append((await client.event()).type)
        assert kinds[0] == "gap"
        assert 90 <= kinds.count("like") <= 200
        _, ready = await on.ready("v", "?behind=120")
        assert ready["gap"] is True


async def test_slow_viewers_behind_live_lag_alone(autojump_clock: MockClock) -> None:
    async with stage() as on:
        slow, _ = await on.ready("v", "?behind=3", receive_buffer=4096, send_buffer=4096)
        other, _ = await on.ready("v", "?behind=3")
        for _ in range(40):
            await on.publish(5, padding=500)
            await trio.sleep(0.05)
        assert await other.events(200) == list(range(1, 201))
        assert on.frontend.statistics().lagging == 1
        assert await slow.events(200) == list(range(1, 201))


async def test_draining_disconnects_delayed_viewers_as_well(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "1s"})) as on:
        client, _ = await on.ready("v", "?behind=3")
        poll = on.connect()
        await poll.get("/v1/videos/v/poll?behind=3")
        cursor = (await poll.json())["cursor"]
        await poll.get(f"/v1/videos/v/poll?behind=3&cursor={cursor}&wait=60")
        await trio.sleep(1)
        assert on.frontend.statistics().viewers == 2
        await on.frontend.drain()
        assert (await client.event()).type == "bye"
        assert (await poll.json())["events"] == []


async def test_latency_does_not_count_the_delay(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready("v", "?behind=10")
        await on.publish(3)
        await client.events(3)
        delay = on.frontend.statistics().fanout.delay
        assert sum(delay.counts) == 1
        assert delay.sum <= TICK


async def test_a_delay_without_viewers_is_closed_when_its_time_is_over_not_later(
    autojump_clock: MockClock,
) -> None:
    async with stage() as on:
        client, _ = await on.ready("v", "?behind=5")
        (delayed,) = on.channel().audience.delayed.values()
        client.sock.close()
        await trio.testing.wait_all_tasks_blocked(0.001)
        began = trio.current_time()
        delayed.advance(began)
        assert delayed.due == began + LINGER
        delayed.advance(began + LINGER - 0.001)
        assert list(on.channel().audience.delayed.values()) == [delayed]
        delayed.advance(began + LINGER)
        assert on.channel().audience.delayed == {}
