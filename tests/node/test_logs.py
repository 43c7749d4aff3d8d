"""The log's formats, for people and for programs."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from liveserver.line_writer import LineWriter
from liveserver.node import logs


class Output:
    """A log file, and the format of what is written to it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self.writer = LineWriter(descriptor)

    def read(self) -> str:
        self.writer.flush(10)
        return self._path.read_text()


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    before = structlog.get_config()
    with (tmp_path / "log").open("wb") as file:
        yield Output(tmp_path / "log", file.fileno())
    structlog.configure(**before)


def test_json_is_one_object_a_line(output: Output) -> None:
    logs.configure("json", "n1", output.writer)
    log = structlog.get_logger("somewhere")
    log.info("ready", public="127.0.0.1:8000", count=3)
    try:
        raise ValueError("a\nb")
    except ValueError:
        log.exception("request_failed", request="r1")
    lines = [json.loads(line) for line in output.read().splitlines()]
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
def test_a_traceback_does_not_show_variables(log_format: logs.LogFormat, output: Output) -> None:
    logs.configure(log_format, "n1", output.writer)
    token = "a-secret-" + "of-someone"
    try:
        raise ValueError(len(token))
    except ValueError:
        structlog.get_logger("somewhere").exception("request_failed")
    written = output.read()
    assert "ValueError: 19" in written
    assert token not in written


@pytest.mark.parametrize(
    "evil", ["a\n2026-01-01 00:00:00 [info] forged", "a\r\x1b[2J", "a\x85b\u2028c", "a\u202ecba"]
)
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_nothing_from_outside_makes_a_line(evil: str, log_format: logs.LogFormat, output: Output) -> None:
    logs.configure(log_format, "n1", output.writer)
    structlog.get_logger("somewhere").warning("refused", video=evil)
    written = output.read()
    assert len(written.splitlines()) == 1
    assert written.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "evil", ["a\n2026-01-01 00:00:00 [info] forged", "a\r\x1b[2J", "a\x85b\u2028c", "a\u202ecba"]
)
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_neither_variables_nor_lines_of_others(
    evil: str, log_format: logs.LogFormat, output: Output
) -> None:
    logs.configure(log_format, "n1", output.writer)
    password = "hunter" + "2"
    try:
        raise ValueError(evil + password[:0])
    except ValueError:
        structlog.get_logger("somewhere").exception("request_failed")
    written = output.read()
    assert "Traceback" in written
    assert "hunter2" not in written
    first, *others = written.splitlines()
    assert all(line.startswith("  | ") and line.isprintable() for line in others)
    assert first.isprintable()


class Unprintable:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_value_that_cannot_be_shown_is_no_error(log_format: logs.LogFormat, output: Output) -> None:
    logs.configure(log_format, "n1", output.writer)
    structlog.get_logger("somewhere").warning("refused", value=Unprintable())
    assert "event=refused error=RuntimeError" in output.read()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_lines_that_were_dropped_are_counted_in_the_log(log_format: logs.LogFormat) -> None:
    said = logs._notice(logs._processors(log_format, "n1"), 17)
    assert "log_lines_dropped" in said
    assert "17" in said


def test_log_lines_of_libraries_are_in_the_log(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("json", "n1", output.writer)
    monkeypatch.setattr("threading.excepthook", None)
    monkeypatch.setattr("sys.unraisablehook", None)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    show = warnings.showwarning
    try:
        logs.capture_libraries()
        logging.getLogger("redis").warning("it is %s", "gone")
        logging.getLogger("redis").info("too much")
    finally:
        logging.captureWarnings(capture=False)
        warnings.showwarning = show
    [line] = [json.loads(line) for line in output.read().splitlines()]
    assert (line["message"], line["library"], line["text"]) == ("library_message", "redis", "it is gone")
