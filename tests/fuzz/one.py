"""One target, fed in a process of its own: `python -m tests.fuzz.one TARGET --inputs N --seed S`.

It ends with 0 when nothing was found. Else the input that did it is in `tests/fuzz/finds/`: one that raises,
one that takes longer than `SECONDS` (the process is ended then, whatever it is in the middle of), or a run
whose memory grows. An input's file as the only argument behind the target feeds just that one.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import resource
import signal
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

HERE = Path(__file__).parent
CORPUS, FINDS = HERE / "corpus", HERE / "finds"
SECONDS = 5  # for one input; all take less than a hundredth of that
LONGEST = 4096  # bytes of an input
GROWTH = 64  # MB that a process may grow by, once it has warmed up
WARM = 0.2  # of the inputs


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("target")
    arguments.add_argument("input", nargs="?", type=Path)
    arguments.add_argument("--inputs", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--engine", choices=("atheris", "mutation"), default="mutation")
    given = arguments.parse_args()
    if given.engine == "atheris" and given.input is None:
        guided(given.target, given.inputs, given.seed)
    from tests.fuzz.targets import TARGETS

    if given.input is not None:
        TARGETS[given.target].check(given.input.read_bytes())
    else:
        mutated(given.target, given.inputs, given.seed)


def corpus(target: str) -> list[bytes]:
    """The inputs to begin with, always in the same order."""
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]


def mutated(name: str, count: int, seed: int) -> None:
    """Feed mutations of the corpus."""
    from tests.fuzz.mutation import inputs
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    FINDS.mkdir(exist_ok=True)
    under_way = FINDS / f"{name}-under-way"
    with under_way.open("w+b") as file:
        file.truncate(4 + LONGEST)
        # Survives this process, whatever ends it: who hangs in C code runs no handler.
        note = mmap.mmap(file.fileno(), 4 + LONGEST)
        began = received = time.monotonic()
        warm = 0
        for number, data in enumerate(islice(inputs(corpus(name), target.words, seed, LONGEST), count)):
            note[: 4 + len(data)] = len(data).to_bytes(4, "big") + data
            signal.setitimer(signal.ITIMER_REAL, SECONDS)  # its signal ends the process
            try:
                target.check(data)
            except BaseException:
                signal.setitimer(signal.ITIMER_REAL, 0)
                print(f"{name}: input {number} is a find: {keep(name, data)}", flush=True)
                raise
            if number == int(count * WARM):
                warm = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if time.monotonic() - received > 2:
                received = time.monotonic()
                print(f"{name}: {number:,} of {count:,}", flush=True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if now - warm > GROWTH * 1024:
            sys.exit(f"{name}: memory grows: {warm // 1024} MB, then {now // 1024} MB")
        rate = count / max(0.001, time.monotonic() - began)
        print(f"{name}: {count:,} inputs, {rate:,.0f}/s, {now // 1024} MB", flush=True)
    under_way.unlink()


def keep(name: str, data: bytes) -> Path:
    """Keep what was found; where."""
    path = FINDS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def kept_under_way(name: str) -> Path | None:
    """What a process that was ended was fed last, kept; None when there is nothing."""
    path = FINDS / f"{name}-under-way"
    if not path.exists():
        return None
    note = path.read_bytes()
    path.unlink()
    return keep(name, note[4 : 4 + int.from_bytes(note[:4], "big")])


def guided(name: str, count: int, seed: int) -> None:
    """Feed what new coverage is found with. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["liveserver"]):
        from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    FINDS.mkdir(exist_ok=True)
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    grown = tempfile.mkdtemp(prefix="liveserver-fuzz-")
    words = Path(grown) / "words.dict"
    words.write_text(
        "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words)
    )
    found = Path(grown) / "corpus"
    found.mkdir()
    atheris.Setup(
        [
            sys.argv[0], str(found), str(CORPUS / name), f"-runs={count}", f"-seed={seed}",
            f"-timeout={SECONDS}", "-rss_limit_mb=600", f"-max_len={LONGEST}", f"-dict={words}",
            f"-artifact_prefix={FINDS / name}-", "-print_final_stats=1",
        ],
        target.check,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
