"""What the benches share: processes that stay on one core, facts about the machine, results one can read.

Nothing here measures. A bench is a parent that only waits, a server on one core, and workers (viewers,
publishers, the raw loop) on the other; so that what is measured never shares a core with who measures.
"""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import platform
import shlex
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table

SEND_BUFFER = 64 * 1024  # frontend.send_buffer's default; the raw loop's listener gets the same
HOST = "127.0.0.1"
VIDEO = "bench"
Core = int | None  # one core, or whichever the scheduler chooses
RESULTS = Path(__file__).parent / "results"

console = Console(stderr=True)  # standard output carries the result line alone


class Worker:
    """A process of our own on one core, answering one request at a time.

    `kind(control)` runs in it: it reads `(method, arguments)` pairs from the connection and sends one
    answer for each. An exception in the worker is sent as the answer, and raised here.
    """

    def __init__(self, kind: Callable[[Connection], None], core: Core) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(kind, theirs, core), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, method: str, *arguments: Any) -> None:
        """Start something; `answer` waits for its end."""
        self._connection.send((method, arguments))

    def answer(self, patience: float = 180.0) -> Any:
        if not self._connection.poll(patience):
            raise TimeoutError(f"a worker has not answered for {patience:.0f} s")
        answer = self._connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def ask(self, method: str, *arguments: Any) -> Any:
        self.tell(method, *arguments)
        return self.answer()

    def close(self) -> None:
        self._connection.close()  # the worker's end of file, on which it ends
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def serve_requests(control: Connection, worker: object) -> None:
    """The body of a worker that does nothing between requests."""
    while serve_request(control, worker):
        pass


def serve_request(control: Connection, worker: object) -> bool:
    """Answer one request; False once nobody asks any more."""
    try:
        method, arguments = control.recv()
    except (EOFError, ConnectionResetError):
        return False
    try:
        answer = getattr(worker, method)(*arguments)
    except Exception as error:
        answer = error
    control.send(answer)
    return True


def _work(kind: Callable[[Connection], None], control: Connection, core: Core) -> None:
    pin(core)
    kind(control)


def pin(core: Core) -> None:
    """Keep this process on `core`."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def free_ports(count: int, adjacent_from: int | None = None) -> list[int]:
    """Ports nobody listens on now, each another; those from index `adjacent_from` on follow each other."""
    for _ in range(50):
        held = [socket.create_server((HOST, 0))]
        try:
            while len(held) < count:
                is_next = adjacent_from is not None and len(held) > adjacent_from
                held.append(socket.create_server((HOST, held[-1].getsockname()[1] + 1 if is_next else 0)))
            return [listener.getsockname()[1] for listener in held]
        except (OSError, OverflowError):
            continue
        finally:
            for listener in held:
                listener.close()
    raise RuntimeError(f"found no {count} free ports")


def cores() -> tuple[int, int]:
    """The core of the server and that of the load."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        console.print("[yellow]only one core: server and load share it, so the figures say little")
    return usable[0], usable[-1]


def machine() -> dict[str, Any]:
    """Where this was measured, and under which load the machine already was."""
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
    return [f"bench.{Path(sys.argv[0]).stem}", *sys.argv[1:]]


def numbers(text: str) -> tuple[float, ...]:
    """Of an option with several, separated by commas. Raises `typer.BadParameter`."""
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or any(each <= 0 for each in found):
        raise typer.BadParameter(f"{text!r} is no list of numbers above 0 such as 1,10,100")
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank); NaN of none."""
    return sorted(values)[int((len(values) - 1) * share)] if values else float("nan")


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The median over the rounds of every number that all of them have."""
    names = [name for name, value in rounds[0].items() if isinstance(value, int | float)]
    return {
        name: round(statistics.median(one[name] for one in rounds), 3)
        for name in names
        if all(name in one for one in rounds)
    }


@contextmanager
def progress(steps: int) -> Iterator[Callable[..., None]]:
    """A bar with the present step's name: `step(name)` begins the next, `step(name, 0)` only speaks."""
    with Progress(
        *Progress.get_default_columns(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=2,
    ) as bar:
        task = bar.add_task("starting", total=steps)
        begun = 0

        def step(name: str, advance: int = 1) -> None:
            nonlocal begun
            bar.update(task, description=name, completed=max(0, begun + advance - 1))
            begun += advance

        yield step


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table for people, on standard error."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            *(
                f"{cell:,.1f}"
                if isinstance(cell, float)
                else f"{cell:,}"
                if isinstance(cell, int)
                else str(cell)
                for cell in row
            )
        )
    console.print(table)


def emit(result: dict[str, Any]) -> None:
    """The whole result as one line of JSON: on standard output, and in bench/results/NAME.jsonl."""
    line = json.dumps(result, separators=(",", ":"))
    print(line, flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{result['bench']}.jsonl").open("a") as file:
        file.write(line + "\n")
