"""Redis comes back with older data, or another server takes its place: no number is given twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import redis
import trio

from liveserver.bus.redis import bus as redis_bus
from liveserver.bus.redis.bus import RedisBus
from liveserver.bus.redis.known_heads import KnownHeads
from liveserver.cluster.redis_server import RedisServer
from liveserver.config import BusSettings, HistorySettings
from liveserver.event import Batch
from tests.bus.redis_harness import append, append_at_last, lines, next_batches, open_bus, silence
from tests.conftest import Until


class Saved:
    """A Redis whose data can be set back to a copy."""

    def __init__(self, server: RedisServer, copy: Path) -> None:
        self.server = server
        self._copy = copy

    def save(self) -> None:
        """Keep what it would come back with if it were killed now."""
        with redis.Redis.from_url(self.server.url) as client:
            client.save()
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.server.directory, self._copy)

    def kill(self) -> None:
        self.server.process.kill()
        self.server.process.wait()

    async def come_back(self) -> None:
        """Start it with the copy."""
        shutil.rmtree(self.server.directory)
        shutil.copytree(self._copy, self.server.directory)
        self.server.start()
        await self.server.wait_ready()

    async def lose(self) -> None:
        self.kill()
        await self.come_back()


@pytest.fixture
async def saved(own_redis: RedisServer, tmp_path: Path) -> Saved:
    return Saved(own_redis, tmp_path / "copy")


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing members are waited for half a second."""
    monkeypatch.setattr(redis_bus, "settling", lambda timeout: 0.5)


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are waited for longer than any test takes."""
    monkeypatch.setattr(redis_bus, "settling", lambda timeout: 1_000.0)


async def test_a_listener_that_is_new_reports_what_was_known_before(saved: Saved, long_wait: None) -> None:
    """What is known is the process's, not the listener's: a lost canary opens another one."""
    async with open_bus(saved.server.url) as behind, open_bus(saved.server.url) as ahead:
        async with behind.inbox("b"), ahead.inbox("n") as inbox:
            await ahead.subscribe("n", {"v": 1}, 60)
            before = await append(behind, "t1", "a", "b")
            saved.save()
            await append(ahead, "t2", "c", "d")
            while not any(batch.last == 4 for batch in await next_batches(inbox)):
                pass
            saved.kill()
        await saved.come_back()
        async with behind.inbox("b"), ahead.inbox("n"):
            after = await append_at_last(behind, "t3", "e")
        assert after.epoch != before.epoch
        assert (after.first, await lines(behind)) == (1, ["e"])


async def test_a_member_that_does_not_come_back_may_have_known_more(saved: Saved, short_wait: None) -> None:
    async with (
        open_bus(saved.server.url) as stays,
        open_bus(saved.server.url) as gone,
        stays.inbox("n"),
        gone.inbox("m"),
    ):
        await append(gone, "t0", "a")
        before = await append(stays, "t1", "b")
        saved.save()
        await append(gone, "t2", "c")  # no other process has received it
        saved.kill()
        silence(gone)
        await saved.come_back()
        after = await append_at_last(stays, "t3", "d")
        assert after.epoch != before.epoch


async def test_members_that_left_are_not_waited_for(saved: Saved, long_wait: None) -> None:
    """A restart that keeps the data goes on in the same epoch, as soon as all who are there have reported."""
    async with open_bus(saved.server.url) as bus, bus.inbox("n"):
        async with open_bus(saved.server.url) as leaves, leaves.inbox("m"):
            await append(leaves, "t1", "a")
        before = await append(bus, "t2", "b")
        saved.save()
        await saved.lose()
        after = await append_at_last(bus, "t3", "c")
        assert (after.epoch, after.first) == (before.epoch, 3)
        assert await lines(bus) == ["a", "b", "c"]


async def test_members_that_were_killed_are_dropped(redis_server: str, until: Until) -> None:
    with redis.Redis.from_url(redis_server) as client:
        async with open_bus(redis_server) as bus, bus.inbox("n"):
            await append(bus, "t", "a")
            view = client.hget("ls:run", "view")
            client.hset("ls:members", "killed", "whenever")

            async def only_one() -> bool:
                return list(client.hgetall("ls:members")) == [bus._membership.process.encode()]

            await until(only_one)
            assert client.hget("ls:run", "view") != view
        assert not client.exists("ls:members")


async def test_an_epoch_that_was_left_does_not_come_back(saved: Saved, long_wait: None) -> None:
    """The same data is lost twice: the numbers of the first epoch were reported in between."""
    async with open_bus(saved.server.url) as bus, bus.inbox("n"):
        first = await append(bus, "t1", "a", "b", "c")
        saved.save()
        await append(bus, "t2", "d", "e")
        epochs = [first.epoch]
        for token in ("t3", "t4", "t5"):
            await saved.lose()
            after = await append_at_last(bus, token, "z")
            assert after.first == 1
            epochs.append(after.epoch)
        assert len(set(epochs)) == 4
        assert epochs == sorted(epochs)


async def test_data_from_before_the_first_event_is_not_taken_for_whole(
    saved: Saved, long_wait: None, until: Until
) -> None:
    """A snapshot from between the first subscription and the first event."""

    async def both_are_members() -> bool:
        with redis.Redis.from_url(saved.server.url) as client:
            return bool(client.hlen("ls:members") == 2)

    async with (
        open_bus(saved.server.url) as ahead,
        open_bus(saved.server.url) as behind,
        ahead.inbox("n"),
        behind.inbox("m"),
    ):
        await behind.subscribe("m", {"v": 1}, 60)
        await until(both_are_members)
        saved.save()
        before = await append(ahead, "t1", "a", "b")
        await saved.lose()
        after = await append_at_last(behind, "t2", "c")
        assert after.epoch != before.epoch
        assert await lines(behind) == ["c"]
        await trio.sleep(0.1)
        assert await lines(ahead) == ["c"]  # a report that comes late takes nothing away


async def test_an_older_list_of_members_shows_that_data_was_lost(saved: Saved, long_wait: None) -> None:
    """A killed member that is not in the copy may have received events: the others had seen it."""
    async with open_bus(saved.server.url) as stays, stays.inbox("n"):
        before = await append(stays, "t1", "a")
        saved.save()
        gone = RedisBus("dc1", BusSettings(url=saved.server.url), HistorySettings())
        await append(gone, "t2", "b")
        gone._link.close()
        await stays.subscribe("n", {"other": 1}, 60)  # any call shows that the members are others
        await saved.lose()
        after = await append_at_last(stays, "t3", "c")
        assert after.epoch != before.epoch


async def test_while_redis_loads_nothing_is_decided(saved: Saved, long_wait: None) -> None:
    with redis.Redis.from_url(saved.server.url) as client:
        for number in range(3_000):
            client.set(f"filling:{number}", 1)
    async with (
        open_bus(saved.server.url) as behind,
        open_bus(saved.server.url) as ahead,
        behind.inbox("b"),
        ahead.inbox("n"),
    ):
        before = await append(behind, "t1", "a")
        saved.save()
        await append(ahead, "t2", "b")
        saved.kill()
        saved.server._options = ("--key-load-delay", "500")
        await saved.come_back()
        after = await append_at_last(behind, "t3", "c")
        assert (after.epoch != before.epoch, await lines(ahead)) == (True, ["c"])


def test_a_batch_that_waited_does_not_bring_an_older_epoch_back() -> None:
    known = KnownHeads()
    known.learn("v", "000002aaaa", 1)
    known.learn_from_batch(Batch("v", "000001bbbb", 9, "dc1", "000001bbbb", 9, [b"like {}"]))
    assert known.opening("v")[1:] == ("000002aaaa", 1)
    known.learn_from_batch(Batch("v", "000003cccc", 1, "dc1", "000003cccc", 1, [b"like {}"]))
    assert known.opening("v")[1:] == ("000003cccc", 1)
