"""One connection over a real socket: responses in order, and an orderly close."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from liveserver.edge.answer import Answer, Handler, Peer, StreamResponse
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.errors import BadRequest
from tests.edge.harness import HOST, Answered, Later, echo, pass_by, serving

GET = b"GET /echo HTTP/1.1\r\n" + HOST
POST = b"POST /echo HTTP/1.1\r\n" + HOST
ECHO: Mapping[tuple[str, str], Handler] = {("GET", "/echo"): echo, ("POST", "/echo"): echo}
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def numbered(number: int) -> bytes:
    return b"GET /echo?%d HTTP/1.1\r\n" % number + HOST + b"\r\n"


def query(answer: Answered) -> str:
    return str(msgspec.json.decode(answer.body)["query"])


def body(answer: Answered) -> str:
    assert answer.status == 200, answer
    return str(msgspec.json.decode(answer.body)["body"])


class Laters:
    """A handler whose answers the test writes."""

    def __init__(self) -> None:
        self.all: list[Later] = []

    async def __call__(self, request: Request, peer: Peer) -> Answer:
        self.all.append(Later(peer))
        peer.deadline = 1e9
        return self.all[-1]

    async def wait(self, count: int) -> Later:
        with trio.fail_after(1000):
            while len(self.all) < count:
                await trio.testing.wait_all_tasks_blocked(0.001)
        return self.all[-1]


# Requests and answers


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with serving(ECHO) as served, served.connect() as client:
        for number in range(3):
            assert query(await client.ask(numbered(number))) == str(number)
        assert served.edge.statistics().accepted == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(ECHO) as served, served.connect() as client:
        whole = b"".join([numbered(0), POST + b"Content-Length: 2\r\n\r\nab", POST + CHUNKED, numbered(3)])
        await client.send(whole + numbered(4)[:-10])
        answers = [await client.answer() for _ in range(4)]
        assert [query(answers[0]), body(answers[1]), body(answers[2]), query(answers[3])] == [
            "0",
            "ab",
            "hello",
            "3",
        ]
        assert query(await client.ask(numbered(4)[-10:])) == "4"


async def test_a_request_split_anywhere_is_the_same_request() -> None:
    async with serving(ECHO) as served, served.connect() as client:
        for whole in (POST + b"Content-Length: 5\r\n\r\nhello", POST + CHUNKED):
            for cut in range(1, len(whole)):
                await client.send(whole[:cut])
                await trio.testing.wait_all_tasks_blocked()
                assert body(await client.ask(whole[cut:])) == "hello"


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_any_requests_in_any_pieces_are_answered_in_order(kinds: list[int], data: st.DataObject) -> None:
    requests = [
        [
            numbered(0),
            POST + b"Content-Length: 3\r\n\r\nabc",
            POST + CHUNKED,
            POST + b"Content-Length: 0\r\n\r\n",
            b"GET /echo?a HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n\r\n\r\n",
        ][kind]
        for kind in kinds
    ]
    expected = [["", "abc", "hello", "", "\r\n\r\n"][kind] for kind in kinds]
    wire = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))

    async def main() -> None:
        async with serving(ECHO) as served, served.connect() as client:
            for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
                await client.send(wire[start:end])
                await trio.testing.wait_all_tasks_blocked()
            assert [body(await client.answer()) for _ in kinds] == expected

    trio.run(main)


async def test_bodies_with_the_words_that_frame_them() -> None:
    text = b"GET / HTTP/1.1\r\n\r\n0\r\n\r\n"
    async with serving(ECHO) as served, served.connect() as client:
        assert (
            body(await client.ask(POST + b"Content-Length: %d\r\n\r\n" % len(text) + text)) == text.decode()
        )
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
        assert body(await client.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)) == text.decode()


async def test_a_chunked_body_is_read_despite_an_upgrade_header() -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAE\r\n"
    async with serving(ECHO) as served, served.connect() as client:
        assert body(await client.ask(POST + offer + CHUNKED)) == "hello"
        assert body(await client.ask(POST + offer + b"Content-Length: 2\r\n\r\nab")) == "ab"


async def test_trailers_are_not_headers() -> None:
    async def typed(request: Request, peer: Peer) -> Answer:
        request.require_type("a/b")
        return await echo(request, peer)

    async with serving({("POST", "/echo"): typed}) as served:
        wire = POST + b"Content-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        assert body(await served.ask(wire + b"Content-Type: c/d\r\nX: y\r\n\r\n")) == "x"


async def test_100_continue() -> None:
    expecting = POST + b"Expect: 100-continue\r\n"
    async with serving(ECHO, max_body=10) as served, served.connect() as client:
        assert (await client.ask(expecting + b"Content-Length: 2\r\n\r\n")).status == 100
        assert body(await client.ask(b"ab")) == "ab"
        assert (await client.ask(expecting + b"Transfer-Encoding: chunked\r\n\r\n")).status == 100
        assert body(await client.ask(b"2\r\nab\r\n0\r\n\r\n")) == "ab"
        # Who does not wait needs no leave, and who is refused gets none.
        assert body(await client.ask(expecting + b"Content-Length: 2\r\n\r\nab")) == "ab"
        assert (await client.ask(expecting + b"Content-Length: 11\r\n\r\n")).status == 413


# Who goes


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (GET + b"Connection: close\r\n\r\n", True),
        (b"GET /echo HTTP/1.0\r\n\r\n", False),
        (b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
async def test_connection_close_gets_one_answer(request_: bytes, said: bool) -> None:
    async with serving(ECHO) as served, served.connect() as client:
        answer = await client.ask(request_)
        assert ("connection" in answer.headers) is said
        assert await client.is_closed()


async def test_connection_close_gets_one_answer_also_for_a_problem() -> None:
    async def refuse(request: Request, peer: Peer) -> Answer:
        raise BadRequest("no")

    async with serving({("GET", "/echo"): refuse}) as served:
        async with served.connect() as client:
            answer = await client.ask(GET + b"Connection: close\r\n\r\n")
            assert (answer.detail, answer.headers["connection"]) == ("no", "close")
            assert await client.is_closed()
        async with served.connect() as client:
            for _ in range(2):
                answer = await client.ask(GET + b"\r\n")
                assert (answer.status, "connection" in answer.headers) == (400, False)


@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"OPTIONS"])
async def test_another_method_is_answered_with_the_allowed_ones(method: bytes) -> None:
    async with serving(ECHO) as served, served.connect() as client:
        answer = await client.ask(method + b" /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert method.decode() in answer.detail
        assert query(await client.ask(numbered(1))) == "1"


async def test_the_answer_to_head_has_no_body_to_be_taken_for_the_next_answer() -> None:
    routes = {**ECHO, ("POST", "/posted"): echo}
    async with serving(routes) as served, served.connect() as client:
        for path, status in ((b"/echo?a=b", 200), (b"/posted", 405)):
            await client.send(b"HEAD " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n" + numbered(1))
            answer = await client.answer(bodiless=True)
            assert (answer.status, int(answer.headers["content-length"]) > 0) == (status, True)
            assert query(await client.answer()) == "1"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /echo HTTP/1.1\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        (GET + b"A: " + b"a" * 2000 + b"\r\n\r\n", 431),
        (GET + b"A: " + b"a" * 2000, 431),
        (POST + b"Content-Length: 1001\r\n\r\n", 413),
        (POST + b"Content-Length: 1001\r\n\r\n" + b"a" * 1001, 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413),
        (POST + b"Content-Length: 000000000000000000000000001\r\n\r\n", 400),
        (b"PUT /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\nGET /", 405),
        (b"POST /elsewhere HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n", 413),
    ],
)
async def test_after_a_request_that_was_not_read_whole_the_connection_ends(
    request_: bytes, status: int
) -> None:
    async with serving(ECHO, max_header_size=1000, max_body=1000) as served, served.connect() as client:
        answer = await client.ask(numbered(0)) and await client.ask(request_)
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.detail
        assert await client.is_closed()


async def test_a_refused_request_whose_body_came_with_its_head_does_not_end_the_connection() -> None:
    async with serving(ECHO) as served, served.connect() as client:
        refused = await client.ask(b"PUT /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nGET /")
        assert (refused.status, refused.headers.get("connection")) == (405, None)
        answer = await client.ask(numbered(1))
        assert answer.status == 200


async def test_heads_and_bodies_up_to_the_limits_are_taken() -> None:
    async with serving(ECHO, max_header_size=1000, max_body=1000) as served, served.connect() as client:
        head = GET + b"A: " + b"a" * (1000 - len(GET) - 7) + b"\r\n\r\n"
        assert len(head) == 1000
        assert (await client.ask(head)).status == 200
        assert (await client.ask(head.replace(b"A: ", b"A: a"))).status == 431
    async with serving(ECHO, max_body=1000) as served:
        text = b"x" * 1000
        assert body(await served.ask(POST + b"Content-Length: 1000\r\n\r\n" + text)) == text.decode()
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + text + b"\r\n0\r\n\r\n"
        assert body(await served.ask(chunked)) == text.decode()


async def test_a_client_that_keeps_sending_receives_the_refusal() -> None:
    async with serving(ECHO, max_body=1000) as served, served.connect() as client:
        await client.send(POST + b"Content-Length: 3000000\r\n\r\n")
        for _ in range(30):
            await client.send(b"x" * 100_000)
        assert (await client.answer()).status == 413


async def test_lingering_after_a_refusal_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(ECHO, max_body=1000) as served, served.connect() as client:
        assert (await client.ask(POST + b"Content-Length: 3000000\r\n\r\n")).status == 413
        before = trio.current_time()
        await served.only(0)
        assert trio.current_time() - before < 5


# Time


async def test_a_slow_head_is_answered_408(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(ECHO, header_timeout=10) as served, served.connect() as client:
        await client.ask(numbered(1))
        await trio.sleep(30)
        begun = trio.current_time()
        await client.send(GET)
        for _ in range(8):  # each byte is a sign of life, and no excuse
            await trio.sleep(1)
            await client.send(b"A")
        answer = await client.answer()
        assert answer.status == 408
        assert 10 <= trio.current_time() - begun < 12
        assert await client.is_closed()
        assert served.edge.statistics().expired == 1


@pytest.mark.parametrize(
    "begun", [b"Content-Length: 5\r\n\r\nhell", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell"]
)
async def test_a_slow_body_is_answered_408(autojump_clock: trio.testing.MockClock, begun: bytes) -> None:
    async with serving(ECHO, body_timeout=20) as served, served.connect() as client:
        started = trio.current_time()
        assert (await client.ask(POST + begun)).status == 408
        assert 20 <= trio.current_time() - started < 22
        assert await client.is_closed()


async def test_an_idle_connection_is_closed_silently(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(ECHO, keep_alive=75) as served, served.connect() as client, served.connect() as other:
        await client.ask(numbered(1))
        began = trio.current_time()
        assert await client.is_closed()
        assert 75 <= trio.current_time() - began < 77
        assert await other.is_closed()  # the one that never asked


async def test_a_handler_may_take_longer_than_a_client_may(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(request: Request, peer: Peer) -> Answer:
        await trio.sleep(100)
        return await echo(request, peer)

    async with (
        serving(
            {("GET", "/echo"): slow, ("POST", "/echo"): slow},
            header_timeout=10,
            body_timeout=20,
            keep_alive=30,
        ) as served,
        served.connect() as client,
    ):
        assert query(await client.ask(numbered(1))) == "1"
        assert body(await client.ask(POST + b"Content-Length: 2\r\n\r\nab")) == "ab"


async def big(request: Request, peer: Peer) -> Answer:
    return json_response(200, b" " * int(request.query))


async def test_a_client_that_does_not_read_is_disconnected(mock_clock: trio.testing.MockClock) -> None:
    async with (
        serving({("GET", "/big"): big, **ECHO}, send_buffer=10_000, write_timeout=20) as served,
        served.connect(receive_buffer=10_000) as slow,
        served.connect() as other,
    ):
        await other.ask(numbered(0))
        await slow.send(b"GET /big?10000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        await pass_by(mock_clock, 19)
        assert query(await other.ask(numbered(1))) == "1"
        assert len(served.edge.connections) == 2
        for _ in range(3):
            await pass_by(mock_clock, 22)
            await other.ask(numbered(1))
        assert len(served.edge.connections) == 1
        assert served.edge.statistics().failures == 0


async def test_a_client_below_the_minimum_rate_is_disconnected(mock_clock: trio.testing.MockClock) -> None:
    async with (
        serving(
            {("GET", "/big"): big}, send_buffer=10_000, write_timeout=20, min_write_rate=100_000
        ) as served,
        served.connect(receive_buffer=10_000) as slow,
    ):
        await slow.send(b"GET /big?10000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        for _ in range(11):  # 10 MB at 100 kB a second, and 20 s more
            await pass_by(mock_clock, 10)
            assert len(served.edge.connections) == 1
            await slow.stream.receive_some(100_000)
        await pass_by(mock_clock, 15)
        await pass_by(mock_clock, 2)
        assert len(served.edge.connections) == 0


async def test_a_slow_reader_gets_its_whole_answer(mock_clock: trio.testing.MockClock) -> None:
    async with (
        serving({("GET", "/big"): big}, send_buffer=10_000, write_timeout=20) as served,
        served.connect(receive_buffer=10_000) as slow,
    ):
        await slow.send(b"GET /big?100000 HTTP/1.1\r\n" + HOST + b"\r\n")
        received = 0
        while received < 100_000:
            await pass_by(mock_clock, 10)
            received += len(await slow.stream.receive_some(100_000))
        assert trio.current_time() > 20


# The client's end


@pytest.mark.parametrize(
    "said", [b"", GET, POST + b"Content-Length: 5\r\n\r\nhe", POST + b"Transfer-Encoding: chunked\r\n\r\n5"]
)
@pytest.mark.parametrize("hard", [False, True])
async def test_a_disconnect_during_a_request_is_not_a_failure(said: bytes, hard: bool) -> None:
    async with serving(ECHO) as served:
        async with served.connect() as client:
            await client.ask(numbered(1))
            await client.send(said)
            await trio.testing.wait_all_tasks_blocked()
            if hard:
                client.reset()
        await served.only(0)
        assert served.edge.statistics().failures == 0


async def test_a_disconnect_during_an_answer_is_not_a_failure() -> None:
    async with serving({("GET", "/big"): big}) as served:
        async with served.connect() as client:
            await client.send(b"GET /big?10000000 HTTP/1.1\r\n" + HOST + b"\r\n")
            await client.stream.receive_some(1)
        await served.only(0)
        assert served.edge.statistics().failures == 0


# Deferred answers


async def test_a_request_pipelined_behind_a_deferred_answer_waits() -> None:
    laters = Laters()
    async with serving({("GET", "/later"): laters, **ECHO}) as served, served.connect() as client:
        await client.send(numbered(0) + b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n" + numbered(2))
        assert query(await client.answer()) == "0"
        later = await laters.wait(1)
        await client.send(numbered(3))
        await trio.testing.wait_all_tasks_blocked(0.001)
        later.write(b'{"query":"1"}')
        assert [query(await client.answer()) for _ in range(3)] == ["1", "2", "3"]
        assert later.abandoned == 0


async def test_a_request_after_a_deferred_one_waits_for_its_answer() -> None:
    laters = Laters()
    async with serving({("GET", "/later"): laters, **ECHO}) as served, served.connect() as client:
        for number in range(1, 3):
            await client.send(b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n")
            later = await laters.wait(number)
            await client.send(numbered(2)[:5])
            await trio.testing.wait_all_tasks_blocked(0.001)
            later.write(b'{"query":"1"}')
            assert query(await client.answer()) == "1"
            assert query(await client.ask(numbered(2)[5:])) == "2"


async def test_half_a_request_behind_a_deferred_answer_has_its_own_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    laters = Laters()
    async with serving({("GET", "/later"): laters}, header_timeout=10) as served, served.connect() as client:
        await client.send(b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        later = await laters.wait(1)
        await trio.sleep(1000)
        later.write()
        assert (await client.answer()).status == 200
        written = trio.current_time()
        assert (await client.answer()).status == 408
        assert 10 <= trio.current_time() - written < 12


async def test_after_a_deferred_answer_the_connection_is_kept_for_the_keep_alive_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    laters = Laters()
    async with serving({("GET", "/later"): laters}) as served, served.connect() as client:
        await client.send(b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n")
        later = await laters.wait(1)
        later.write()
        assert (await client.answer()).status == 200
        written = trio.current_time()
        assert await client.is_closed()
        assert 75 <= trio.current_time() - written < 77


@pytest.mark.parametrize("line", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("hard", [False, True])
async def test_a_deferred_answer_is_abandoned_when_its_client_disconnects(line: bytes, hard: bool) -> None:
    laters = Laters()
    async with serving({("GET", "/later"): laters}) as served:
        async with served.connect() as client:
            await client.send(b"GET /later HTTP/1.1\r\n" + HOST + line + b"\r\n")
            later = await laters.wait(1)
            if hard:
                client.reset()
        await served.only(0)
        assert later.abandoned == 1
        assert served.edge.statistics().failures == 0


async def test_a_deferred_answer_may_be_the_last() -> None:
    laters = Laters()
    async with serving({("GET", "/later"): laters}) as served, served.connect() as client:
        await client.send(b"GET /later HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        later = await laters.wait(1)
        later.write()
        assert (await client.answer()).status == 200
        assert await client.is_closed()
        assert later.abandoned == 0


# Streams, handing over, defects


async def test_a_stream_has_the_connection_until_it_ends(autojump_clock: trio.testing.MockClock) -> None:
    over = trio.Event()

    class Ticking(StreamResponse):
        def __init__(self, peer: Peer) -> None:
            self.peer = peer

        async def wait_gone(self) -> None:
            await self.peer.write(b"begun")
            await over.wait()

    async def stream(request: Request, peer: Peer) -> Answer:
        return Ticking(peer)

    async with serving({("GET", "/stream"): stream}) as served, served.connect() as client:
        await client.send(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n" + numbered(1))
        assert await client.stream.receive_some(5) == b"begun"
        await trio.sleep(10_000)  # no deadline is over it
        assert len(served.edge.connections) == 1
        over.set()
        assert await client.is_closed()


async def test_other_routes_are_handed_over_with_the_bytes_read() -> None:
    async with serving(ECHO) as served, served.connect() as client:
        await client.ask(numbered(1))
        wire = b"POST /page HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
        await client.send(wire)
        assert await client.is_closed()
        assert [
            re.sub(rb"x-request-id: [0-9a-f]{16}\r\n", b"", received) for received in served.handed_over
        ] == [wire]
        assert served.edge.statistics().handed_over == 1


async def test_a_handed_over_connection_is_not_closed_by_the_edge(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def keep(sock: socket.socket, received: bytes) -> None:
        with sock:
            await trio.sleep(900)
            assert sock.send(b"late") == 4

    async with serving(ECHO, fallback=keep) as served, served.connect() as client:
        await client.send(b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await client.rest() == b"late"
        assert served.edge.statistics().expired == 0


async def test_loading_the_web_may_take_longer_than_headers_may(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(ECHO, header_timeout=10) as served, served.connect() as client:

        async def load() -> None:
            await trio.sleep(100)
            served.edge.router.is_complete = True

        served.edge.router.is_complete = False
        served.edge.load_web = load
        await client.send(b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await client.is_closed()
        assert len(served.handed_over) == 1
        assert served.edge.statistics().expired == 0


@pytest.mark.parametrize("error", [ValueError("secret"), OSError("secret"), trio.ClosedResourceError()])
async def test_a_defect_ends_its_own_connection_and_no_other(error: Exception) -> None:
    async def broken(request: Request, peer: Peer) -> Answer:
        raise error

    async with serving({("GET", "/broken"): broken, **ECHO}) as served, served.connect() as other:
        await other.ask(numbered(1))
        async with served.connect() as client:
            answer = await client.ask(b"GET /broken HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (answer.status, answer.headers["connection"]) == (500, "close")
            assert "secret" not in answer.detail
            assert await client.is_closed()
        assert query(await other.ask(numbered(2))) == "2"
        assert served.edge.statistics().failures == 1


async def test_a_defect_of_a_stream_ends_its_own_connection_and_no_other() -> None:
    class Broken(StreamResponse):
        async def wait_gone(self) -> None:
            raise ValueError

    async def stream(request: Request, peer: Peer) -> Answer:
        return Broken()

    async def fallback(sock: socket.socket, received: bytes) -> None:
        with sock:
            raise ValueError

    async with (
        serving({("GET", "/stream"): stream, **ECHO}, fallback=fallback) as served,
        served.connect() as other,
    ):
        for path in (b"stream", b"elsewhere"):
            async with served.connect() as client:
                await client.send(b"GET /" + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
                assert await client.is_closed()
        assert query(await other.ask(numbered(2))) == "2"
        assert served.edge.statistics().failures == 2


async def test_bodies_under_way_have_a_bound_together(autojump_clock: trio.testing.MockClock) -> None:
    """What has arrived of large bodies keeps others from sending more of them, not from small ones."""
    large = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 60000\r\n\r\n"
    small = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 16000\r\n\r\n" + b"x" * 16_000
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\nea60\r\n"
    async with (
        serving({("POST", "/echo"): echo}, max_body_memory=100_000) as served,
        served.connect() as first,
        served.connect() as second,
        served.connect() as third,
    ):
        await first.send(large + b"x" * 59_000)
        await trio.testing.wait_all_tasks_blocked(0.1)
        for begun, client in ((large, second), (chunked, third)):
            refused = await client.ask(begun + b"x" * 50_000)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await served.ask(small)).status == 200
        await first.send(b"x" * 1000)
        assert (await first.answer()).status == 200
        assert served.edge.bodies.used == 0
        assert (await served.ask(large + b"x" * 60_000)).status == 200


@pytest.mark.parametrize("path", [b"/echo", b"/page"])
async def test_a_body_that_is_only_announced_takes_nothing(path: bytes) -> None:
    begun = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 60000\r\n\r\nx"
    async with serving(ECHO, max_body_memory=100_000) as served, AsyncExitStack() as stack:
        for _ in range(10):
            client = await stack.enter_async_context(served.connect())
            await client.send(begun)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert served.edge.bodies.used == 0
        whole = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000
        assert (await served.ask(whole)).status == 200


async def test_pipelined_requests_take_turns_with_other_connections() -> None:
    order: list[str] = []

    async def note(request: Request, peer: Peer) -> Answer:
        order.append(request.query)
        return json_response(200, b"{}")

    async with serving({("GET", "/echo"): note}) as served, served.connect() as many, served.connect() as one:
        await many.ask(numbered(0))
        await one.ask(numbered(1))
        order.clear()
        many.sock.send(numbered(0) * 100)
        one.sock.send(numbered(1))
        for _ in range(100):
            await many.answer()
        await one.answer()
        assert order.index("1") < 20


async def test_a_body_of_small_chunks_lets_others_run_in_between() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    wire = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"14\r\n%b\r\n" % (b"x" * 20) * 5_000 + b"0\r\n\r\n"
    async with serving(ECHO) as served, served.connect() as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, wire)
        nursery.start_soon(count)
        assert len(body(await client.answer())) == 100_000
        nursery.cancel_scope.cancel()
    assert turns > len(wire) / 4096


async def test_a_silent_connection_is_closed_after_the_header_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(ECHO, header_timeout=10, keep_alive=75) as served, served.connect() as client:
        assert await client.is_closed()
        assert trio.current_time() < 12
        async with served.connect() as kept:
            await kept.ask(numbered(1))
            await kept.is_closed()
        assert 80 < trio.current_time() < 100


@pytest.mark.parametrize("line", [b"", b"Connection: close\r\n"])
async def test_a_half_closed_client_gets_its_answer(line: bytes) -> None:
    class Early(Later):
        def end_early(self) -> None:
            self.write(b'{"early":true}')

    async def later(request: Request, peer: Peer) -> Answer:
        return Early(peer)

    async with serving({("GET", "/later"): later, **ECHO}) as served:
        for path, expected in ((b"/echo", b'"path":"/echo"'), (b"/later", b"early")):
            async with served.connect() as client:
                await client.send(b"GET " + path + b" HTTP/1.1\r\n" + HOST + line + b"\r\n")
                client.sock.shutdown(socket.SHUT_WR)
                assert expected in (await client.answer()).body
                assert await client.is_closed()


async def test_unknown_paths_are_refused_by_the_edge() -> None:
    async with serving(ECHO) as served, served.connect() as client:
        served.edge.is_known_path = lambda path: path == "/known"
        for _ in range(2):
            answer = await client.ask(b"GET /unknown?known HTTP/1.1\r\n" + HOST + b"\r\n")
            assert answer.status == 404
            assert answer.headers["x-request-id"]
            assert "begin with /v1/" in answer.detail
        assert not served.handed_over
        await client.send(b"GET /known HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        await client.rest()
        assert len(served.handed_over) == 1
