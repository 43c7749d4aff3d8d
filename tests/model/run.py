"""`make worlds`: random worlds, one after the other, until one is wrong.

python -m tests.model.run [--worlds N] [--seed N] [--first N]
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import structlog

from tests.model.story import Violation
from tests.model.world import World, play


def violations(error: BaseException) -> list[BaseException]:
    """The leaves of a group of exceptions."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in violations(each)]
    return [error]


def summary(error: BaseException) -> str:
    """What went wrong, and the world's own report."""
    found = violations(error)
    broken = [leaf for leaf in found if isinstance(leaf, Violation)] or found
    said = [f"{type(leaf).__name__}: {leaf}" for leaf in broken]
    return "\n".join([*getattr(error, "__notes__", ()), *said])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--worlds", type=int, default=5_000)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--keep-going", action="store_true", help="count the wrong ones")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of a world
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.model.run", *sys.argv[1:]])
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    seeds = range(options.first, options.first + options.worlds)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    began, wrong, events = time.monotonic(), 0, 0
    for count, seed in enumerate(seeds, 1):
        try:
            world: World = play(seed)
            events += len(world.history.events)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            wrong += 1
            print(summary(error))
            print(f"world {seed} is wrong: python -m tests.model.run --seed {seed}")
            if not options.keep_going:
                return 1
        if count % 500 == 0:
            print(f"{count} worlds, {events:,} events, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(seeds)} worlds, {events:,} events, {wrong} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
