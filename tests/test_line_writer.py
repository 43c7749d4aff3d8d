"""Lines reach their file in order, and nothing that is wrong with the file holds up the writer's caller."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from liveserver import line_writer
from liveserver.line_writer import LineWriter, LineWriterFile


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for descriptor in (reading, writing):
            with suppress(OSError):
                os.close(descriptor)


def test_lines_are_written_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        for number in range(1000):
            writer.write(f"line {number} \ud800é")
        writer.flush(10)
    written = (tmp_path / "log").read_text().splitlines()
    assert written == [f"line {number} \\ud800é" for number in range(1000)]
    assert (writer.statistics().written, writer.statistics().dropped) == (1000, 0)


def test_a_pipe_that_is_not_read_blocks_nothing_and_dropped_lines_are_counted() -> None:
    with pipe() as (reading, writing):
        writer = LineWriter(writing, "{} dropped".format, max_lines=100)
        for _ in range(20_000):
            writer.write("x" * 100)  # returns: a blocking write never would
        assert writer.statistics().dropped > 15_000
        received = b""
        said = 0
        while said < writer.statistics().dropped:
            received += os.read(reading, 1 << 16)
            said = sum(map(int, re.findall(rb"^(\d+) dropped$", received, re.MULTILINE)))
        assert said == writer.statistics().dropped
        lines = received.split(b"\n")[:-1]
        assert all(line == b"x" * 100 or line.endswith(b" dropped") for line in lines)
        os.close(reading)  # the thread, should it still be writing, gets an error now


def test_a_disk_that_is_full_loses_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "RETRY", 0.01)
    with Path("/dev/full").open("wb", buffering=0) as full, pipe() as (reading, writing):
        writer = LineWriter(full.fileno(), "{} dropped".format)
        writer.write("lost")
        writer.flush(10)
        assert writer.statistics().dropped == 1
        os.dup2(writing, full.fileno())  # there is room again
        writer.write("kept")
        writer.flush(10)
        assert os.read(reading, 100) == b"1 dropped\nkept\n"
        assert (writer.statistics().written, writer.statistics().dropped) == (1, 1)


def test_a_reader_that_has_gone_is_no_error() -> None:
    with pipe() as (reading, writing):
        os.close(reading)
        writer = LineWriter(writing)
        writer.write("to no one")
        writer.flush(10)
        assert writer.statistics().dropped == 1


def test_a_description_that_others_made_non_blocking_is_waited_for() -> None:
    with pipe() as (reading, writing):
        os.set_blocking(writing, False)
        writer = LineWriter(writing)
        lines = 5_000
        for number in range(lines):
            writer.write(f"{number:0100}")
        received = b""
        while received.count(b"\n") < lines:
            received += os.read(reading, 1 << 16)
        assert received.decode().split() == [f"{number:0100}" for number in range(lines)]


def test_a_line_is_cut_at_its_limit(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        writer.write("y" * (line_writer.MAX_BYTES + 1))
        writer.flush(10)
    assert (tmp_path / "log").read_bytes() == b"y" * line_writer.MAX_BYTES + b"\n"


def test_as_a_file_it_takes_text_in_pieces(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        text = LineWriterFile(writer)
        assert not text.isatty()
        for piece in ("a", "b\nc", "\n\n", "rest"):
            assert text.write(piece) == len(piece)
        writer.flush(10)
    assert (tmp_path / "log").read_text() == "ab\nc\n\n"
