"""What a recorder brings to its process, and dispatchers that read what recorders wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
import trio

from liveserver.auth.authorizer import Authorizer
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings, load
from liveserver.errors import ConfigError
from liveserver.recorder import role as recorder_role
from liveserver.recorder.role import open_history, open_recorder_role, open_recordings
from liveserver.role import Process, Role


def settings(directory: Path) -> Settings:
    return load(None, [f"recorder.directory={directory}"], {})


def process(given: Settings, nursery: trio.Nursery) -> Process:
    bus = MemoryBus("dc1", given.history, 100)
    return Process("n", given, Authorizer(given), nursery, bus)


async def test_it_records_until_its_process_ends_and_says_how_it_is_doing(tmp_path: Path) -> None:
    given = settings(tmp_path)
    async with trio.open_nursery() as nursery:
        role = open_recorder_role(process(given, nursery))
        assert [made().name for made in role.blueprints] == ["recorder"]
        assert set(role.statistics) == set(role.checks) == {"recorder"}
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()


async def test_a_history_without_what_reads_recordings_has_the_log_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: object) -> None:
        raise ConfigError("recorder.s3_bucket", "needs liveserver[s3]")

    monkeypatch.setattr(recorder_role, "open_store", cannot)
    async with trio.open_nursery() as nursery:
        with structlog.testing.capture_logs() as logged:
            role = open_history(process(settings(tmp_path), nursery))
        assert not nursery.child_tasks
    assert [entry["event"] for entry in logged] == ["history_without_recordings"]
    assert len([made() for made in role.blueprints]) == 1
    given = settings(tmp_path)
    with structlog.testing.capture_logs() as logged:
        assert open_recordings(given.recorder, Authorizer(given)) == Role()
    assert [entry["event"] for entry in logged] == ["recordings_not_served"]
