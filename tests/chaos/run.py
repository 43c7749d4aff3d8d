"""Break a real cluster on purpose, in many ways, and see whether anything is lost: `make chaos`.

Each scenario runs on a cluster of its own. A seed decides who publishes and watches what, and what is
done when; the machine decides the rest, so a seed that has failed may have to be run a few times.
"""

from __future__ import annotations

import argparse
import random
import shlex
import shutil
import sys
import time
from collections.abc import Sequence

import trio
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.chaos.runner import Verdict, perform
from tests.chaos.scenarios import SCENARIOS

SHOWN = 12  # complaints of one scenario

console = Console()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios:\n"
        + "\n".join(f"  {name:24} {scenario.summary}" for name, scenario in SCENARIOS.items()),
    )
    parser.add_argument("--seed", type=int, help="the (first) seed; otherwise a random one, which is printed")
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="K", help="that many seeds, one after the other"
    )
    parser.add_argument(
        "--only", action="append", choices=SCENARIOS, metavar="NAME", help="this scenario; may be repeated"
    )
    parser.add_argument(
        "--at-once", type=int, default=2, metavar="N", help="scenarios at the same time (default: 2)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the nodes' logs of what went well, too")
    return parser


async def run(
    names: Sequence[str], seeds: Sequence[int], at_once: int, *, keep: bool
) -> list[tuple[str, int]]:
    """Play them all; which failed."""
    failed: list[tuple[str, int]] = []
    plays = iter([(name, seed) for seed in seeds for name in names])
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("scenarios", total=len(names) * len(seeds))

        async def play() -> None:
            for name, seed in plays:
                verdict = await perform(SCENARIOS[name], seed)
                progress.advance(task)
                tell(name, seed, verdict)
                if verdict.complaints:
                    failed.append((name, seed))
                elif not keep:
                    await trio.to_thread.run_sync(shutil.rmtree, verdict.directory, True)

        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(play)
    return failed


def tell(name: str, seed: int, verdict: Verdict) -> None:
    """One scenario's verdict; on failure also what to look at, and how to run it again."""
    word = "[red]failed[/]" if verdict.complaints else "[green]passed[/]"
    row = Table.grid(padding=(0, 2))
    row.add_row(
        word, f"{name:22}", f"seed {seed}", f"{verdict.accepted} accepted", f"{verdict.maybe} unanswered",
        f"{verdict.delivered} delivered", f"{verdict.reconnects} reconnects", f"{verdict.gaps} gaps",
        f"{verdict.seconds:.1f} s",
    )  # fmt: skip
    console.print(row)
    if not verdict.complaints:
        return
    for complaint in verdict.complaints[:SHOWN]:
        console.print(f"        {escape(complaint)}", highlight=False)
    if len(verdict.complaints) > SHOWN:
        console.print(f"        … and {len(verdict.complaints) - SHOWN} more")
    again = shlex.join(["--seed", str(seed), "--only", name])
    console.print(f"        logs: {verdict.directory}\n        again: make chaos ARGS={shlex.quote(again)}")


def main() -> int:
    options = arguments().parse_args()
    first = random.randrange(1_000_000) if options.seed is None else options.seed
    seeds = range(first, first + options.seeds)
    names = options.only or list(SCENARIOS)
    console.print(
        f"seed {first}" + (f" to {seeds[-1]}" if len(seeds) > 1 else "") + f", {len(names)} scenarios each, "
        f"{options.at_once} at once"
    )
    began = time.monotonic()
    failed = trio.run(lambda: run(names, seeds, options.at_once, keep=options.keep))
    total = len(names) * len(seeds)
    console.print(f"{total - len(failed)} of {total} passed in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
