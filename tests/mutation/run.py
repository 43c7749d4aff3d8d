"""Change the core a little, many times, and see whether a test notices: `make mutants ARGS="--count 200"`.

Each mutant is written into a copy of the tree, never into this one. It meets the tests of its own module
first, then those of its package. A test that hangs has noticed: each run has a time limit.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.core import ROOT, core_files, guards
from tests.mutation.operators import Mutation, lua_mutations, python_mutations

LIMIT = 240.0  # seconds for one group of tests
_COPIED = ("liveserver", "tests", "config", "bench", "pyproject.toml", "Makefile", "README.md")


def main() -> None:
    """Sample, run, and print the score; exit 1 when it is below `--floor`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="mutants to try")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--file", action="append", help="only files whose path contains this; repeatable")
    parser.add_argument("--floor", type=float, default=0.0, help="the score in percent that is asked for")
    given = parser.parse_args()
    os.nice(5)
    chosen = sample(given.count, given.seed, given.file or [""])
    print(f"{len(chosen)} mutants, --seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        tree = copy_tree(Path(directory))
        reports = [try_one(tree, number, *each) for number, each in enumerate(chosen, 1)]
    survivors = [report for report in reports if report]
    killed = len(chosen) - len(survivors)
    score = 100 * killed / max(1, len(chosen))
    print(f"\n{killed} of {len(chosen)} noticed: {score:.1f} %")
    print("".join(f"  survived: {each}\n" for each in survivors), end="")
    sys.exit(score < given.floor)


def sample(count: int, seed: int, parts: list[str]) -> list[tuple[Path, Mutation]]:
    """Return `count` mutations, drawn evenly over the files: a long file does not outweigh a short one."""
    chance = random.Random(seed)
    files = [file for file in core_files() if any(part in file.as_posix() for part in parts)]
    found = {file: mutations(file) for file in files}
    left = {file: chance.sample(each, len(each)) for file, each in found.items() if each}
    chosen: list[tuple[Path, Mutation]] = []
    while left and len(chosen) < count:
        for file in chance.sample(sorted(left), len(left)):
            chosen.append((file, left[file].pop()))
            if not left[file]:
                del left[file]
    return chosen[:count]


def mutations(file: Path) -> list[Mutation]:
    source = (ROOT / file).read_text()
    return lua_mutations(source) if file.suffix == ".lua" else python_mutations(source)


def copy_tree(directory: Path) -> Path:
    """Copy what the tests need into `directory`."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    return directory


def try_one(tree: Path, number: int, file: Path, mutation: Mutation) -> str:
    """Return the description of a mutant that no test noticed; empty when one did."""
    source = (tree / file).read_text()  # of the copy: this tree may change meanwhile
    where = f"{file}:{mutation.line}  {mutation.describe(source)}"
    (tree / file).write_text(mutation.apply(source))
    begun = time.monotonic()
    try:
        noticed = next((" ".join(group) for group in guards(file) if not passes(tree, group)), "")
    finally:
        (tree / file).write_text(source)
    verdict = f"noticed by {noticed}" if noticed else "SURVIVED"
    print(f"{number:4} {time.monotonic() - begun:5.1f} s  {verdict}  {where}", flush=True)
    return "" if noticed else where


def passes(tree: Path, paths: list[str]) -> bool:
    """Run these tests in the copy; False when one fails, or when they take longer than `LIMIT`."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-n", "0", *paths]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(LIMIT) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


if __name__ == "__main__":
    main()
