"""The log, as people and as programs read it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from liveserver.node import logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "n1")
    log = structlog.get_logger("somewhere")
    log.info("ready", public="127.0.0.1:8000", count=3)
    try:
        raise ValueError("a\nb")
    except ValueError:
        log.exception("a request failed", request="r1")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.pop("time")[-1] for line in lines] == ["Z", "Z"]
    assert lines[0] == {
        "message": "ready",
        "level": "info",
        "node": "n1",
        "public": "127.0.0.1:8000",
        "count": 3,
    }
    assert lines[1]["request"] == "r1"
    assert "ValueError: a\nb" in lines[1]["exception"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_does_not_show_variables(
    log_format: logs.LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(log_format, "n1")
    token = "a-secret-" + "of-someone"
    try:
        raise ValueError(len(token))
    except ValueError:
        structlog.get_logger("somewhere").exception("a request failed")
    written = capsys.readouterr().out
    assert "ValueError: 19" in written
    assert token not in written


@pytest.mark.parametrize("evil", ["a\n2026-01-01 00:00:00 [info] forged", "a\r\x1b[2J", "a\x85b\u2028c"])
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_nothing_from_outside_makes_a_line(
    evil: str, log_format: logs.LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(log_format, "n1")
    structlog.get_logger("somewhere").warning("refused", video=evil)
    written = capsys.readouterr().out
    assert len(written.splitlines()) == 1
    assert written.rstrip("\n").isprintable()


@pytest.mark.parametrize("evil", ["a\n2026-01-01 00:00:00 [info] forged", "a\r\x1b[2J", "a\x85b\u2028c"])
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_neither_variables_nor_lines_of_others(
    evil: str, log_format: logs.LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(log_format, "n1")
    password = "hunter" + "2"
    try:
        raise ValueError(evil + password[:0])
    except ValueError:
        structlog.get_logger("somewhere").exception("a request failed")
    written = capsys.readouterr().out
    assert "Traceback" in written
    assert "hunter2" not in written
    first, *others = written.splitlines()
    assert all(line.startswith("  | ") and line.isprintable() for line in others)
    assert first.isprintable()
