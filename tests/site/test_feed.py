"""The site's log at a node: folding, handling once, and behaviour when the log is lost."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.auth.grant import Grant
from liveserver.auth.revocations import Revocation, Revocations
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import DispatcherSettings, HistorySettings
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.errors import BusError, DispatcherError
from liveserver.event import SITE
from liveserver.site.desk import SiteDesk
from liveserver.site.feed import SiteFeed
from tests.auth.harness import Clock

HOUR = 3_600_000  # ms


class Losing(MemoryBus):
    """A bus that may be away, and may lose all it has."""

    is_away = has_no_state = False

    async def read_several(self, *args: Any) -> Any:
        if self.is_away:
            raise BusError("away")
        return await super().read_several(*args)

    async def state(self, video: str) -> list[bytes]:
        if self.has_no_state:
            raise BusError("away")
        return await super().state(video)

    def lose(self) -> None:
        self._videos.clear()


class Refusing:
    """A dispatcher that may refuse all."""

    is_refusing = False

    def __init__(self, target: LocalDispatcher) -> None:
        self._target = target

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        if self.is_refusing:
            raise DispatcherError("no")
        return await self._target.publish(body, retractions=retractions)


class Listener:
    """Records the calls of a feed."""

    def __init__(self) -> None:
        self.revoked = self.banned = 0
        self.users: list[str] = []

    async def on_revoked(self) -> None:
        self.revoked += 1

    async def on_banned(self) -> None:
        self.banned += 1

    async def on_disconnected(self, users: frozenset[str]) -> None:
        self.users += sorted(users)


class Site:
    """A dispatcher, its desk, and nodes that follow."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.clock = Clock()
        self.bus = Losing("dc1", HistorySettings(), 100)
        publisher = Publisher(self.bus, "dc1", DispatcherSettings())
        nursery.start_soon(publisher.run)
        parser = Parser(DispatcherSettings(), self.clock)
        self.local = LocalDispatcher(parser, publisher, Subscriptions(self.bus, 30))

    def desk(self, revocations: Revocations, idle_ttl: float = 86_400) -> SiteDesk:
        return SiteDesk(self.local, revocations, idle_ttl, self.clock)

    async def node(self, *, keeps: bool = False) -> tuple[Revocations, Listener, SiteDesk]:
        revocations, listener = Revocations(self.clock), Listener()
        desk = self.desk(revocations)
        feed = SiteFeed(self.bus, revocations, 0.25, desk.keep if keeps else None)
        feed.add_listener(listener)
        self.nursery.start_soon(feed.run)
        assert await feed.wait_ready(5)
        return revocations, listener, desk

    @property
    def now(self) -> int:
        return int(self.clock() * 1000)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    async with trio.open_nursery() as nursery:
        yield Site(nursery)
        nursery.cancel_scope.cancel()


def grant(**values: Any) -> Grant:
    return Grant(is_viewer=True, **values)


async def test_a_revocation_holds_until_its_time_is_over_everywhere(autojump_clock: MockClock) -> None:
    async with site() as on:
        revocations, listener, _ = await on.node()
        keeping, _, desk = await on.node(keeps=True)
        await desk.revoke(Revocation(on.now + 30_000, token="t1"), "site")
        await desk.revoke(Revocation(on.now + HOUR, user="ada", before=on.now), "site")
        await trio.sleep(1)
        assert listener.revoked == 1  # for what came together
        for table in (revocations, keeping):
            assert table.is_revoked(grant(token_id="t1"))
            assert table.is_revoked(grant(user="ada", issued=on.clock() - 60))
            assert not table.is_revoked(grant(user="ada", issued=on.clock() + 60, token_id="t2"))
            assert not table.is_revoked(Grant(user="ada"))  # of a key, not a token
        await trio.sleep(60)
        assert [each.user for each in revocations] == ["ada"]
        assert not revocations.is_revoked(grant(token_id="t1"))
        lines = await on.bus.state(SITE)
        assert sum(b";c " in line for line in lines) == 1  # the dispatcher has cleared it


async def test_a_node_that_comes_later_knows_them(autojump_clock: MockClock) -> None:
    async with site() as on:
        _, _, desk = await on.node()
        await desk.revoke(Revocation(on.now + HOUR, token="Ümläut / of 'ada'"), "site")
        await desk.disconnect("ada", "site")
        await trio.sleep(1)
        late, listener, _ = await on.node()
        assert late.is_revoked(grant(token_id="Ümläut / of 'ada'"))
        await trio.sleep(1)
        assert listener.users == []


async def test_a_disconnection_counts_once_also_in_a_log_that_began_anew(autojump_clock: MockClock) -> None:
    async with site() as on:
        _, listener, desk = await on.node()
        await desk.disconnect("ada", "site")
        await desk.disconnect("bob", "site")
        await trio.sleep(1)
        assert listener.users == ["ada", "bob"]
        await desk.disconnect("ada", "site")
        await trio.sleep(1)
        assert listener.users == ["ada", "bob", "ada"]
        on.bus.lose()
        await desk.disconnect("eve", "site")
        await trio.sleep(1)
        assert listener.users == ["ada", "bob", "ada", "eve"]


