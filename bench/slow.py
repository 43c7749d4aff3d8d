"""The effect of stalled viewers on others: thousands of them beside as many live ones.

Stalled viewers open a stream and never read. The server must neither wait for them nor buffer anything for
each; live viewers must not be affected. Measured in one run, on one server: the live viewers' ages without
the stalled ones, then beside them, and the server's memory throughout.

The stalled viewers' receive buffers are small, so that they are full within a few events; the server's
`frontend.slow_timeout` is raised beyond the run, otherwise it would disconnect them after 30 s.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Annotated, Any

import typer

from bench.harness import HOST, SEND_BUFFER, Worker, cores, progress, serve_requests
from bench.results import Sheet, finish, machine, medians
from bench.server import run_server
from bench.stage import FELL_BEHIND, MAX_VIEWERS, PATH, Stage

PART = 10.0  # seconds of one measurement
WARMUP = 2.0
STALLED_BUFFER = 4096  # bytes


class Stalled:
    """Viewers that open a stream and never read."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def open(self, port: int, count: int) -> int:
        request = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n\r\n".encode()
        for _ in range(count):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER)
            sock.connect((HOST, port))
            sock.sendall(request)
            self._sockets.append(sock)
        return len(self._sockets)


def run_stalled(control: Connection) -> None:
    serve_requests(control, Stalled())


def main(
    live: Annotated[int, typer.Option(help="Viewers that read.")] = 2_000,
    stalled: Annotated[int, typer.Option(help="Viewers that don't.")] = 2_000,
    rate: Annotated[float, typer.Option(help="Likes a second.")] = 100.0,
    minutes: Annotated[float, typer.Option(help="Minutes beside the stalled viewers.")] = 2.0,
) -> None:
    """Measure live viewers' latency and the server's memory, without and beside stalled viewers.

    Example: python -m bench.slow --live 2000 --stalled 2000 --minutes 2
    """
    facts = machine()
    core, load_core = cores()
    parts = max(1, round(minutes * 60 / (PART + WARMUP)))
    without: list[dict[str, float]] = []
    beside: list[dict[str, float]] = []
    memory: list[float] = []
    settings = (
        f"edge.max_connections={MAX_VIEWERS}",
        f"frontend.send_buffer={SEND_BUFFER}",
        "frontend.slow_timeout=1h",
        "history.max_events=2000",  # full before memory is measured, so that the log does not grow then
        "history.ephemeral_events=2000",
    )
    with ExitStack() as stack, progress(3 + parts) as step:
        server = stack.enter_context(run_server(core, *settings))
        stage = Stage(server, core, load_core)
        stack.callback(stage.close)
        idlers = Worker(run_stalled, load_core)
        stack.callback(idlers.close)
        gathered = stage.gather(live, "", 8)
        for number in range(3):
            step(f"{live} live viewers alone, {number + 1} of 3")
            without.append(stage.like(rate, WARMUP, PART, live))
        before = server.resident_bytes()
        idlers.ask("open", server.port, stalled)
        for number in range(parts):
            step(f"beside {stalled} stalled ones, {number + 1} of {parts}")
            beside.append(stage.like(rate, WARMUP, PART, live))
            memory.append(server.resident_bytes() / 1e6)
        lagging = server.metrics().get("liveserver_frontend_lagging", 0.0)
        fell_behind = server.metrics()[FELL_BEHIND]
    result = {
        "bench": "slow",
        "live": live,
        "stalled": stalled,
        "rate": rate,
        "gathered": gathered,
        "medians": {"alone": medians(without), "beside": medians(beside)},
        "rounds": {"alone": without, "beside": beside},
        "lagging": lagging,
        "fell_behind": fell_behind,
        "memory_before_mb": before / 1e6,
        "memory_mb": memory,
        "bytes_per_stalled": (memory[0] * 1e6 - before) / stalled,
        "faults": stage.faults,
        "machine": facts,
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables of a result."""
    names = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99"}
    rows = [[part, *(middle[name] for name in names)] for part, middle in result["medians"].items()]
    who = (
        f"{result['live']:,} viewers that read, {result['rate']:g} likes/s, {result['stalled']:,} that don't"
    )
    memory = result["memory_mb"]
    story = [
        ["before the stalled ones came", result["memory_before_mb"]],
        ["with them, at first", memory[0]],
        ["at most", max(memory)],
        ["at last", memory[-1]],
    ]
    return [Sheet(f"{who}: ages, ms", ["", *names.values()], rows), Sheet("the server's MB", ["", ""], story)]


if __name__ == "__main__":
    typer.run(main)
