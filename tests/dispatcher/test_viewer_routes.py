"""How many are watching, asked of a dispatcher by itself; who may is in tests/node/test_server_api.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveserver import config
from liveserver.errors import BusError
from tests.auth.harness import KEY
from tests.node.test_authorization import ANYWHERE, locked, serving

VIEWERS = "/v1/videos/v/viewers"
ONLY_DISPATCHER = 'node.roles=["dispatcher"]'
LEASES = {"node": "fe1", "lease": 30.0, "videos": {"v": 3}}


async def test_viewers_at_all_frontends_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(config.load(None, [*ANYWHERE, ONLY_DISPATCHER], {})) as [on]:
        assert await on.status_of("POST", "/v1/leases", None, LEASES) == 200
        answer = await on.ask("GET", VIEWERS)
        assert answer.json() == {"video": "v", "here": 0, "datacenter": 3, "total": 3}

        async def fail(*_: object) -> None:
            raise BusError("no answer")

        monkeypatch.setattr("liveserver.bus.memory.bus.MemoryBus.count", fail)
        answer = await on.ask("GET", VIEWERS)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_publisher_is_shown_how_many_have_watched(tmp_path: Path) -> None:
    async with serving(locked(tmp_path, ONLY_DISPATCHER)) as [on]:
        answer = await on.ask("GET", VIEWERS, KEY)
        expected = {"video": "v", "here": 0, "datacenter": 0, "total": 0, "unique": 0, "peak": 0}
        assert (answer.status_code, answer.json()) == (200, expected)