async def test_what_a_log_has_lost_is_published_again(autojump_clock: MockClock) -> None:
    async with site() as on:
        one, _, desk = await on.node(keeps=True)
        two, _, _ = await on.node(keeps=True)
        await desk.revoke(Revocation(on.now + HOUR, token="t1"), "site")
        await trio.sleep(1)
        on.bus.lose()
        await trio.sleep(1)
        late, _, _ = await on.node()
        for table in (one, two, late):
            assert table.is_revoked(grant(token_id="t1"))
        lines = await on.bus.state(SITE)
        assert len(lines) == 1
        assert msgspec.json.decode(lines[0].partition(b" ")[2])["by"] == "site"


async def test_what_a_log_has_lost_is_published_again_although_its_state_is_away_first(
    autojump_clock: MockClock,
) -> None:
    async with site() as on:
        _, _, desk = await on.node(keeps=True)
        await desk.revoke(Revocation(on.now + HOUR, token="t1"), "site")
        await trio.sleep(1)
        on.bus.lose()
        on.bus.has_no_state = True
        await trio.sleep(1)
        on.bus.has_no_state = False
        await trio.sleep(1)
        assert len(await on.bus.state(SITE)) == 1


async def test_what_could_not_be_published_again_is_tried_again(autojump_clock: MockClock) -> None:
    async with site() as on:
        revocations = Revocations(on.clock)
        desk = SiteDesk(target := Refusing(on.local), revocations, 86_400, on.clock)
        feed = SiteFeed(on.bus, revocations, 0.25, desk.keep)
        on.nursery.start_soon(feed.run)
        await desk.revoke(Revocation(on.now + HOUR, token="t1"), "site")
        await trio.sleep(1)
        target.is_refusing = True
        on.bus.lose()
        await trio.sleep(30)
        assert await on.bus.state(SITE) == []
        target.is_refusing = False
        await trio.sleep(30)
        assert len(await on.bus.state(SITE)) == 1


async def test_a_log_that_is_shorter_than_it_was_has_lost_something(autojump_clock: MockClock) -> None:
    """A Redis with older data has the epoch that was known, until the next event."""
    async with site() as on:
        _, _, desk = await on.node(keeps=True)
        await desk.revoke(Revocation(on.now + HOUR, token="t1"), "site")
        await trio.sleep(1)
        older = copy.deepcopy(on.bus._videos)
        await desk.revoke(Revocation(on.now + HOUR, token="t2"), "site")
        await trio.sleep(1)
        on.bus._videos.clear()
        on.bus._videos.update(older)
        await trio.sleep(1)
        assert len(await on.bus.state(SITE)) == 2


async def test_while_the_log_is_away_what_was_known_holds(autojump_clock: MockClock) -> None:
    async with site() as on:
        revocations, _, desk = await on.node()
        await desk.revoke(Revocation(on.now + HOUR, token="t1"), "site")
        await trio.sleep(1)
        on.bus.is_away = True
        await trio.sleep(30)
        assert revocations.is_revoked(grant(token_id="t1"))
        feed = SiteFeed(on.bus, Revocations(on.clock), 0.25)
        on.nursery.start_soon(feed.run)
        assert not await feed.wait_ready(1)
        assert feed.statistics().failures > 1
        on.bus.is_away = False
        assert await feed.wait_ready(1)


async def test_a_revocation_that_is_lifted_may_be_made_again(autojump_clock: MockClock) -> None:
    async with site() as on:
        revocations, _, desk = await on.node()
        for _ in range(2):
            await desk.revoke(Revocation(on.now + HOUR, token="t1"), "site")
            on.clock.ahead -= 3600  # clocks decide nothing
            await trio.sleep(1)
            on.clock.ahead += 3600
            assert revocations.is_revoked(grant(token_id="t1"))
            await desk.lift("revoked/token/t1", "site")
            await trio.sleep(1)
            assert not revocations.is_revoked(grant(token_id="t1"))


async def test_a_quiet_log_is_kept(autojump_clock: MockClock) -> None:
    async with site() as on:
        revocations = Revocations(on.clock)
        desk = on.desk(revocations, idle_ttl=400)
        feed = SiteFeed(on.bus, revocations, 0.25, desk.keep)
        on.nursery.start_soon(feed.run)
        await trio.sleep(350)
        head = (await on.bus.read(SITE, 0, 100)).head
        assert 2 <= head.offset <= 3


@pytest.mark.parametrize(
    "line",
    [
        b"x {}",
        b"disconnection {}",
        b'disconnection {"id":"x","data":{"user":1}}',
        b'disconnection {"id":"x"',
        b';revocation;revoked/token/t;1;1; {"id":"x","data":{"until":9}}',
        b';revocation;revoked/token/t;1;1; {"id":"x","data":{"token":"other","until":9}}',
        b';revocation;revoked/token/t;1;1; {"id":"x","data":7}',
        b";revocation;nonsense",
    ],
)
async def test_what_is_malformed_says_nothing(line: bytes) -> None:
    revocations, listener = Revocations(), Listener()
    feed = SiteFeed(MemoryBus("dc1", HistorySettings(), 1), revocations, 1)
    feed.add_listener(listener)
    await feed._take([line])
    assert (len(revocations), listener.revoked, listener.users) == (0, 0, [])
