"""Shared by the benchmarks: processes pinned to a core, ports, a progress bar.

Nothing here measures. A bench is a parent that only waits, a server on one core, and workers (viewers,
publishers, the raw loop) on the other; so that the measured process never shares a core with the measuring
ones.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

SEND_BUFFER = 64 * 1024  # frontend.send_buffer's default; the raw loop's listener gets the same
HOST = "127.0.0.1"
VIDEO = "bench"
Core = int | None  # one core, or whichever the scheduler chooses

console = Console(stderr=True)  # standard output carries the result line alone


class Worker:
    """A process of our own on one core, answering one request at a time.

    `kind(control)` runs in it: it reads `(method, arguments)` pairs from the connection and sends one
    answer for each. An exception in the worker is sent as the answer, and raised here.
    """

    def __init__(self, kind: Callable[[Connection], None], core: Core, forked: bool = False) -> None:
        # Forked from a process that has imported `kind`, where there are many of them.
        context: Any = multiprocessing.get_context("forkserver" if forked else "spawn")
        if forked:
            context.set_forkserver_preload([kind.__module__])
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
        self._connection.close()  # the worker ends at this EOF
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def serve_requests(control: Connection, worker: object) -> None:
    """Serve requests, as a worker that does nothing between them."""
    while serve_request(control, worker):
        pass


def serve_request(control: Connection, worker: object) -> bool:
    """Answer one request; return False when the client has closed."""
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
    """Return distinct free ports; those from index `adjacent_from` on follow each other."""
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
    """Return the core of the server and that of the load."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        console.print("[yellow]only one core: server and load share it, so the figures say little")
    return usable[0], usable[-1]


@contextmanager
def progress(steps: int) -> Iterator[Callable[..., None]]:
    """Show a bar with the present step's name: `step(name)` begins the next one, `step(name, 0)` only
    renames.
    """
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


def numbers(text: str) -> tuple[float, ...]:
    """Parse an option with several numbers, separated by commas. Raises `typer.BadParameter`."""
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or any(each <= 0 for each in found):
        raise typer.BadParameter(f"{text!r} is not a list of numbers above 0 such as 1,10,100")
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of them do not exceed (nearest rank); NaN if there are none."""
    return sorted(values)[int((len(values) - 1) * share)] if values else float("nan")
