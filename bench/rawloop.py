"""The raw loop: the writes/s of one Python thread on this machine, without a server.

    python -m bench.rawloop --viewers 10000 --seconds 5 --sizes 150,750,3000

`for send in sends: send(chunk)` over as many accepted sockets as the server has viewers, in the order in
which they were accepted, non-blocking, as fast as it goes. The server's fan-out loop is measured against it
(bench/fanout.py): the difference from 1.0 is the cost of HTTP, Trio, segments and positions.

What makes it comparable to the server:

1. Its listener has the options of the server's: the send buffer, TCP_NODELAY, keepalive, TCP_USER_TIMEOUT.
2. A full socket is skipped and not counted, as the server's loop skips it. (`try` costs nothing.)
3. Its viewers are a client of the same program on the same core, doing the same work with the same bytes:
   on loopback, how fast one can write depends on what the reader does. While it keeps up, every write wakes
   it and both work on one socket at once (about 210,000 writes/s here); once it falls behind, writing is
   cheaper (250,000 to 400,000). So both are given the same time to warm up, the rounds alternate, and reads
   are reported beside writes.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from multiprocessing.connection import Connection
from typing import Annotated, Any

import typer

from bench import viewers
from bench.harness import HOST, SEND_BUFFER, VIDEO, Worker, cores, progress, serve_requests
from bench.procfs import CoreUse
from bench.results import Sheet, by_measure, finish, machine, medians

_READY = b"id: raw-0\nevent: ready\ndata: {}\n\n"
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n" % (len(_READY), _READY)
)
_EVENT = (
    b"id: dc1-k3f9a-1533\nevent: like\n"
    b'data: {"id":"01JD0000000000000000000000","video":"bench","type":"like","at":1763862000123}\n\n'
)

MEASURES = {
    "writes_per_s": "writes/s",
    "user_us_per_write": "µs of Python a write",
    "reads_per_write": "reads a write",
}


class RawLoop:
    """The requests of the parent, by name."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
        self._listener.bind((HOST, 0))
        self._listener.listen(4096)
        self._sockets: list[socket.socket] = []

    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def accept(self, count: int) -> None:
        """Accept `count` viewers, and answer each with a head and a `ready`."""
        self._listener.settimeout(20.0)
        for _ in range(count):
            accepted, _ = self._listener.accept()
            accepted.setblocking(False)
            accepted.send(_HEAD)
            self._sockets.append(accepted)

    def loop(self, chunk: bytes, warmup: float, seconds: float) -> dict[str, float]:
        """Send `chunk` to every socket again and again; counted after `warmup` seconds of the same."""
        self._passes(chunk, warmup)
        core = CoreUse(min(os.sched_getaffinity(0)))
        before = resource.getrusage(resource.RUSAGE_SELF)
        writes, full, elapsed = self._passes(chunk, seconds)
        after = resource.getrusage(resource.RUSAGE_SELF)
        user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        return {
            "writes_per_s": writes / elapsed,
            "full_per_s": full / elapsed,
            "user_us_per_write": user / writes * 1e6,
        } | core.since(user + system)

    def _passes(self, chunk: bytes, seconds: float) -> tuple[int, int, float]:
        sends = [accepted.send for accepted in self._sockets]
        passes = full = 0
        started = time.perf_counter()
        until = started + seconds
        while (now := time.perf_counter()) < until:
            for send in sends:
                try:
                    send(chunk)
                except BlockingIOError:
                    full += 1
            passes += 1
        return passes * len(sends) - full, full, now - started


def run(control: Connection) -> None:
    """Run as a worker (see `harness.Worker`)."""
    serve_requests(control, RawLoop())


class RawPair:
    """The raw loop on the server's core and its viewers on the other, ready to be measured."""

    def __init__(self, core: int, load_core: int, count: int, source: str = "") -> None:
        self._raw = Worker(run, core)
        self._audience = Worker(viewers.run, load_core)
        self._raw.tell("port")
        port = self._raw.answer()
        self._raw.tell("accept", count)
        self._audience.ask("connect", HOST, port, [f"/v1/videos/{VIDEO}/events"], count, source, 0)
        self._raw.answer()

    def measure(
        self, chunk: bytes, warmup: float, seconds: float, deliveries: float = 0.0
    ) -> dict[str, float]:
        """Measure a part of a round. `deliveries`/s are expected, by which the viewers sample."""
        self._raw.tell("loop", chunk, warmup, seconds)
        time.sleep(warmup)
        self._audience.ask("begin", deliveries)
        time.sleep(seconds)
        seen = self._audience.ask("window")
        result: dict[str, float] = self._raw.answer()
        return result | {
            "bytes_per_write": float(len(chunk)),
            "reads_per_write": seen["reads_per_s"] / result["writes_per_s"],
            "client_cpu": seen["client_cpu"],
        }

    def close(self) -> None:
        self._audience.close()
        self._raw.close()


def main(
    count: Annotated[int, typer.Option("--viewers", help="Sockets.")] = 10_000,
    seconds: Annotated[float, typer.Option(help="Seconds counted in each round.")] = 5.0,
    warmup: Annotated[float, typer.Option(help="Seconds of warm-up before that.")] = 3.0,
    rounds: Annotated[int, typer.Option(help="Rounds; the sizes alternate.")] = 3,
    sizes: Annotated[
        str, typer.Option(help="Bytes of one write; several, separated by commas.")
    ] = "150,750,3000",
) -> None:
    """Measure writes/s of a bare loop of non-blocking sends, by the size of a write.

    Example: python -m bench.rawloop --viewers 10000 --sizes 150,750,3000
    """
    facts = machine()
    chunks = {int(size): (_EVENT * (int(size) // len(_EVENT) + 1))[: int(size)] for size in sizes.split(",")}
    found: dict[int, list[dict[str, float]]] = {size: [] for size in chunks}
    core, load_core = cores()
    with progress(rounds * len(chunks)) as step:
        step("connecting", 0)
        pair = RawPair(core, load_core, count)
        for number in range(rounds):
            for size, chunk in chunks.items():
                step(f"round {number + 1}: {size} bytes")
                found[size].append(pair.measure(chunk, warmup, seconds))
        pair.close()
    middle = {f"{size} bytes": medians(measured) for size, measured in found.items()}
    result = {"bench": "rawloop", "viewers": count, "medians": middle, "rounds": found, "machine": facts}
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    return [by_measure(f"the raw loop, {result['viewers']:,} sockets", MEASURES, result["medians"])]


if __name__ == "__main__":
    typer.run(main)
