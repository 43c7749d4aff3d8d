"""The effect of an attack on viewers: thousands of clients that write request heads slowly, or read slowly.

Measured in one run, on one server with its defaults: the live viewers' ages without an attack, during one of
slow heads (each attacker sends a header line a second and never ends; one that is disconnected connects
again at once), and during one of slow reads (each asks for a stream with a tiny receive buffer, and takes
some bytes a second of it). Then no new connections are made, the existing ones continue as before, and the
time is taken until the server has ended them by its own deadlines.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Annotated, Any

import typer

from bench.harness import HOST, SEND_BUFFER, Worker, cores, progress, serve_requests
from bench.results import Sheet, finish, machine, medians
from bench.server import run_server
from bench.stage import MAX_VIEWERS, PATH, Stage

WARMUP = 2.0
TICK = 1.0  # seconds between two lines of a head, and between two reads
SIP = 64  # bytes
TINY_BUFFER = 4096  # bytes, of a slow reader's socket
OPENING = 200  # new connections at a time
PATIENCE = 60.0  # seconds for the server to disconnect them
HEAD = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\n".encode()
CONNECTIONS = "liveserver_edge_connections"


class Attackers:
    """The requests of the parent: an attack of so many seconds, and its result."""

    def slow_heads(self, port: int, count: int, seconds: float) -> dict[str, float]:
        return HostileClients(port, count, HEAD, b"x-a: b\r\n").attack(seconds, again=True)

    def slow_reads(self, port: int, count: int, seconds: float) -> dict[str, float]:
        return HostileClients(port, count, HEAD + b"\r\n", b"").attack(seconds, again=False)


class HostileClients:
    """`count` connections that send `first` and then, each second, `more`; without it, they read a little."""

    def __init__(self, port: int, count: int, first: bytes, more: bytes) -> None:
        self._port, self._count, self._first, self._more = port, count, first, more
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._opened = self._ended = 0
        self._wanted = count

    def attack(self, seconds: float, *, again: bool) -> dict[str, float]:
        """Attack; then wait until the server has disconnected all, or for `PATIENCE`."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            self._open()
            self._act()
            if not again and self._opened >= self._count:
                self._wanted = 0
        self._wanted = 0
        at_once, stopped = len(self._sockets), time.monotonic()
        while self._sockets and time.monotonic() < stopped + PATIENCE:
            self._act()
        left = len(self._sockets)
        for sock in self._sockets.values():
            sock.close()
        return {
            "opened": self._opened,
            "ended_by_server": self._ended,
            "at_once": at_once,
            "left": left,
            "ended_after_s": time.monotonic() - stopped,
        }

    def _open(self) -> None:
        for _ in range(min(OPENING, self._wanted - len(self._sockets))):
            sock = socket.socket()
            if not self._more:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BUFFER)
            sock.connect((HOST, self._port))
            sock.sendall(self._first)
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            # A slow reader has bytes to read all the time: only a hang-up says that it was disconnected.
            self._epoll.register(sock, select.EPOLLIN if self._more else select.EPOLLRDHUP)
            self._opened += 1

    def _act(self) -> None:
        """Run one tick: send or read a little on each, a part at a time, and find those that were
        disconnected.
        """
        began = time.monotonic()
        for index, sock in enumerate(list(self._sockets.values())):
            try:
                if self._more:
                    sock.send(self._more)
                else:
                    sock.recv(SIP)
            except BlockingIOError:
                pass
            except OSError:
                self._drop(sock.fileno())
            if not index % OPENING:
                self._notice(0.0)
                self._open()
        while (left := began + TICK - time.monotonic()) > 0:
            self._notice(left)

    def _notice(self, seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(seconds, 1024):
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        sock = self._sockets.pop(descriptor, None)
        if sock is not None:
            self._epoll.unregister(descriptor)
            sock.close()
            self._ended += 1


def run_attackers(control: Connection) -> None:
    serve_requests(control, Attackers())


def main(
    live: Annotated[int, typer.Option(help="Viewers that read.")] = 2_000,
    attackers: Annotated[int, typer.Option(help="Connections of the attack, at once.")] = 5_000,
    rate: Annotated[float, typer.Option(help="Likes a second.")] = 20.0,
    seconds: Annotated[float, typer.Option(help="Seconds of each of three measurements of a part.")] = 8.0,
) -> None:
    """Measure live viewers' latency without and during attacks, and how long attackers last.

    Example: python -m bench.attack --live 2000 --attackers 5000
    """
    facts = machine()
    core, load_core = cores()
    rounds: dict[str, list[dict[str, float]]] = {}
    attacks: dict[str, dict[str, float]] = {}
    memory: dict[str, float] = {}
    settings = (f"edge.max_connections={MAX_VIEWERS}", f"frontend.send_buffer={SEND_BUFFER}")
    with ExitStack() as stack, progress(9) as step:
        server = stack.enter_context(run_server(core, *settings))
        stage = Stage(server, core, load_core)
        stack.callback(stage.close)
        stage.gather(live, "", 8)
        for part, method in (("alone", ""), ("slow heads", "slow_heads"), ("slow reads", "slow_reads")):
            worker = Worker(run_attackers, load_core) if method else None
            if worker is not None:
                stack.callback(worker.close)
                worker.tell(method, server.port, attackers, 4 * (seconds + WARMUP))
                time.sleep(seconds)
            rounds[part] = []
            for number in range(3):
                step(f"{part}, {number + 1} of 3")
                rounds[part].append(stage.like(rate, WARMUP, seconds, live))
            memory[part] = server.resident_bytes() / 1e6
            if worker is not None:
                attacks[part] = worker.answer(4 * (seconds + WARMUP) + 2 * PATIENCE)
                attacks[part]["connections_after"] = server.metrics().get(CONNECTIONS, float("nan")) - live
    middles = {part: medians(each) for part, each in rounds.items()}
    result = {
        "bench": "attack",
        "live": live,
        "attackers": attackers,
        "rate": rate,
        "medians": middles,
        "p99_ratio": {part: middles[part]["p99_ms"] / middles["alone"]["p99_ms"] for part in attacks},
        "rounds": rounds,
        "attacks": attacks,
        "memory_mb": memory,
        "faults": stage.faults,
        "machine": facts,
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables of a result."""
    names = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99"}
    who = f"{result['live']:,} viewers, {result['rate']:g} likes/s, {result['attackers']:,} attackers"
    rows = [
        [part, *(middle[name] for name in names), result["p99_ratio"].get(part), result["memory_mb"][part]]
        for part, middle in result["medians"].items()
    ]
    story = [
        [part, attack["opened"], attack["at_once"], attack["ended_after_s"], attack["left"]]
        for part, attack in result["attacks"].items()
    ]
    return [
        Sheet(f"{who}: ages, ms", ["", *names.values(), "p99 to alone", "server's MB"], rows),
        Sheet("the attacks", ["", "connections in all", "at the end", "gone after s", "left"], story),
    ]


if __name__ == "__main__":
    typer.run(main)
