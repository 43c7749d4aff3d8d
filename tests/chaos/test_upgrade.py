"""What the upgrade from an earlier revision judges, and where it gets that revision."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.upgrade import judge, program, take_out
from tests.watching import Viewer


def viewer(*ids: str, gaps: int = 0) -> Viewer:
    made = Viewer([], "v", "sse")
    made.ids, made.gaps = list(ids), gaps
    return made


def test_each_event_once_in_one_order_and_without_a_gap() -> None:
    assert judge([viewer("a", "b"), viewer("a", "b")], {"a", "b"}) == []
    assert judge([viewer("a", "b"), viewer("b", "a")], {"a", "b"}) == [
        "viewer 1: another order than viewer 0"
    ]
    assert judge([viewer("a")], {"a", "b"}) == ["viewer 0: 1 lost"]
    assert judge([viewer("a", "a")], {"a"}) == ["viewer 0: 1 twice"]
    assert judge([viewer("a", "b")], {"a"}) == ["viewer 0: 1 never published"]
    assert judge([viewer("a", gaps=1)], {"a"}) == ["viewer 0: 1 gaps"]


def test_a_revision_that_git_does_not_have_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no-such-revision"):
        take_out("no-such-revision", tmp_path)


def test_the_program_of_a_directory_runs_and_not_that_of_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "liveserver").mkdir()
    (tmp_path / "liveserver" / "__init__.py").touch()
    (tmp_path / "liveserver" / "__main__.py").write_text("print('former')")
    command = [sys.executable, "-m", "liveserver"]
    done = subprocess.run(command, env=program(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout == "former\n"
