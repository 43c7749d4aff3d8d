"""`liveserver record`: listing, export, and erasing of a user's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from liveserver.backend.commands import Comment, Like
from liveserver.backend.store import Store
from liveserver.cli import main
from liveserver.config import BackendSettings
from tests.recorder.test_recording import event, part, recording


def run(capfd: pytest.CaptureFixture[str], directory: Path, *words: str, code: int = 0) -> list[Any]:
    own = [f"--set=recorder.directory={directory / 'recordings'}", f"--set=backend.directory={directory}"]
    with pytest.raises(SystemExit) as ended:
        main(["record", *words, *own])
    said = capfd.readouterr()
    assert ended.value.code == code, said
    return [msgspec.json.decode(line) for line in said.out.splitlines()]


def test_listed_exported_erased(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recorded = recording(tmp_path / "recordings")
    recorded.append(part([event(1, user="ada", data={"text": "mine"}), event(2, user="bob")]))
    store = Store(f"sqlite:///{tmp_path / 'liveserver.db'}", BackendSettings())
    store.commit([Like("v", "ada", "heart"), Comment("v", "ada", "stored"), Like("v", "bob", "heart")])
    store.close()
    (listed,) = run(capfd, tmp_path, "list")
    assert (listed["video"], listed["events"], listed["segments"], listed["gaps"]) == ("v", 2, 1, 0)
    assert [each["id"] for each in run(capfd, tmp_path, "export", "v")] == ["e1", "e2"]
    own = run(capfd, tmp_path, "export", "--user", "ada")
    assert [each.get("stored", each.get("type", "")) for each in own] == [
        "comment", "like", "comment",
    ]  # fmt: skip
    (done,) = run(capfd, tmp_path, "erase", "--user", "ada")
    assert done == {"user": "ada", "recorded": 1, "stored": 2, "bans_kept": 0}
    assert run(capfd, tmp_path, "export", "--user", "ada") == []
    assert [each.get("user") for each in run(capfd, tmp_path, "export")] == [None, "bob"]
    store = Store(f"sqlite:///{tmp_path / 'liveserver.db'}", BackendSettings())
    assert store.load("v").totals == {store.id: {"heart": 2}}
    assert store.comments("v", None, 5) == []
    store.close()


def test_what_others_wrote_is_exported_without_effect_on_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;a\x07\x9b31m\u202eb\u2028c"
    recorded = recording(tmp_path / "recordings")
    recorded.append(part([event(1, user="ada", data={"text": evil})]))
    store = Store(f"sqlite:///{tmp_path / 'liveserver.db'}", BackendSettings())
    store.commit([Comment("v", "ada", evil)])
    store.close()
    own = [f"--set=recorder.directory={tmp_path / 'recordings'}", f"--set=backend.directory={tmp_path}"]
    with pytest.raises(SystemExit):
        main(["record", "export", "--user", "ada", *own])
    lines = capfd.readouterr().out.split("\n")[:-1]
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    recorded_event, stored = map(msgspec.json.decode, lines)
    assert recorded_event["data"]["text"] == stored["text"] == evil


def test_without_recordings_there_is_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, tmp_path, "list") == run(capfd, tmp_path, "export", "--user", "ada") == []
    run(capfd, tmp_path, "export", "w", code=2)
