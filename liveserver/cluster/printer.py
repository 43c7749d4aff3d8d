"""The log of a supervisor: the lines of all processes, each after its process' name."""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from typing import IO, cast

from rich.console import Console
from rich.text import Text

from liveserver.line_writer import LineWriter, LineWriterFile

STANDARD_OUTPUT = 1
COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")


class Printer:
    """Prints lines. `names` are all processes, so that their lines are aligned."""

    def __init__(self, names: Iterable[str], console: Console | None = None) -> None:
        if console is None:
            # The supervisor continues even if its log is not read.
            writer = LineWriter(STANDARD_OUTPUT)
            atexit.register(writer.flush)
            console = Console(file=cast("IO[str]", LineWriterFile(writer)), highlight=False, soft_wrap=True)
        self.console = console
        self._width = max(map(len, names), default=0)

    def say(self, name: str, line: str, colour: str = "bold") -> None:
        """Print one line after a name. Errors, such as a closed terminal, are ignored."""
        self.show(Text.assemble((f"{name:{self._width}} │ ", colour), line))

    def show(self, text: Text | str = "") -> None:
        """Print a line without a name."""
        try:
            self.console.print(text)
        except OSError:
            # It would retry the failed text with every following line.
            self.console.quiet = True
