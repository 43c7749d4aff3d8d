"""The server: which connections are accepted, which wait, and that open ones do not suffer from it."""

from __future__ import annotations

import errno
import gc
import socket

import pytest
import trio
import trio.testing

from liveserver.config import Address
from liveserver.edge import server
from liveserver.edge.answer import Answer, Handler, Peer, StreamResponse
from liveserver.edge.connection import Connection
from liveserver.edge.listener import listen
from liveserver.edge.request import Request
from liveserver.edge.server import ACCEPT_BURST
from liveserver.errors import Unavailable
from tests.edge.harness import HOST, Later, echo, serving

ECHO = {("GET", "/echo"): echo}
GET = b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n"


class Failing(socket.socket):
    """A listener whose next accepts fail."""

    errors: list[int]

    @classmethod
    def listening(cls, *errors: int) -> Failing:
        made = cls(fileno=listen(Address("127.0.0.1:0"), 100).detach())
        made.setblocking(False)
        made.errors = list(errors)
        return made

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            raise OSError(self.errors.pop(0), "no")
        return super().accept()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_accepting_pauses_without_descriptors_and_resumes(error: int) -> None:
    listener = Failing.listening()
    async with serving(ECHO, listener=listener) as served, served.connect() as first:
        await first.ask(GET)
        await first.send(GET[:5])  # in the middle of a request: it is not idle
        listener.errors = [error] * 3
        async with served.connect() as second:
            await second.send(GET)
            assert (await first.ask(GET[5:])).status == 200
            assert (await second.answer()).status == 200
        assert served.edge.statistics().paused == 3
        assert listener.errors == []


async def test_a_pause_costs_no_turns(autojump_clock: trio.testing.MockClock) -> None:
    listener = Failing.listening(*[errno.EMFILE] * 10)
    async with serving(ECHO, listener=listener) as served:
        began = trio.current_time()
        assert (await served.ask(GET)).status == 200
        assert trio.current_time() - began == pytest.approx(10 * server.PAUSE)


async def test_a_client_that_disconnects_before_it_is_accepted_causes_no_pause() -> None:
    listener = Failing.listening(errno.ECONNABORTED, errno.EPERM)
    async with serving(ECHO, listener=listener) as served:
        assert (await served.ask(GET)).status == 200
        assert served.edge.statistics().paused == 0


async def test_more_connections_than_a_burst_are_accepted_over_time() -> None:
    async with serving(ECHO) as served, trio.open_nursery() as nursery:

        async def one() -> None:
            assert (await served.ask(GET)).status == 200

        for _ in range(2 * ACCEPT_BURST):
            nursery.start_soon(one)


async def test_a_storm_of_connections_is_accepted_at_the_configured_rate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(ECHO, accept_rate=100) as served, trio.open_nursery() as nursery:
        began = trio.current_time()

        async def one() -> None:
            assert (await served.ask(GET)).status == 200

        for _ in range(5 * ACCEPT_BURST):
            nursery.start_soon(one)
        async with served.connect() as first:
            for _ in range(3):  # who is in is served meanwhile
                assert (await first.ask(GET)).status == 200
    assert trio.current_time() - began >= 5 * ACCEPT_BURST / 100 - 1


async def test_a_connection_over_the_limit_is_answered_and_closed() -> None:
    async def refuse(request: Request, peer: Peer) -> Answer:
        if served.edge.is_full:
            raise Unavailable("full")
        return await echo(request, peer)

    async with serving({("GET", "/echo"): refuse}, max_connections=1) as served, served.connect() as first:
        assert (await first.ask(GET)).status == 200
        await first.send(GET[:5])  # in the middle of a request: it is not idle
        async with served.connect() as second:
            answer = await second.ask(GET)
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert int(answer.headers["retry-after"]) >= 1
            assert await second.is_closed()
        await served.only(1)
        assert not served.edge.is_full
        assert (await served.ask(GET)).status == 503
        assert (await first.ask(GET[5:])).status == 200


async def test_at_the_limit_idle_connections_make_room(autojump_clock: trio.testing.MockClock) -> None:
    async with (
        serving(ECHO, max_connections=3) as served,
        served.connect() as busy,
        served.connect() as older,
        served.connect() as newer,
    ):
        await busy.ask(GET)
        await busy.send(GET[:5])
        for client in (older, newer):
            await client.ask(GET)
            await trio.sleep(1)
        assert (await served.ask(GET)).status == 200
        assert await older.is_closed()
        assert (await busy.ask(GET[5:])).status == 200
        assert served.edge.statistics().paused == 0


class Heartbeats(StreamResponse):
    """A stream that the sweep is to call in time."""

    async def wait_gone(self) -> None:
        await trio.sleep_forever()


async def stream(request: Request, peer: Peer) -> Answer:
    peer.deadline = trio.current_time() + 15
    return Heartbeats()


async def write_slowly(request: Request, peer: Peer) -> Answer:
    return b"HTTP/1.1 200 \r\ncontent-length: 9000000\r\n\r\n" + bytes(9_000_000)


async def defer(request: Request, peer: Peer) -> Answer:
    peer.deadline = trio.current_time() + 60
    return Later(peer)


