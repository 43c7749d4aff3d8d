"""Connections are limited per address."""

from __future__ import annotations

import trio

from liveserver.config import EdgeSettings
from liveserver.edge.connection_limit import ConnectionLimit
from tests.edge.harness import HOST, echo, serving

GET = b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n"


def connection_limit(most: int, *trusted: str) -> ConnectionLimit:
    return ConnectionLimit(EdgeSettings(max_per_address=most, trusted_proxies=list(trusted)))


def test_an_address_has_so_many_and_gets_them_back() -> None:
    limit = connection_limit(2)
    first, second = limit.acquire("192.0.2.1"), limit.acquire("192.0.2.1")
    assert first == second == "192.0.2.1"
    assert limit.acquire("192.0.2.1") is None
    assert limit.acquire("192.0.2.2") == "192.0.2.2"
    assert limit.refused == 1
    limit.release("192.0.2.1")
    assert limit.acquire("192.0.2.1") == "192.0.2.1"


def test_only_addresses_with_connections_are_kept() -> None:
    limit = connection_limit(2)
    for number in range(1000):
        name = limit.acquire(f"192.0.{number % 256}.{number // 256}")
        assert name
        limit.release(name)
    assert len(limit) == 0


def test_an_ipv6_client_does_not_choose_another_address_each_time() -> None:
    limit = connection_limit(1)
    assert limit.acquire("2001:db8::1")
    assert limit.acquire("2001:db8::2") is None
    assert limit.acquire("2001:db8:0:1::1")
    assert limit.acquire("::ffff:192.0.2.1") == "192.0.2.1"
    assert limit.acquire("192.0.2.1") is None


def test_loopback_and_proxies_speak_for_many() -> None:
    limit = connection_limit(1, "10.0.0.0/8")
    for peer in ("127.0.0.1", "::1", "10.1.2.3", "", "not an address"):
        assert [limit.acquire(peer) for _ in range(3)] == ["", "", ""]


def test_without_a_limit_nothing_is_counted() -> None:
    limit = connection_limit(0)
    assert [limit.acquire("192.0.2.1") for _ in range(3)] == ["", "", ""]
    assert len(limit) == 0


async def test_an_address_at_its_limit_is_refused_until_a_connection_ends() -> None:
    async with serving({("GET", "/echo"): echo}, max_per_address=1) as served:
        served.edge.limit._addresses.is_shared = lambda peer: False  # type: ignore[method-assign]
        async with served.connect() as first:
            assert (await first.ask(GET)).status == 200
            async with served.connect() as second:
                assert await second.is_closed()
            assert (await first.ask(GET)).status == 200
            assert served.edge.statistics().turned_away == 1
        with trio.fail_after(1000):
            while len(served.edge.limit):
                await trio.testing.wait_all_tasks_blocked(0.001)
        assert (await served.ask(GET)).status == 200
