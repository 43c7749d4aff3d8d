"""Dispatchers that a DNS name finds: as many as it has addresses, looked up again and again."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

import httpx
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from liveserver.auth.nodes import UNSIGNED
from liveserver.dispatcher_client.addresses import DispatcherAddresses
from liveserver.dispatcher_client.leases import LeaseClient
from liveserver.dispatcher_client.publish import PublishClient
from liveserver.errors import DispatcherError

NAME = "dns+http://dispatchers.test:8111"


class FakeResolver(trio.abc.HostnameResolver):
    """Answers with `addresses`; none: the name does not exist."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.lookups = 0
        self.hangs = False

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.lookups += 1
        assert host == b"dispatchers.test" or host == "dispatchers.test"
        if self.hangs:
            await trio.sleep_forever()
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in self.addresses]

    async def getnameinfo(self, *_: Any) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
async def resolver() -> FakeResolver:
    resolver = FakeResolver("10.0.0.1", "10.0.0.2")
    trio.socket.set_custom_hostname_resolver(resolver)  # of this test's run only
    return resolver


def urls(*numbers: int) -> set[str]:
    return {f"http://10.0.0.{number}:8111" for number in numbers}


def tried(addresses: DispatcherAddresses) -> list[str]:
    return list(addresses.attempts())


async def test_each_address_is_a_dispatcher_and_they_are_followed(
    autojump_clock: MockClock, resolver: FakeResolver
) -> None:
    async with DispatcherAddresses([NAME, "http://given:1/"], 5.0).resolving() as addresses:
        assert set(tried(addresses)) == {*urls(1, 2), "http://given:1"}
        resolver.addresses = ["10.0.0.2", "10.0.0.3", "10.0.0.3"]
        await trio.sleep(7)
        assert set(tried(addresses)) == {*urls(2, 3), "http://given:1"}
        assert len(addresses) == 3


async def test_the_last_known_addresses_are_used_while_the_name_has_none(
    autojump_clock: MockClock, resolver: FakeResolver
) -> None:
    with capture_logs() as lines:
        async with DispatcherAddresses([NAME], 5.0).resolving() as addresses:
            for addresses_now, hangs in (([], False), ([], False), (["10.0.0.9"], True)):
                resolver.addresses, resolver.hangs = addresses_now, hangs
                await trio.sleep(12)
                assert set(tried(addresses)) == urls(1, 2)
            resolver.hangs = False
            await trio.sleep(12)
            assert set(tried(addresses)) == urls(9)
    assert [line["event"] for line in lines] == [
        "dispatchers_changed", "dispatchers_not_resolved", "dispatchers_changed",
    ]  # fmt: skip


async def test_a_name_that_comes_later_is_found(autojump_clock: MockClock, resolver: FakeResolver) -> None:
    resolver.addresses = []
    async with (
        DispatcherAddresses([NAME], 60.0).resolving() as addresses,
        httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client,
    ):
        leases = LeaseClient(client, addresses, UNSIGNED)
        with pytest.raises(DispatcherError, match="no dispatcher's address is known"):
            await leases.withdraw("n", ["v"])
        resolver.addresses = ["10.0.0.4"]
        await trio.sleep(3)  # it was asked for at once, without waiting for the interval
        await leases.withdraw("n", ["v"])


async def test_when_all_have_failed_the_name_is_looked_up_at_once(
    autojump_clock: MockClock, resolver: FakeResolver
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(202 if request.url.host == "10.0.0.7" else 503)

    async with DispatcherAddresses([NAME], 600.0).resolving() as addresses:
        client = PublishClient(httpx.MockTransport(answer), addresses, 3.0, UNSIGNED)
        await trio.sleep(2)
        resolver.addresses = ["10.0.0.7"]
        with pytest.raises(DispatcherError):
            await client.publish(b"[]", retractions=False)
        assert sorted(asked) == ["10.0.0.1", "10.0.0.2"]
        await trio.sleep(0.1)
        assert await client.publish(b"[]", retractions=False) == 0
        lookups = resolver.lookups
        for _ in range(50):  # a storm of failures is no storm of lookups
            tried(addresses)
            await trio.sleep(0.01)
        assert resolver.lookups <= lookups + 1


async def test_a_new_dispatcher_gets_its_share_of_the_clients(
    autojump_clock: MockClock, resolver: FakeResolver
) -> None:
    firsts: Counter[str | None] = Counter()
    for _ in range(300):
        resolver.addresses = ["10.0.0.1", "10.0.0.2"]
        addresses = DispatcherAddresses([NAME])
        await addresses.resolve()
        resolver.addresses.append("10.0.0.3")
        await addresses.resolve()
        firsts[addresses.first] += 1
    assert all(50 < firsts[url] < 150 for url in urls(1, 2, 3))


async def test_a_certificate_is_verified_for_the_name(resolver: FakeResolver) -> None:
    addresses = DispatcherAddresses(["dns+https://dispatchers.test", "https://di9"])
    await addresses.resolve()
    assert addresses.extensions("https://10.0.0.1:443") == {"sni_hostname": "dispatchers.test"}
    assert addresses.extensions("https://di9") == {}