@pytest.mark.parametrize("handler", [stream, write_slowly, defer])
async def test_at_the_limit_clients_that_are_served_make_no_room(
    handler: Handler, autojump_clock: trio.testing.MockClock
) -> None:
    """Their deadlines are not those of idle connections."""
    async with (
        serving(ECHO | {("GET", "/busy"): handler}, max_connections=1) as served,
        served.connect(receive_buffer=4096) as busy,
    ):
        await busy.send(GET.replace(b"/echo", b"/busy"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        for _ in range(2):
            await trio.sleep(5)
            await served.ask(GET)
            await served.only(1)
        assert len(served.edge.connections) == 1
        assert served.edge.statistics().reaped == 0


async def test_at_the_limit_an_answered_poll_makes_room(autojump_clock: trio.testing.MockClock) -> None:
    laters: list[Later] = []

    async def poll(request: Request, peer: Peer) -> Answer:
        laters.append(Later(peer))
        return laters[-1]

    async with (
        serving(ECHO | {("GET", "/poll"): poll}, max_connections=1) as served,
        served.connect() as client,
    ):
        await client.send(GET.replace(b"/echo", b"/poll"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        laters[0].write()
        assert (await client.answer()).status == 200
        await trio.sleep(2)
        await served.ask(GET)
        assert await client.is_closed()
        assert served.edge.statistics().reaped == 1


async def test_beyond_the_reserve_a_connection_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RESERVE", 1)
    async with serving(ECHO, max_connections=1) as served, served.connect() as first:
        await first.ask(GET)
        await first.send(GET[:5])
        async with served.connect() as second, served.connect() as third:
            await second.ask(GET)
            await second.send(GET[:5])
            await third.send(GET)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert served.edge.statistics().accepted == 2
            assert (await first.ask(GET[5:])).status == 200
            await second.stream.aclose()
            assert (await third.answer()).status == 200
            assert served.edge.statistics().paused >= 1


async def test_stopping_to_accept_keeps_open_connections() -> None:
    async with serving(ECHO) as served, served.connect() as client:
        await client.ask(GET)
        served.edge.stop_accepting()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ConnectionRefusedError):
            await served.ask(GET)
        assert (await client.ask(GET)).status == 200


async def test_stopping_may_come_first() -> None:
    listener = listen(Address("127.0.0.1:0"), 1)
    async with serving(ECHO, listener=listener) as served:
        served.edge.stop_accepting()
        await trio.testing.wait_all_tasks_blocked()
        assert listener.fileno() == -1


async def test_finishing_answers_open_requests_and_closes_idle_connections(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(request: Request, peer: Peer) -> Answer:
        await trio.sleep(0.7)
        return await echo(request, peer)

    async with (
        serving(ECHO | {("GET", "/slow"): slow}) as served,
        served.connect() as idle,
        served.connect() as busy,
        served.connect() as active,
    ):
        for client in (idle, busy, active):
            assert (await client.ask(GET)).status == 200
        await busy.send(GET.replace(b"/echo", b"/slow"))
        await trio.testing.wait_all_tasks_blocked(0.1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.edge.finish, 1.0)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert (await active.ask(GET)).headers["connection"] == "close"
            assert (await busy.answer()).status == 200
        assert served.edge.connections == set()
        for client in (idle, busy, active):
            assert await client.is_closed()


async def test_finishing_is_bounded_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async def never(request: Request, peer: Peer) -> Answer:
        await trio.sleep_forever()
        raise AssertionError

    async with serving({("GET", "/echo"): never}) as served, served.connect() as client:
        await client.send(GET)
        await trio.testing.wait_all_tasks_blocked(0.1)
        began = trio.current_time()
        await served.edge.finish(1.0)
        assert trio.current_time() - began == pytest.approx(1.0)


async def test_cancelling_closes_every_socket() -> None:
    laters: list[Later] = []

    async def later(request: Request, peer: Peer) -> Answer:
        laters.append(Later(peer))
        return laters[-1]

    async def sleep(request: Request, peer: Peer) -> Answer:
        await trio.sleep(80_000)
        return b""

    routes = {**ECHO, ("GET", "/later"): later, ("GET", "/sleep"): sleep}
    listener = listen(Address("127.0.0.1:0"), 100)
    clients: list[socket.socket] = []
    async with serving(routes, listener=listener) as served:
        for said in (b"", GET, GET[:10], GET.replace(b"echo", b"later"), GET.replace(b"echo", b"sleep")):
            client = socket.create_connection(served.where)
            clients.append(client)
            client.sendall(said)
        await trio.testing.wait_all_tasks_blocked(0.01)
        connections = [each for each in served.edge.connections if isinstance(each, Connection)]
        assert len(connections) == 5
    assert int(listener.fileno()) == -1
    assert [connection.sock.fileno() for connection in connections] == [-1] * 5
    assert served.edge.connections == set()
    for client in clients:
        client.close()
    gc.collect()  # a socket that was forgotten would warn now


async def test_deadlines_are_swept_all_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with (
        serving(ECHO, header_timeout=10, keep_alive=75) as served,
        served.connect() as slow,
        served.connect() as idle,
        served.connect() as busy,
    ):
        for client in (slow, idle, busy):
            await client.ask(GET)
        await slow.send(GET[:10])
        for _ in range(5):
            await trio.sleep(20)
            assert (await busy.ask(GET)).status == 200
        assert (await slow.answer()).status == 408
        assert await idle.is_closed()
        statistics = served.edge.statistics()
        assert (statistics.expired, statistics.connections, statistics.accepted) == (2, 1, 3)
