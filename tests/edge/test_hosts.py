"""Accepted host names, so that pages of other sites cannot reach a local server."""

from __future__ import annotations

import pytest

from liveserver.edge.hosts import AllowedHosts
from liveserver.errors import Misdirected
from tests.edge.harness import echo, serving

LOCAL = [
    b"localhost", b"LOCALHOST:8000", b"localhost.", b"a.localhost", b"127.0.0.1", b"127.0.0.1:8000",
    b"127.1.2.3:1", b"[::1]", b"[::1]:8000", None,
]  # fmt: skip
FOREIGN = [
    b"evil.example", b"evil.example:8000", b"localhost.evil.example", b"127.0.0.1.evil.example", b"10.0.0.1",
    b"0.0.0.0", b"[2001:db8::1]", b"evillocalhost", b"", b"192.168.0.1:8000", b"127.0.0.1evil", b"[::1",
    b"2130706433",
]  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_names_of_this_machine_are_answered_for_wherever_it_listens(host: bytes | None) -> None:
    for allowed in ([], ["live.example"], ["*"]):
        for is_local in (True, False):
            AllowedHosts(allowed, is_local=is_local).check(host)


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_refused_on_loopback_unless_they_are_configured(host: bytes) -> None:
    hosts = AllowedHosts([], is_local=True)
    for _ in range(2):  # also when it was asked before
        with pytest.raises(Misdirected, match=r"edge\.allow_hosts"):
            hosts.check(host)
    AllowedHosts([], is_local=False).check(host)
    AllowedHosts(["*"], is_local=True).check(host)


def test_configured_names_with_any_port_and_wildcards() -> None:
    hosts = AllowedHosts(["Live.example", "*.video.example"], is_local=False)
    for host in (
        b"live.example",
        b"LIVE.example:443",
        b"a.video.example",
        b"a.b.video.example:1",
        b"localhost",
    ):
        hosts.check(host)
    for host in (b"example", b"alive.example", b"video.example", b"a.live.example", b"evilvideo.example"):
        with pytest.raises(Misdirected):
            hosts.check(host)


async def test_a_page_of_another_name_reaches_nothing() -> None:
    hosts = AllowedHosts([], is_local=True)
    async with serving({("GET", "/echo"): echo, ("POST", "/echo"): echo}, hosts=hosts) as served:
        for path in (b"/echo", b"/page"):
            answer = await served.ask(
                b"POST " + path + b" HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n"
            )
            assert answer.status == 421
            assert "edge.allow_hosts" in answer.detail
        assert served.handed_over == []
        assert (await served.ask(b"GET /echo HTTP/1.1\r\nHost: localhost:8000\r\n\r\n")).status == 200


@pytest.mark.parametrize("path", [b"/echo", b"/page"])
async def test_a_target_that_names_another_host_is_not_what_host_says(path: bytes) -> None:
    """Two readers of the request would answer for two hosts (RFC 9112 §3.2.2)."""
    hosts = AllowedHosts([], is_local=True)
    async with serving({("POST", "/echo"): echo}, hosts=hosts) as served:
        for target in (b"http://evil.example", b"http://evil.example:8000", b"HTTP://evil.example"):
            answer = await served.ask(b"POST " + target + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.status == 421
        assert served.handed_over == []
