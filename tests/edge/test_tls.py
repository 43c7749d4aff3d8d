"""The TLS port: the same server behind a handshake, and a certificate that may change at any time."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing
from structlog.typing import EventDict
from trio.testing import MockClock

from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.tls import CertificateExpired, TLSAcceptor
from tests.edge.authority import YESTERDAY, Authority
from tests.edge.harness import HOST, Client, Later, echo, pass_by, serving

ECHO = b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n"
ROUTES = {("GET", "/echo"): echo, ("POST", "/echo"): echo}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def tls(client: Client) -> trio.SSLStream[trio.SocketStream]:
    assert isinstance(client.stream, trio.SSLStream)
    return client.stream


def shown(client: Client) -> str:
    """The certificate that the server showed."""
    der = tls(client).getpeercert(binary_form=True)
    assert isinstance(der, bytes)
    return der.hex()


async def test_requests_are_answered_as_over_the_plain_port(authority: Authority) -> None:
    body = b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000
    async with serving(ROUTES, acceptor=authority.acceptor()) as served:
        async with served.connect_tls(authority.trust("http/1.1")) as client:
            assert [(await client.ask(each)).status for each in (ECHO, body, ECHO)] == [200] * 3
            assert tls(client).version() == "TLSv1.3"
            await client.send(ECHO * 3)
            assert [(await client.answer()).status for _ in range(3)] == [200] * 3
            await client.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            assert (await client.answer()).status == 200
            assert await client.rest() == b""  # said goodbye to: anything else would be an error here
        assert (await served.ask(ECHO)).status == 200
        await served.only(0)
        assert served.edge.statistics().failures == 0


async def test_an_answer_larger_than_the_socket_buffer_arrives_whole(authority: Authority) -> None:
    big = json_response(200, b'"' + bytes(range(35, 91)) * 60_000 + b'"')

    async def answer(request: Request, peer: Peer) -> Answer:
        return big

    async with (
        serving({("GET", "/big"): answer}, acceptor=authority.acceptor(), send_buffer=4096) as served,
        served.connect_tls(authority.trust(), receive_buffer=4096) as client,
    ):
        for _ in range(2):
            await client.send(b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n")
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert (await client.answer()).body == big.partition(b"\r\n\r\n")[2]


async def test_answers_that_come_later_come_over_tls_too(authority: Authority) -> None:
    waiting: list[Later] = []

    async def later(request: Request, peer: Peer) -> Answer:
        waiting.append(Later(peer))
        return waiting[-1]

    async with (
        serving({("GET", "/later"): later}, acceptor=authority.acceptor()) as served,
        served.connect_tls(authority.trust()) as client,
    ):
        await client.send(b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n")
        while not waiting:
            await trio.testing.wait_all_tasks_blocked(0.01)
        waiting[0].write(b"[1]")
        assert (await client.answer()).body == b"[1]"


async def test_an_unfinished_handshake_is_aborted_and_delays_no_other(
    authority: Authority, mock_clock: MockClock
) -> None:
    async with serving(ROUTES, acceptor=(acceptor := authority.acceptor(handshake_timeout="3s"))) as served:
        async with (
            served.connect_tls(authority.trust()) as silent,
            served.connect_tls(authority.trust()) as slow,
            served.connect_tls(authority.trust()) as wrong,
            served.connect_tls(authority.trust()) as quick,
        ):
            await slow.send_plainly(b"\x16\x03\x01\x02")  # the beginning of a ClientHello
            await wrong.send_plainly(ECHO)
            assert (await quick.ask(ECHO)).status == 200
            assert acceptor.statistics().handshaking == 2
            await pass_by(mock_clock, 2)
            await slow.send_plainly(b"\x00")  # buys no time
            await pass_by(mock_clock, 2)
            assert await silent.is_closed_plainly()
            assert await slow.is_closed_plainly()
            assert (await quick.ask(ECHO)).status == 200
        statistics = acceptor.statistics()
        assert (statistics.handshakes, statistics.handshakes_failed, statistics.handshaking) == (1, 3, 0)
        assert served.edge.statistics().expired == 2
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not served.edge.connections


async def test_many_handshakes_at_once_all_come_about(authority: Authority) -> None:
    async with serving(ROUTES, acceptor=(acceptor := authority.acceptor())) as served:

        async def come() -> None:
            async with served.connect_tls(authority.trust()) as client:
                assert (await client.ask(ECHO)).status == 200

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(come)
        assert acceptor.statistics().handshakes == 60


async def test_versions_below_the_least_are_refused(authority: Authority) -> None:
    old = authority.trust()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(ROUTES, acceptor=authority.acceptor()) as served, served.connect_tls(old) as client:
        assert (await client.ask(ECHO)).status == 200
        assert tls(client).version() == "TLSv1.2"
    async with serving(ROUTES, acceptor=(acceptor := authority.acceptor(minimum_version="1.3"))) as served:
        async with served.connect_tls(old) as client:
            with pytest.raises(trio.BrokenResourceError):
                await client.send(ECHO)
        await served.only(0)
        assert acceptor.statistics().handshakes_failed == 1


async def test_a_new_certificate_is_for_new_connections(authority: Authority) -> None:
    async with (
        serving(ROUTES, acceptor=(acceptor := authority.acceptor())) as served,
        served.connect_tls(authority.trust()) as early,
    ):
        await early.ask(ECHO)
        first = shown(early)
        second = authority.issue()
        assert second != first
        acceptor.check_files()  # the files may be half written yet
        assert acceptor.statistics().reloads == 0
        acceptor.check_files()
        acceptor.check_files()
        assert acceptor.statistics().reloads == 1
        async with served.connect_tls(authority.trust()) as late:
            assert (await late.ask(ECHO)).status == 200
            assert shown(late) == second
        assert (await early.ask(ECHO)).status == 200
        assert await acceptor.check() == ""


async def test_the_files_are_looked_at_by_themselves(authority: Authority, autojump_clock: MockClock) -> None:
    async with serving(ROUTES, acceptor=(acceptor := authority.acceptor(reload="5s"))):
        authority.issue()
        await trio.sleep(11)
        assert acceptor.statistics().reloads == 1


@pytest.mark.parametrize("broken", ["rubbish", "foreign key", "gone"])
async def test_a_certificate_that_cannot_be_used_changes_nothing(
    authority: Authority, tmp_path: Path, logged: list[EventDict], broken: str
) -> None:
    async with serving(ROUTES, acceptor=(acceptor := authority.acceptor())) as served:
        if broken == "rubbish":
            authority.certificate.write_text("rubbish")
        elif broken == "gone":
            authority.certificate.unlink()
        else:
            key = authority.key.read_bytes()
            authority.issue()
            authority.key.write_bytes(key)
        for _ in range(3):
            acceptor.check_files()
        async with served.connect_tls(authority.trust()) as client:
            assert (await client.ask(ECHO)).status == 200
        assert (acceptor.statistics().reloads, acceptor.statistics().reloads_failed) == (0, 1)
        assert "cannot be used" in await acceptor.check()
        assert [entry["log_level"] for entry in logged] == ["warning"]
        authority.issue()
        acceptor.check_files()
        acceptor.check_files()
        assert acceptor.statistics().reloads == 1
        assert await acceptor.check() == ""


async def test_an_expired_certificate_is_no_longer_ready(authority: Authority) -> None:
    authority.issue(expires=YESTERDAY)
    acceptor = authority.acceptor()
    assert acceptor.statistics().certificate_expires == YESTERDAY.timestamp()
    with pytest.raises(CertificateExpired, match="2020-01-01"):
        await acceptor.check()


def test_links_are_followed(authority: Authority, tmp_path: Path) -> None:
    """As tools that renew certificates do: the names stay, what they lead to changes."""
    for name in ("certificate", "key"):
        os.symlink(getattr(authority, name), tmp_path / name)
    settings = authority.settings(certificate=str(tmp_path / "certificate"), key=str(tmp_path / "key"))
    acceptor = TLSAcceptor(settings)
    other = tmp_path / "other"
    other.mkdir()
    renewed = Authority(other)
    for name in ("certificate", "key"):
        os.symlink(getattr(renewed, name), tmp_path / f"{name}.new")
        os.replace(tmp_path / f"{name}.new", tmp_path / name)
    acceptor.check_files()
    acceptor.check_files()
    assert acceptor.statistics().reloads == 1
