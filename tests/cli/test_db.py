"""`liveserver db`: a version, an upgrade, and refusals on one line."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from liveserver.backend.migrations import HEAD
from tests.cli.harness import call


def test_a_database_is_made_and_its_version_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--set", f"backend.directory={tmp_path}")
    assert call(capsys, "db", "current", *where) == (0, f"none (newest: {HEAD})\n", "")
    assert call(capsys, "db", "upgrade", *where) == (0, f"none → {HEAD}\n", "")
    assert call(capsys, "db", "upgrade", *where) == (0, f"{HEAD}, as before\n", "")
    assert call(capsys, "db", "current", *where) == (0, f"{HEAD}\n", "")


@pytest.mark.parametrize("command", [("db", "current"), ("db", "upgrade"), ("check", "--offline")])
def test_a_newer_database_is_refused(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(tmp_path / "liveserver.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    overrides = (f"backend.directory={tmp_path}", "listen.public=127.0.0.1:0", "listen.ops=127.0.0.1:0")
    options = [word for override in overrides for word in ("--set", override)]
    code, _, errors = call(capsys, *command, *options)
    assert code == 2
    assert errors.startswith("liveserver: backend.database: has schema version '9999'")
    assert errors.count("\n") == 1


def test_a_database_that_is_away_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "liveserver.db").write_text("this is not a database, but a text that is long enough")
    code, _, errors = call(capsys, "db", "upgrade", "--set", f"backend.directory={tmp_path}")
    assert code == 1
    assert errors.startswith("liveserver: backend.database: cannot be opened (")
