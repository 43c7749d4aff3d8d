"""The figures of bench/results/*.jsonl, as tables and pictures; with `--write`, into bench/RESULTS.md.

    python -m bench.report             # on the terminal; pictures into bench/results/
    python -m bench.report --write     # into bench/RESULTS.md and bench/plots/

Of each bench, and of each of its variants (transport, bus, size), the newest result counts. RESULTS.md is
written by hand except between `<!-- figures: NAME -->` and `<!-- end -->`; without results, those parts are
not changed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.harness import console
from bench.results import RESULTS, Sheet, show

HERE = Path(__file__).parent
MEDIUM = 50.0  # likes/s of the paced part
_PLACE = re.compile(r"(<!-- figures: ([^>]+?) -->\n)(.*?)(<!-- end -->)", re.S)


def main(
    write: Annotated[bool, typer.Option("--write", help="Write bench/RESULTS.md and bench/plots/.")] = False,
    results: Annotated[Path, typer.Option(help="The folder with the *.jsonl.")] = RESULTS,
) -> None:
    """Show tables and plots of all results.

    Example: python -m bench.report --write
    """
    found = newest(read(results))
    if not found:
        raise typer.BadParameter(f"{results} has no results yet; `make bench` makes some")
    if write:
        page = HERE / "RESULTS.md"
        page.write_text(filled(page.read_text(), found))
        console.print(f"written: {page.relative_to(HERE.parent)}")
    else:
        for sheet in (sheet for result in found.values() for sheet in sheets(result)):
            show(sheet)
    if importlib.util.find_spec("matplotlib") is None:
        console.print("[yellow]no pictures without matplotlib, which pip install --group bench brings")
        return
    for path in importlib.import_module("bench.plots").draw(found, HERE / "plots" if write else results):
        console.print(f"drawn: {path}")


def read(folder: Path) -> list[dict[str, Any]]:
    """Return all results, the oldest of each bench first."""
    lines = (line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines())
    return [json.loads(line) for line in lines if line]


def newest(results: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the last result of each name."""
    return {name_of(result): result for result in results}


def name_of(result: dict[str, Any]) -> str:
    """Return the bench and its variant, such as `fanout sse redis`."""
    words = [result["bench"]]
    if result["bench"] == "fanout":
        words += [result["transport"], result["bus"], *(["lone"] if "idle_like" in result else [])]
    if result["bench"] == "peers":
        is_medium = result.get("paced", 10.0) >= MEDIUM
        words.append("medium" if is_medium else "few" if result["viewers"] < 5_000 else "many")
    if result["bench"] == "connections" and result["viewers"] > 500_000:
        words.append("million")
    if result.get("stampede"):
        words.append("stampede")
    return " ".join(words)


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return its tables, as the bench itself shows them."""
    bench = result["bench"]
    module = importlib.import_module("bench.peers.__main__" if bench == "peers" else f"bench.{bench}")
    found: list[Sheet] = module.sheets(result)
    return found


def filled(page: str, results: dict[str, dict[str, Any]]) -> str:
    """Return the page with the figures in their places; an empty place says that there are none."""

    def figures(match: re.Match[str]) -> str:
        result = results.get(match[2])
        text = section(result) if result is not None else match[3] or "Not measured yet.\n"
        return f"{match[1]}{text}{match[4]}"

    return _PLACE.sub(figures, page)


def section(result: dict[str, Any]) -> str:
    """Return one result's tables, and how they were measured."""
    machine = result["machine"]
    rounds = result.get("rounds", [result])
    count = len(rounds if isinstance(rounds, list) else next(iter(rounds.values())))
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    made = f"medians of {count} rounds" if count > 1 else "one run"
    about = (
        f"`{machine['command']}`, {machine['when']}: {made}. {machine['cores']} cores of "
        f"{machine['cpu']}, Linux {machine['kernel']}, Python {machine['python']}, {versions}; load average "
        f"before: {machine['load_before'][0]:g}.\n"
    )
    faults = "".join(f"- **Wrong:** {fault}\n" for fault in result.get("faults", ()))
    return "\n".join([*(sheet.markdown() for sheet in sheets(result)), about, *([faults] if faults else [])])


if __name__ == "__main__":
    typer.run(main)
