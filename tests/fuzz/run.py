"""Every target, one after the other: `make fuzz`, or `python -m tests.fuzz.run --inputs 1000000`.

Guided by coverage where atheris is installed (`pip install atheris`), by mutations of the corpus elsewhere.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.one import kept_under_way
from tests.fuzz.targets import TARGETS

_PULSE = re.compile(r"#(\d+)\s.*cov: (\d+)")


def shares(names: list[str], inputs: int) -> dict[str, int]:
    """How many inputs each target gets: the dear ones fewer, all together `inputs`."""
    weights = {name: 1 / TARGETS[name].cost for name in names}
    given = {name: int(inputs * weights[name] / sum(weights.values())) for name in names}
    given[names[0]] += inputs - sum(given.values())
    return given


def run(name: str, inputs: int, seed: int, engine: str) -> str:
    """Feed one target. What is wrong, or nothing."""
    command = [sys.executable, "-m", "tests.fuzz.one", name, "--inputs", str(inputs), "--seed", str(seed)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([*command, "--engine", engine], stdout=output, stderr=subprocess.STDOUT)
        began = received = time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - received > 10:
                received = time.monotonic()
                lines = (line for line in reversed(_said(output)) if _PULSE.search(line) or " of " in line)
                print(f"    {next(lines, 'begins')[:110]}", flush=True)
        seconds = time.monotonic() - began
        said = _said(output)
    if process.returncode == 0:
        cov = next((f", {match[2]} edges" for line in reversed(said) if (match := _PULSE.search(line))), "")
        print(f"  {name:12} {inputs:9,} inputs  {seconds:6.1f} s{cov}", flush=True)
        return ""
    last = "\n".join(said[-40:])
    if process.returncode == -signal.SIGALRM:
        last = "one input takes too long"
    if (path := kept_under_way(name)) is not None:
        last += f"\n{path}"
    return f"{name} ({' '.join(command)}):\n{last}\n"


def _said(output: object) -> list[str]:
    path = Path(f"/proc/self/fd/{output.fileno()}")  # type: ignore[attr-defined]
    return path.read_text(errors="replace").splitlines()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--inputs", type=int, default=1_000_000, help="over all targets")
    arguments.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this; repeatable")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    arguments.add_argument("--engine", choices=("atheris", "mutation"))
    given = arguments.parse_args()
    names = given.target or list(TARGETS)
    engine = given.engine or ("atheris" if importlib.util.find_spec("atheris") else "mutation")
    os.nice(5)
    print(f"{given.inputs:,} inputs, {engine}, --seed {given.seed}", flush=True)
    wrong = [run(name, count, given.seed, engine) for name, count in shares(names, given.inputs).items()]
    finds = [each for each in wrong if each]
    for find in finds:
        print(find, file=sys.stderr)
    print(f"{len(names) - len(finds)} of {len(names)} targets without a find.")
    sys.exit(bool(finds))


if __name__ == "__main__":
    main()
