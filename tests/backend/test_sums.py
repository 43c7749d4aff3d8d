"""Changed totals are published, at most once a tick and without a long delay."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.backend.commands import Acknowledged, Like, Totals
from liveserver.backend.rates import LikeRates
from liveserver.backend.store import Store, Total
from liveserver.backend.sums import SAMPLE, Sample, SumsPublisher
from liveserver.config import LikeSettings, convert
from liveserver.errors import BadRequest, DispatcherError, Unavailable
from tests.backend.harness import Clock, FakeDispatcher, like, look, open_store, settings


def like_settings(**values: Any) -> LikeSettings:
    return convert(values, LikeSettings)


class SumsStage:
    """A publisher of sums between a store and a dispatcher. `write_down` stores what was accepted."""

    def __init__(self, store: Store, dispatcher: FakeDispatcher, **values: Any) -> None:
        self.store = store
        self.dispatcher = dispatcher
        self.failures = 0
        self.accepted: Totals = {}
        self.sums = SumsPublisher(
            store.id, settings(**values), LikeSettings(), dispatcher, self._read, self._owed, self._accept
        )

    async def _read(self, videos: Sequence[str]) -> dict[str, list[Total]]:
        await trio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise Unavailable("not now")
        return self.store.read_totals(videos)

    async def _owed(self, limit: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        return self.store.owed(limit)

    def _accept(self, totals: Totals) -> None:
        self.accepted |= totals

    def like(self, *likes: Like) -> None:
        self.sums.on_likes(self.store.commit(likes).likes)

    def write_down(self) -> None:
        accepted, self.accepted = self.accepted, {}
        self.store.commit([], Acknowledged(totals=accepted))
        self.sums.on_announced(accepted)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.sums.run)
            await trio.testing.wait_all_tasks_blocked()
            yield
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def stage(directory: Path, *failures: Exception, **values: Any) -> AsyncIterator[SumsStage]:
    store = open_store(directory, likes=like_settings(each_up_to=0))
    on = SumsStage(store, FakeDispatcher(failures), **values)
    async with on.running():
        yield on
    store.close()


def data(dispatcher: FakeDispatcher) -> list[dict[str, Any]]:
    return [event["data"] for event in dispatcher.taken]


async def test_a_change_is_published_at_once_and_the_next_ones_once_a_tick(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with stage(tmp_path) as on:
        began = trio.current_time()
        on.like(like())
        await on.dispatcher.wait_taken(1)
        assert trio.current_time() == began
        for _ in range(100):
            on.like(like(), like(reaction="fire"))
            await trio.sleep(0.01)
        await trio.sleep(1)
        taken = on.dispatcher.taken
        assert 2 <= len(taken) - 1 <= 3
        assert taken[0].pop("id").startswith(f"likes-{on.store.id}-")
        assert taken[0] == {
            "video": "v",
            "type": "likes",
            "key": f"likes/{on.store.id}",
            "version": 1,
            "data": {"added": {"heart": 1}, "total": {"heart": 1}, "users": ["u1"]},
        }
        assert (taken[-1]["version"], taken[-1]["data"]["total"]) == (201, {"heart": 101, "fire": 100})
        added: Counter[str] = Counter()
        for each in data(on.dispatcher):
            added.update(each["added"])
        assert added == {"heart": 101, "fire": 100}


async def test_a_dispatcher_that_fails_gets_the_newest_totals(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with stage(tmp_path, *[DispatcherError("gone")] * 8) as on:
        on.failures = 2
        for _ in range(50):
            on.like(like(), like("w"))
            await trio.sleep(0.1)
        await trio.sleep(10)
        last = {event["video"]: event["version"] for event in on.dispatcher.taken}
        assert last == {"v": 50, "w": 50}
        assert sum(event["data"]["added"]["heart"] for event in on.dispatcher.taken) == 100
        assert on.sums.statistics().failures == 10


async def test_only_unannounced_totals_are_published_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with stage(tmp_path) as on:
        on.like(like(), like("w"))
        await on.dispatcher.wait_taken(2)
        on.write_down()
        on.store.commit([like(), like("x")])  # and killed before it is published
    async with stage(tmp_path) as on:
        await on.dispatcher.wait_taken(2)
        assert {event["video"]: event["data"]["total"] for event in on.dispatcher.taken} == {
            "v": {"heart": 2},
            "x": {"heart": 1},
        }
        assert data(on.dispatcher)[0]["added"] == {"heart": 1}
        on.write_down()
        assert on.store.owed(10) == []
        await trio.sleep(60)
        assert len(on.dispatcher.taken) == 2


async def test_debts_of_another_process_that_is_gone_are_found(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with stage(tmp_path) as on:
        other = open_store(tmp_path, likes=like_settings(each_up_to=0))
        other.commit([like()])
        other.close()
        await trio.sleep(11)
        assert [event["version"] for event in on.dispatcher.taken] == [1]
        on.store.commit([like("w")])
        on.sums.sweep()
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(0.6)
        assert on.dispatcher.taken[-1]["video"] == "w"


async def test_totals_are_published_again_when_the_state_has_lost_them(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with stage(tmp_path) as on:
        on.like(like())
        await on.dispatcher.wait_taken(1)
        on.write_down()
        on.dispatcher.taken.clear()
        on.sums.publish_again("v")
        await on.dispatcher.wait_taken(1)
        assert data(on.dispatcher) == [{"added": {}, "total": {"heart": 1}, "users": []}]


async def test_a_refused_video_does_not_delay_the_others(tmp_path: Path, autojump_clock: MockClock) -> None:
    class Picky(FakeDispatcher):
        async def publish(self, body: bytes, *, retractions: bool) -> int:
            if b'"video":"w3"' in body:
                raise BadRequest("not this one")
            return await super().publish(body, retractions=retractions)

    async with stage(tmp_path) as on:
        on.dispatcher = on.sums._dispatcher = Picky()
        on.like(*[like(f"w{number}") for number in range(8)])
        await on.dispatcher.wait_taken(7)
        assert on.sums.statistics().refused == 1


def test_in_sums_no_like_has_an_outbox_row(tmp_path: Path) -> None:
    store = open_store(tmp_path, likes=like_settings(each_up_to=0))
    done = store.commit([like() for _ in range(5)])
    assert (done.rows, len(done.likes)) == ([], 5)
    assert look(tmp_path, "select count(*) from likes") == [(5,)]
    assert look(tmp_path, "select count(*) from outbox") == [(0,)]
    store.close()


@pytest.mark.parametrize(
    ("most", "rate", "each"), [(0.0, 5, 0), (math.inf, 1000, 10_000), (20.0, 20, 200), (20.0, 100, 20)]
)
def test_likes_are_each_an_event_up_to_a_rate(most: float, rate: int, each: int) -> None:
    clock = Clock()
    rates = LikeRates(like_settings(each_up_to=most), clock)
    shown = 0
    for _ in range(10):
        for _ in range(rate):
            shown += rates.is_each("v")
        clock.now += 1
    assert shown == each
    clock.now += 2
    assert rates.is_each("v") == (most > 0)
    assert rates.is_each("w") == (most > 0)


def test_a_sample_is_fair() -> None:
    random.seed(7)
    times: Counter[str] = Counter()
    for _ in range(4_000):
        sample = Sample()
        for number in range(40):
            sample.add(str(number))
        assert len(set(sample.users)) == SAMPLE
        times.update(sample.users)
    assert len(times) == 40
    assert all(600 < seen < 1_000 for seen in times.values())  # 800 ± 8 standard deviations


def test_a_database_from_before_the_sums_owes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit([like(), like()])
    store.close()
    look(tmp_path, "drop table alembic_version")
    look(tmp_path, "alter table comments drop column role")
    look(tmp_path, "drop index totals_owed")
    look(tmp_path, "alter table totals drop column announced")
    store = open_store(tmp_path)
    assert store.owed(10) == []
    store.commit([like()])
    assert store.owed(10) == ["v"]
    assert store.read_totals(["v", "w"]) == {"v": [Total("heart", 3, 2)], "w": []}
    store.close()
