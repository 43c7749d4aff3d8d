"""Results of a benchmark: figures with medians, tables, and the stored line."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer
from rich.table import Table

from bench.harness import console

RESULTS = Path(__file__).parent / "results"
Cell = str | float | None


class Sheet(NamedTuple):
    """A table: for people on the terminal, and for RESULTS.md."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        """Return the table in Markdown, with figures aligned right."""
        lines = [list(self.columns), ["---", *["---:"] * (len(self.columns) - 1)]]
        lines += [[cell(value) for value in row] for row in self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{self.title}:\n\n{table}\n"


def by_measure(title: str, measures: dict[str, str], parts: dict[str, dict[str, float]]) -> Sheet:
    """Return a sheet with a column for each part and a row for each measure that some part has."""
    named = {name: what for name, what in measures.items() if any(name in part for part in parts.values())}
    rows = [[what, *(part.get(name) for part in parts.values())] for name, what in named.items()]
    return Sheet(title, ["", *parts], rows)


def cell(value: Cell) -> str:
    """Format a figure with three significant digits; None is empty."""
    if value is None or isinstance(value, str):
        return value or ""
    if value != value:
        return "none"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"


def finish(result: dict[str, Any], sheets: Sequence[Sheet]) -> None:
    """Show the tables and what was wrong, store the result, and exit with 1 if anything was wrong.

    The result is one line of JSON: on standard output, and in bench/results/NAME.jsonl.
    """
    for sheet in sheets:
        show(sheet)
    for fault in result.get("faults", ()):
        console.print(f"[red]{fault}")
    line = json.dumps(result, separators=(",", ":"))
    print(line, flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{result['bench']}.jsonl").open("a") as file:
        file.write(line + "\n")
    if result.get("faults"):
        raise typer.Exit(1)


def show(sheet: Sheet) -> None:
    """Show a table on standard error."""
    table = Table(title=sheet.title, title_justify="left")
    for index, column in enumerate(sheet.columns):
        table.add_column(column, justify="right" if index else "left")
    for row in sheet.rows:
        table.add_row(*map(cell, row))
    console.print(table)


def machine() -> dict[str, Any]:
    """Return the machine, and its load before the measurement."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    versions = {}
    for name in ("trio", "httptools", "msgspec", "hypercorn", "redis", "hiredis"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": versions,
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "command": shlex.join(["python", "-m", *_module_and_arguments()]),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _module_and_arguments() -> list[str]:
    file = Path(sys.argv[0])
    module = file.parent.name if file.stem == "__main__" else file.stem
    return [f"bench.{module}", *sys.argv[1:]]


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the median over the rounds of every number that all of them have."""
    names = [name for name, value in rounds[0].items() if isinstance(value, int | float)]
    return {
        name: round(statistics.median(one[name] for one in rounds), 3)
        for name in names
        if all(name in one for one in rounds)
    }
