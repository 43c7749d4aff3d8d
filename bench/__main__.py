"""Runs all benches in turn: a quick run of some minutes, or everything.

python -m bench                      # a few minutes: few rounds, fewer viewers
python -m bench --full               # the figures of RESULTS.md; on an otherwise idle machine
python -m bench --full --list        # list its benches and their duration
python -m bench --only headline,connections
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated

import typer

from bench.harness import console


@dataclass(frozen=True)
class Step:
    """A bench with its arguments, and about how long it takes."""

    bench: str
    arguments: str
    minutes: float

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", f"bench.{self.bench}", *self.arguments.split()]


PEERS = "liveserver,nchan,centrifugo,mercure,pushpin,net/http,axum,node"
QUICK = (
    Step("fanout", "--rates 10,100,600 --seconds 4 --warmup 2 --rounds 2", 1.5),
    Step("fanout", "--transport poll --viewers 2000 --rates 1,10 --seconds 3 --warmup 1 --rounds 2", 0.5),
    Step("headline", "--rounds 2 --seconds 5", 0.6),
    Step("publish", "--redis --seconds 2 --rounds 2", 0.5),
    Step("connections", "--viewers 20000 --rounds 2", 0.5),
    Step("videos", "--many 1000 --seconds 8 --rounds 2", 1.2),
    Step("sums", "--seconds 3 --rounds 1", 0.7),
    Step("compression", "--viewers 500 --seconds 3", 1.0),
    Step("forwarding", "--seconds 3", 0.6),
    Step("moderation", "--rounds 3 --bans 1000 --seconds 1", 0.7),
    Step("delays", "--viewers 500 --seconds 3 --rounds 1", 0.6),
    Step("recording", "--minutes 5", 0.3),
    Step("peers", "--viewers 2000 --peers liveserver,nchan,node --seconds 3 --rounds 1", 1.8),
)
FULL = (
    Step("fanout", "--rates 1,10,100,300,600 --rounds 5 --verify", 7.0),
    Step("fanout", "--transport ws --rates 1,10,100,300,600 --rounds 5 --verify", 6.0),
    Step("fanout", "--transport poll --rates 1,10,100 --rounds 5 --verify", 3.5),
    Step("fanout", "--redis --rates 100,300 --rounds 5 --no-raw", 2.5),
    Step("fanout", "--idle-like --rounds 10", 0.3),
    Step("headline", "--rounds 7", 2.0),
    Step("publish", "--redis --seconds 5 --rounds 5", 2.0),
    Step("connections", "--viewers 100000 --rounds 5", 0.8),
    Step("videos", "--rounds 5", 6.5),
    Step("peers", f"--seconds 3 --warmup 1 --peers {PEERS} --rounds 5", 18.0),
    Step("peers", f"--viewers 1000 --paced 100 --seconds 3 --warmup 1 --peers {PEERS} --rounds 5", 13.0),
    Step("peers", "--viewers 500 --seconds 3 --warmup 1 --rounds 5", 18.0),
    Step("storm", "--rounds 5", 3.0),
    Step("storm", "--rounds 3 --stampede", 1.7),
    Step("datacenters", "--rounds 3", 4.5),
    Step("slow", "--minutes 2", 3.0),
    Step("sums", "--rounds 5", 5.0),
    Step("compression", "--viewers 500 --seconds 3 --rounds 3", 5.0),
    Step("forwarding", "--seconds 3 --rounds 3", 2.0),
    Step("moderation", "--rounds 10", 3.5),
    Step("delays", "--rounds 5", 3.0),
    Step("recording", "--minutes 60", 2.0),
    Step("sizing", "--check --rounds 5", 5.0),
)


def main(
    full: Annotated[bool, typer.Option("--full", help="Everything, at full size.")] = False,
    only: Annotated[str, typer.Option(help="Only these benches, separated by commas.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List what would run, without running it.")] = False,
) -> None:
    """Run the benches, then show all tables.

    Example: python -m bench --only headline,fanout
    """
    steps = plan(FULL if full else QUICK, only)
    if list_:
        for step in steps:
            print(f"{step.minutes:4.1f} min  python -m bench.{step.bench} {step.arguments}")
        print(f"{sum(step.minutes for step in steps):4.0f} min in all")
        return
    left = sum(step.minutes for step in steps)
    failed = []
    for number, step in enumerate(steps, 1):
        console.rule(f"{number} of {len(steps)}: {step.bench} {step.arguments} (≈ {left:.0f} min to go)")
        if subprocess.run(step.command, stdout=subprocess.DEVNULL, check=False).returncode:
            failed.append(f"{step.bench} {step.arguments}")
        left -= step.minutes
        time.sleep(2.0)  # the last one's memory and ports are released meanwhile
    console.rule("the tables: python -m bench.report; into RESULTS.md: with --write")
    for name in failed:
        console.print(f"[red]failed, or found a fault: {name}")
    if failed:
        raise typer.Exit(1)


def plan(steps: tuple[Step, ...], only: str) -> list[Step]:
    """Return the benches named in `only`, separated by commas; all, if it is empty. Raises
    `typer.BadParameter`.
    """
    wanted = {word.strip() for word in only.split(",") if word.strip()}
    if unknown := wanted - {step.bench for step in steps}:
        known = ", ".join(dict.fromkeys(step.bench for step in steps))
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: none of {known}")
    return [step for step in steps if not wanted or step.bench in wanted]


if __name__ == "__main__":
    typer.run(main)
