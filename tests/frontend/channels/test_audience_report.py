"""Users who have watched, and the peak: reported in batches, shown to moderators and publishers only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.memory.bus import MemoryBus
from liveserver.errors import BusError
from liveserver.frontend.channels.audience_report import REPEAT
from liveserver.viewer_count import AudienceReport, AudienceSize, ViewerCount
from tests.auth.harness import KEY, NOW, SECRET, Clock, token
from tests.frontend.harness import Client, Stage, settings, stage

SCAN_INTERVAL = 10.0  # seconds: a third of the lease
AUTH = {
    "viewers": "token",
    "secret": SECRET,
    "publishers": {"site": {"key": KEY, "videos": ["v*"], "scopes": ["publish"]}},
}


class CountingBus(MemoryBus):
    """Keeps what is reported, and refuses while it is `away`."""

    reports: list[AudienceReport]
    away = False

    async def add_audiences(self, reports: Sequence[AudienceReport], ttl: float) -> None:
        if self.away:
            raise BusError("away")
        self.reports += reports
        await super().add_audiences(reports, ttl)

    async def audience(self, video: str) -> AudienceSize:
        if self.away:
            raise BusError("away")
        return await super().audience(video)


@asynccontextmanager
async def locked(**auth: Any) -> AsyncIterator[tuple[Stage, CountingBus]]:
    configured = settings(auth={**AUTH, **auth}, frontend={"counts_interval": "1s", "lease": "30s"})
    bus = CountingBus(configured.node.datacenter, configured.history, configured.bus.inbox_batches)
    bus.reports = []
    async with stage(configured, bus, clock=Clock()) as on:
        yield on, bus


def bearer(user: str | None, **claims: Any) -> str:
    return f"Authorization: Bearer {token(sub=user, **claims)}"


async def asked(on: Stage, shown: str, video: str = "v", query: str = "") -> dict[str, Any]:
    client = on.connect()
    await client.get(f"/v1/videos/{video}/viewers{query}", *([shown] if shown else []))
    answer: dict[str, Any] = await client.json()
    return answer


async def audience(on: Stage) -> tuple[int, int]:
    answer = await asked(on, bearer("mo", scope="moderate"))
    return answer["unique"], answer["peak"]


async def viewers(on: Stage, *users: str | None) -> list[Client]:
    return [await on.watch("v", "", bearer(user)) for user in users]


async def test_each_user_counts_once_and_the_peak_stays(autojump_clock: MockClock) -> None:
    async with locked() as (on, bus):
        clients = await viewers(on, "ada", "ada", "bob", None)
        await trio.sleep(SCAN_INTERVAL + 1)
        assert await audience(on) == (2, 4)
        for client in clients:
            client.sock.close()
        await viewers(on, "cleo", "bob")
        await trio.sleep(SCAN_INTERVAL + 1)
        assert await audience(on) == (3, 4)
        assert [sorted(report.users) for report in bus.reports] == [["ada", "bob"], ["cleo"]]


async def test_a_waiting_poll_counts_and_other_nodes_do(autojump_clock: MockClock) -> None:
    async with locked() as (on, bus):
        _, ready = await on.ready("v", "", bearer("ada"))
        poll = on.connect()
        await poll.get(f"/v1/videos/v/poll?cursor={ready['cursor']}&wait=25", bearer("bob"))
        await bus.note_peer_counts([ViewerCount("v", "dc2", 100, 0, 35)])
        await bus.add_audiences([AudienceReport("v", ["ada", "zoë"], 50)], 100)
        await trio.sleep(SCAN_INTERVAL + 1)
        assert await audience(on) == (3, 102)


async def test_unchanged_audiences_are_reported_again_rarely(autojump_clock: MockClock) -> None:
    async with locked() as (on, bus):
        await viewers(on, "ada")
        await trio.sleep(REPEAT * SCAN_INTERVAL)
        assert [(report.users, report.peak) for report in bus.reports] == [(["ada"], 1)]
        bus._audiences.__init__()  # type: ignore[misc]  # Redis has lost it
        await trio.sleep(SCAN_INTERVAL + 1)
        assert len(bus.reports) == 2
        assert await audience(on) == (1, 1)


async def test_reports_that_the_bus_refused_are_repeated(autojump_clock: MockClock) -> None:
    async with locked() as (on, bus):
        await viewers(on, "ada")
        bus.away = True
        await trio.sleep(SCAN_INTERVAL + 1)
        moderator = bearer("mo", scope="moderate")
        assert await asked(on, moderator) == {"video": "v", "here": 1, "datacenter": 1, "total": 1}
        bus.away = False
        await trio.sleep(SCAN_INTERVAL)
        assert await audience(on) == (1, 1)


async def test_only_moderators_and_publishers_are_shown_it(autojump_clock: MockClock) -> None:
    async with locked() as (on, _):
        await viewers(on, "ada")
        await trio.sleep(SCAN_INTERVAL + 1)
        counts = {"video": "v", "here": 1, "datacenter": 1, "total": 1}
        everything = counts | {"unique": 1, "peak": 1}
        assert await asked(on, f"Authorization: Bearer {KEY}") == everything
        assert await asked(on, bearer("mo", scope="watch moderate")) == everything
        moderator = token(sub="mo", scope="moderate", exp=NOW + 600)
        assert await asked(on, "", query=f"?token={moderator}") == everything
        for shown in (bearer("ada"), bearer("hal", scope="watch host")):
            assert await asked(on, shown) == counts
        other = bearer("mo", scope="watch moderate", videos=["w"])
        assert (await asked(on, other))["status"] == 403
        assert (await asked(on, f"Authorization: Bearer {KEY}", "w"))["status"] == 403
        for shown in ("", "Authorization: Bearer wrong", bearer("mo", scope="like")):
            assert (await asked(on, shown))["status"] in (401, 403)


@pytest.mark.parametrize("key", [True, False])
async def test_without_tokens_there_are_no_users_but_a_peak(key: bool, autojump_clock: MockClock) -> None:
    publishers = AUTH["publishers"] if key else {}
    async with locked(viewers="open", secret=None, publishers=publishers) as (on, _):
        client = await on.watch("v")
        await trio.sleep(SCAN_INTERVAL + 1)
        client.sock.close()
        await trio.sleep(2)
        answer = await asked(on, f"Authorization: Bearer {KEY}")
        assert answer == {"video": "v", "here": 0, "datacenter": 0, "total": 0} | (
            {"unique": 0, "peak": 1} if key else {}
        )
