"""Requests outside the hot path are served by the web application, one per connection."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import structlog
import trio
import trio.testing
from quart import Response, request
from quart_trio import QuartTrio
from structlog.typing import EventDict

from liveserver.edge.handoff import open_handoff
from liveserver.web.app import public_app
from tests.edge.harness import HOST, Answered, Served, echo, pass_by, serving

GET = b"GET /page HTTP/1.1\r\n" + HOST
POST = b"POST /size HTTP/1.1\r\n" + HOST
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BIG = 6_000_000


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def site() -> QuartTrio:
    """The public application, with some pages."""
    app = public_app()

    @app.get("/page")
    async def page() -> str:
        return f"page {request.args.get('n', '')}"

    @app.post("/size")
    async def size() -> str:
        return str(len(await request.get_data()))

    @app.get("/broken")
    async def broken() -> str:
        raise ValueError("secret")

    @app.get("/big")
    async def big() -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" " * (BIG // 100)

        return Response(pieces(), headers={"content-length": str(BIG)})

    @app.get("/slow")
    async def slow() -> str:
        try:
            await trio.sleep(80_000)
        finally:
            app.config["SLOW"] = "ended"
        return ""

    @app.get("/folder/")
    async def folder() -> str:
        return "folder"

    return app


@asynccontextmanager
async def handing_over(app: QuartTrio, *, timeout: float = 20, send_buffer: int = 0) -> AsyncIterator[Served]:
    async with (
        open_handoff(app, max_body=100_000, timeout=timeout) as handoff,
        serving(
            {("GET", "/echo"): echo}, fallback=handoff.serve, max_body=100_000, send_buffer=send_buffer
        ) as served,
    ):
        yield served


async def ask(served: Served, wire: bytes) -> Answered:
    """The answer on a connection that ends with it."""
    async with served.connect() as client:
        answer = await client.ask(wire)
        assert await client.is_closed()
    await served.only(0)
    return answer


async def test_a_page() -> None:
    async with handing_over(site()) as served:
        answer = await ask(served, b"GET /page?n=1 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"page 1", "close")
        assert (await ask(served, b"GET /page HTTP/1.0\r\n\r\n")).body == b"page "
        assert (await ask(served, b"GET http://x/page?n=2 HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"page 2"
        assert served.edge.statistics().handed_over == 3


async def test_hot_requests_are_answered_before_the_handoff() -> None:
    async with handing_over(site()) as served, served.connect() as client:
        await client.send((b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n") * 2 + GET + b"\r\n")
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        assert (await client.answer()).body == b"page "
        assert await client.is_closed()


async def test_a_second_request_is_for_another_connection() -> None:
    async with handing_over(site()) as served:
        assert (
            await ask(served, GET + b"\r\n" + b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        ).body == b"page "


@pytest.mark.parametrize(
    ("framing", "wire"),
    [
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_wherever_the_head_ends(framing: bytes, wire: bytes) -> None:
    async with handing_over(site()) as served:
        for cut in range(len(wire) + 1):
            async with served.connect() as client:
                await client.send(POST + framing + b"\r\n" + wire[:cut])
                await trio.testing.wait_all_tasks_blocked()
                assert (await client.ask(wire[cut:])).body == b"5"
                assert await client.is_closed()


async def test_100_continue_is_sent_after_a_handoff() -> None:
    async with handing_over(site()) as served, served.connect() as client:
        assert (await client.ask(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")).status == 100
        assert (await client.ask(b"hello")).body == b"5"


async def test_bodies_have_the_edges_limit() -> None:
    async with handing_over(site()) as served:
        text = b"x" * 100_000
        assert (await ask(served, POST + b"Content-Length: 100000\r\n\r\n" + text)).body == b"100000"
        assert (await ask(served, POST + b"Content-Length: 100001\r\n\r\n" + text)).status == 413
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"186a0\r\n" + text + b"\r\n"
        assert (await ask(served, chunked + b"0\r\n\r\n")).body == b"100000"
        answer = await ask(served, chunked + b"1\r\nx\r\n0\r\n\r\n")
        assert (answer.status, bool(answer.detail)) == (413, True)


async def test_a_client_that_keeps_sending_receives_the_answer() -> None:
    async with handing_over(site()) as served, served.connect() as client:
        wire = b"POST /nothing HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n" + b"x" * 1_000_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, wire)
            assert (await client.answer()).status == 404
        client.sock.shutdown(socket.SHUT_WR)
        assert await client.rest() == b""  # an end, and no reset


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n" + HOST, 404),
        (b"POST /nothing HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n", 404),
        (b"DELETE /page HTTP/1.1\r\n" + HOST, 405),
        (b"GET /broken HTTP/1.1\r\n" + HOST, 500),
        (b"CONNECT x:1 HTTP/1.1\r\n" + HOST, 400),
        (b"GET /%ff%00 HTTP/1.1\r\n" + HOST, 400),
        (b"GET /%c3%bf%00 HTTP/1.1\r\n" + HOST, 404),
        (b"GET /x HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: foo\r\n", 404),
        (b"GET /%0a%1b HTTP/1.1\r\n" + HOST + WEBSOCKET, 404),
        (b"GET /broken HTTP/1.1\r\n" + HOST + WEBSOCKET, 500),
    ],
)
async def test_problems_are_documents(wire: bytes, status: int) -> None:
    async with handing_over(site()) as served:
        answer = await ask(served, wire + b"\r\n")
        assert (answer.status, answer.headers["cache-control"]) == (status, "no-store")
        assert answer.detail


async def test_a_defect_shows_no_trace_and_is_logged(logged: list[EventDict]) -> None:
    async with handing_over(site()) as served:
        answer = await ask(served, b"GET /broken HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body
        assert [str(entry["exc_info"]) for entry in logged] == ["secret"]
        assert (await ask(served, GET + b"\r\n")).status == 200


@pytest.mark.parametrize("offer", [b"Upgrade: h2c\r\n", b"Upgrade: foo\r\nUpgrade: h2c\r\n"])
async def test_http_2_is_not_taken_up(offer: bytes) -> None:
    async with handing_over(site()) as served:
        offer += b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        assert (await ask(served, GET + offer + b"\r\n")).body == b"page "
        answer = await ask(served, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert answer.status == 400


async def test_a_request_whose_client_sends_no_more_is_cancelled_after_the_timeout(
    mock_clock: trio.testing.MockClock,
) -> None:
    """It may only have ended its side, and wait for the answer."""
    app = site()
    async with handing_over(app, timeout=20) as served:
        async with served.connect() as client:
            await client.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
        await pass_by(mock_clock, 19)
        assert len(served.edge.connections) == 1
        await pass_by(mock_clock, 2)
        assert len(served.edge.connections) == 0
        assert app.config["SLOW"] == "ended"


@pytest.mark.parametrize("has_ended_its_side", [False, True])
async def test_a_request_of_a_disconnected_client_is_cancelled(has_ended_its_side: bool) -> None:
    app = site()
    with trio.fail_after(60):
        async with handing_over(app, timeout=3600) as served:
            async with served.connect() as client:
                await client.send(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
                if has_ended_its_side:
                    client.sock.shutdown(socket.SHUT_WR)
                await trio.testing.wait_all_tasks_blocked(0.01)
                client.reset()
            await served.only(0)
            assert app.config["SLOW"] == "ended"


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(
    "wire", [b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n", POST + b"Content-Length: 50000\r\n\r\nx"]
)
async def test_a_disconnect_in_the_middle_is_not_a_failure(
    wire: bytes, hard: bool, logged: list[EventDict]
) -> None:
    async with handing_over(site(), timeout=3600) as served:
        async with served.connect() as client:
            await client.send(wire)
            await trio.testing.wait_all_tasks_blocked(0.01)
            if hard:
                client.reset()
        await served.only(0)
        assert served.edge.statistics().failures == 0
        assert (await ask(served, GET + b"\r\n")).status == 200
        assert logged == []


async def test_a_big_answer_arrives_whole() -> None:
    async with handing_over(site()) as served:
        answer = await ask(served, b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.body == b" " * BIG


async def test_a_client_that_does_not_read_is_disconnected(mock_clock: trio.testing.MockClock) -> None:
    async with (
        handing_over(site(), timeout=20, send_buffer=10_000) as served,
        served.connect(receive_buffer=10_000) as client,
    ):
        await client.send(b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n")
        await pass_by(mock_clock, 19)
        assert len(served.edge.connections) == 1
        for _ in range(4):  # not once for each piece of the answer
            await pass_by(mock_clock, 21)
        assert len(served.edge.connections) == 0


async def test_a_client_that_does_not_send_its_body_is_disconnected(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with handing_over(site(), timeout=0.5) as served, served.connect() as client:
        await client.send(POST + b"Content-Length: 5\r\n\r\nhe")
        assert (await client.answer()).status == 408
        await served.only(0)


async def test_a_half_closed_client_gets_its_answer() -> None:
    async with handing_over(site()) as served:
        for wire, body in ((GET + b"\r\n", b"page "), (POST + b"Content-Length: 5\r\n\r\nhello", b"5")):
            async with served.connect() as client:
                await client.send(wire)
                client.sock.shutdown(socket.SHUT_WR)
                assert (await client.answer()).body == body
                assert await client.is_closed()
        await served.only(0)


async def test_a_body_that_no_chunked_parser_agrees_on_is_refused_there_too() -> None:
    async with handing_over(site()) as served:
        for chunk in (
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5;;\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nA\r\n\r\n",
        ):
            assert (await ask(served, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)).status == 400


async def test_shutdown_does_not_wait_for_clients() -> None:
    app = site()
    with ExitStack() as clients, trio.fail_after(60):
        async with handing_over(app, timeout=3600, send_buffer=10_000) as served:
            for path in (b"big", b"slow"):
                client = clients.enter_context(socket.create_connection(served.where))
                client.sendall(b"GET /" + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert len(served.edge.connections) == 2
        assert app.config["SLOW"] == "ended"


async def test_the_application_is_started_and_ended_once() -> None:
    happened = []
    app = site()

    @app.before_serving
    async def start() -> None:
        happened.append("start")

    @app.after_serving
    async def end() -> None:
        happened.append("end")

    async with handing_over(app) as served:
        for _ in range(2):
            await ask(served, GET + b"\r\n")
        assert happened == ["start"]
    assert happened == ["start", "end"]


async def test_a_failure_of_the_application_itself_ends_one_connection(
    monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]
) -> None:
    app = site()
    async with handing_over(app) as served, served.connect() as other:
        await other.ask(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")

        def broken(*_: object) -> None:
            raise ValueError("secret")

        monkeypatch.setattr(app, "asgi_http_class", broken)
        async with served.connect() as client:
            await client.send(GET + b"\r\n")
            assert b"secret" not in await client.rest()
        assert (await other.ask(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200


async def test_a_folder_is_redirected_to() -> None:
    async with handing_over(site()) as served:
        answer = await ask(served, b"GET /folder HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status in (307, 308)
        assert answer.headers["location"].endswith("/folder/")


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_describes_none(status: int) -> None:
    app = site()

    @app.get("/bodiless")
    async def bodiless() -> Response:
        return Response(b"", status, {"etag": '"1"'})

    async with handing_over(app) as served:
        answer = await ask(served, b"GET /bodiless HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.headers["etag"]) == (status, '"1"')
        assert not {"content-type", "content-length", "transfer-encoding"} & set(answer.headers)
