"""The supervisor's log: lines in columns, whatever becomes of the terminal."""

from __future__ import annotations

import errno
import io

from rich.console import Console

from liveserver.cluster.printer import Printer


def test_lines_are_aligned_by_the_longest_name() -> None:
    out = io.StringIO()
    printer = Printer(["a", "dc1-fe1"], Console(file=out, soft_wrap=True))
    printer.say("a", "one [bold]not markup[/bold]")
    printer.say("dc1-fe1", "two")
    assert out.getvalue() == "a       │ one [bold]not markup[/bold]\ndc1-fe1 │ two\n"


class Closed(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise OSError(errno.EIO, "the terminal is closed")


def test_a_closed_terminal_is_written_to_once() -> None:
    out = Closed()
    printer = Printer(["a"], Console(file=out))
    printer.say("a", "one")
    written = out.writes
    printer.say("a", "two")
    assert written == out.writes == 1
