"""Watching over a WebSocket, as API.md says it: many videos, one connection, whole messages."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from liveserver.cursor import Mark
from liveserver.frontend.websocket import WebSocket
from tests.frontend.fakes import SocketClient, connect
from tests.frontend.harness import settings, stage

SMALL = {"send_buffer": 4096, "receive_buffer": 4096}


async def test_ready_then_events_with_their_cursors(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on)
        ready = await client.watch()
        receipt = await on.publish(3)
        assert abs(ready.pop("at") / 1000 - time.time()) < 60
        assert ready.pop("heartbeat") == 15_000
        assert ready == {
            "video": "v", "node": "n1", "cursor": f"dc1-{receipt.epoch}-0", "resumed": False, "gap": False,
        }  # fmt: skip
        assert await client.message() == (
            "events",
            {
                "video": "v",
                "cursor": f"dc1-{receipt.epoch}-3",
                "events": [{"n": n, "p": ""} for n in (1, 2, 3)],
            },
        )


async def test_many_videos_each_with_its_cursor(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on)
        for video in ("a", "b", "c"):
            await client.watch(video)
        b, c = await on.publish(2, "b"), await on.publish(1, "c")
        heard = sorted([(await client.message())[1] for _ in range(2)], key=lambda each: each["video"])
        assert [(each["video"], each["cursor"], len(each["events"])) for each in heard] == [
            ("b", f"dc1-{b.epoch}-2", 2),
            ("c", f"dc1-{c.epoch}-1", 1),
        ]
        assert on.frontend.statistics().viewers == 3
        await client.say(unsubscribe={"video": "b"})
        await client.say(ping={})
        assert await client.message() == ("pong", {})
        assert on.frontend.statistics().viewers == 2
        await on.publish(1, "b")
        await on.publish(1, "a")
        assert (await client.message())[1]["video"] == "a"


@pytest.mark.parametrize(
    "body",
    [
        {"replay": 2, "cursor": None, "behind": None},
        {"cursor": "earliest", "replay": None},
        {"cursor": "dc1-EPOCH-3"},
    ],
)
async def test_resuming_gives_exactly_the_rest(autojump_clock: MockClock, body: dict[str, Any]) -> None:
    async with stage() as on:
        receipt = await on.publish(5)
        cursor = body.get("cursor") or ""
        if cursor:
            body["cursor"] = cursor.replace("EPOCH", receipt.epoch)
        client = await connect(on)
        ready = await client.watch("v", **body)
        is_resuming = cursor.startswith("dc1")
        assert (ready["resumed"], ready["gap"]) == (is_resuming, False)
        first = 1 if cursor == "earliest" else 4
        assert await client.events(6 - first) == list(range(first, 6))
        await on.publish(1)
        assert await client.events(1) == [6]


async def test_a_gap_is_sent_at_once_and_later(autojump_clock: MockClock) -> None:
    async with stage(settings(history={"max_events": 3, "ephemeral_types": []})) as on:
        receipt = await on.publish(5)
        client = await connect(on)
        ready = await client.watch("v", cursor=f"dc1-{receipt.epoch}-1")
        assert (ready["resumed"], ready["gap"], ready["cursor"]) == (False, True, f"dc1-{receipt.epoch}-2")
        assert await client.events(3) == [3, 4, 5]
        log = on.channel().log
        log.append_gap("dc2", Mark("zzzzz", 7), trio.current_time())
        on.channel().audience.schedule()
        assert await client.message() == (
            "gap",
            {"video": "v", "cursor": f"dc1-{receipt.epoch}-5~dc2-zzzzz-7"},
        )


async def test_events_seen_elsewhere_are_withheld(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(2)
        client = await connect(on)
        await client.watch("v", cursor=f"dc1-{receipt.epoch}-1~dc2-zzzzz-7")
        kind, events = await client.message()
        assert (kind, events["cursor"]) == ("events", f"dc1-{receipt.epoch}-2~dc2-zzzzz-7")


@pytest.mark.parametrize(
    ("message", "says", "video"),
    [
        ("{", "malformed message", None),
        ("[]", "malformed message", None),
        ("{}", "a message is one of", None),
        ('{"subscribe":{"video":"v"},"ping":{}}', "a message is one of", None),
        ('{"watch":{"video":"v"}}', "no field 'watch'", None),
        ('{"subscribe":{"video":"v","from":1}}', "no field 'subscribe.from'", None),
        ('{"subscribe":{"video":"v","replay":201}}', "replay is a number from 0 to 200", "v"),
        ('{"subscribe":{"video":"v","cursor":"bad!"}}', "a cursor looks like", "v"),
        ('{"subscribe":{"video":"-v"}}', "a video is named with", "-v"),
        ('{"subscribe":{"video":"taken"}}', "already subscribed", "taken"),
        ('{"subscribe":{"video":"third"}}', "at most 2 videos", "third"),
        ('{"unsubscribe":{"video":"v"}}', "not subscribed to", "v"),
    ],
)
async def test_errors_are_sent_and_the_connection_stays(
    autojump_clock: MockClock, message: str, says: str, video: str | None
) -> None:
    async with stage(settings(frontend={"websocket_max_videos": 2})) as on:
        client = await connect(on)
        await client.watch("taken")
        if "third" in message:
            await client.watch("second")
        await client.send(TextMessage(data=message))
        problem = await client.error()
        assert (problem["status"], problem.get("video")) == (400, video)
        assert says in problem["detail"]
        await on.publish(1, "taken")
        assert await client.events(1) == [1]


async def test_a_video_that_cannot_be_followed_gets_an_error(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage() as on:
        client = await connect(on)
        await client.watch("a")

        async def nothing(*args: object) -> dict[str, Any]:
            await trio.sleep_forever()
            raise AssertionError

        monkeypatch.setattr(on.frontend.table._leases, "renew_leases", nothing)
        await client.say(subscribe={"video": "b"})
        problem = await client.error()
        assert (problem["status"], problem["video"]) == (503, "b")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x02{}", 1002),  # unmasked
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit
        (b"\x83\x80\0\0\0\0", 1002),  # an unknown opcode
        (b"\x80\x80\0\0\0\0", 1002),  # a continuation of nothing
        (b"\x88\x81\0\0\0\0x", 1002),  # a close with half a code
        (b"\x81\x81\0\0\0\0\xff", 1007),  # no UTF-8
        (b"\x82\x81\0\0\0\0x", 1003),  # binary
        (b"\x81\xfe\x10\x01\0\0\0\0" + b" " * 4097, 1009),  # too big
        (b"\x81\xff\0\0\1\0\0\0\0\0\0\0\0\0", 1009),  # announced, and nothing of it
        (b"\x01\x81\0\0\0\0x\x80\xff\0\0\0\0\0\x10\0\0\0\0\0\0", 1009),  # in a continuation
        (b"\x82\xff\0\0\1\0\0\0\0\0\0\0\0\0", 1009),  # binary
        (b"\x88\x80\0\0\0\0", 1000),
        (b"\x88\x82\0\0\0\0\x03\xe9", 1001),
    ],
)
async def test_closing(autojump_clock: MockClock, frame: bytes, code: int) -> None:
    async with stage() as on:
        client = await connect(on)
        await client.watch()
        await client.raw(frame)
        assert (await client.closed())[0] == code
        assert on.frontend.statistics().viewers == 0
        client.client.sock.close()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (on.frontend.statistics().sockets, len(on.edge.connections)) == (0, 0)


async def test_an_endless_message_is_too_big(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"websocket_max_message_size": "100"})) as on:
        client = await connect(on)
        for _ in range(11):
            await client.send(TextMessage(data="0123456789", message_finished=False))
        assert (await client.closed())[0] == 1009


async def test_too_many_messages_a_second(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"websocket_message_rate": 10})) as on:
        client = await connect(on)
        for _ in range(30):
            await client.say(ping={})
            assert (await client.message())[0] == "pong"
            await trio.sleep(0.1)
        for _ in range(12):
            await client.send(Ping())
        for _ in range(10):
            assert isinstance(await client.next(), Pong)
        assert (await client.closed())[0] == 1008


async def test_messages_in_pieces_and_pings_between_them(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on)
        await client.send(TextMessage(data='{"subscribe":', message_finished=False))
        await client.send(Ping(payload=b"here?"))
        assert await client.next() == Pong(payload=b"here?")
        await client.send(TextMessage(data='{"video":"v"}}'))
        assert (await client.message())[0] == "ready"


async def test_a_client_is_asked_whether_it_lives(autojump_clock: MockClock) -> None:
    async with stage(settings(frontend={"heartbeat": "15s", "pong_timeout": "20s"})) as on:
        client = await connect(on)
        await client.watch()
        for _ in range(3):
            began = trio.current_time()
            assert isinstance(await client.event(), Ping)
            assert 15 <= trio.current_time() - began <= 17
            await client.send(Pong())
        for _ in range(5):  # while it is sent something, it is not pinged
            await trio.sleep(10)
            await on.publish(1)
        assert await client.events(5) == [1, 2, 3, 4, 5]
        assert isinstance(await client.event(), Ping)
        await trio.sleep(25)
        assert not on.edge.connections
        assert on.frontend.statistics().viewers == 0


async def test_full_and_draining_nodes_send_bye(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "0s"})) as on:
        on.frontend.is_full = lambda: True
        client = await connect(on)
        kind, bye = await client.message()
        assert (kind, bye["reason"], bye["reconnect"]) == ("bye", "overload", True)
        assert 1000 <= bye["retry"] <= 4000
        assert await client.closed() == (1013, "overload")
        on.frontend.is_full = lambda: False
        await on.frontend.drain()
        client = await connect(on)
        assert (await client.message())[1]["reason"] == "drain"
        assert await client.closed() == (1001, "drain")


async def test_draining_tells_each_connection_once(autojump_clock: MockClock) -> None:
    async with stage(settings(node={"drain_timeout": "10s"})) as on:
        many, one, none = [await connect(on) for _ in range(3)]
        for video in ("a", "b"):
            await many.watch(video)
        await one.watch("a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.frontend.drain)
            for client in (many, one, none):
                kind, bye = await client.message()
                assert (kind, bye["reason"]) == ("bye", "drain")
                assert (await client.closed())[0] == 1001
        assert on.frontend.statistics().viewers == 0


async def test_a_subscription_while_draining_is_refused(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on)
        on.frontend.is_draining = True
        await client.say(subscribe={"video": "v"})
        assert (await client.error())["status"] == 503


@pytest.mark.parametrize(
    ("origin", "allowed", "status"),
    [
        (b"http://test", [], 101),
        (b"https://TEST", [], 101),
        (b"https://other", [], 403),
        (b"null", [], 403),
        (b"http://test.other", [], 403),
        (b"https://other", ["https://other"], 101),
        (b"https://another", ["https://other"], 403),
        (b"https://another", ["*"], 101),
    ],
)
async def test_pages_of_other_origins_need_permission(
    autojump_clock: MockClock, origin: bytes, allowed: list[str], status: int
) -> None:
    async with stage(settings(edge={"allow_origins": allowed})) as on:
        client = SocketClient(on.connect())
        await client.upgrade((b"Origin", origin))
        if status == 101:
            await client.event()
            await client.watch()
        else:
            assert await client.rejected() == status


async def test_a_client_that_asks_and_never_reads_is_not_heard_for_ever(autojump_clock: MockClock) -> None:
    configured = settings(frontend={"slow_timeout": "10s", "websocket_message_rate": 1_000_000})
    async with stage(configured) as on:
        client = await connect(on, **SMALL)
        with trio.move_on_after(5):
            while True:
                await client.say(unsubscribe={"video": "v" * 100})
        await trio.sleep(15)
        assert on.frontend.statistics().fanout.slow == 1
        assert not on.edge.connections


async def test_a_client_that_closes_is_answered(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on)
        await client.send(CloseConnection(code=4000, reason="enough"))
        assert (await client.closed())[0] == 4000


async def test_binary_is_refused(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await connect(on)
        await client.send(BytesMessage(data=b"{}"))
        assert await client.closed() == (1003, "messages are text")


async def test_there_is_a_parser_only_within_a_message(autojump_clock: MockClock) -> None:
    """It is half of what an idle connection weighs; each byte may come alone, pings between fragments."""
    async with stage() as on:
        client = await connect(on)
        await client.watch()
        (socket,) = on.frontend.sockets
        assert isinstance(socket, WebSocket)
        assert socket._protocol is None
        theirs = Connection(ConnectionType.CLIENT)
        pieces = theirs.send(TextMessage('{"ping"', message_finished=False)) + theirs.send(Ping(b"now"))
        pieces += theirs.send(TextMessage(":{}}"))
        for at in range(len(pieces)):
            await client.raw(pieces[at : at + 1])
            await wait_all_tasks_blocked()
            assert (socket._protocol is None) == (at == len(pieces) - 1)
        assert isinstance(await client.next(), Pong)
        assert await client.message() == ("pong", {})
        await client.say(unsubscribe={"video": "v"})
        await wait_all_tasks_blocked()
        assert socket._protocol is None
        assert not socket.viewers
