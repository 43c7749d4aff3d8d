"""The cost of viewers behind live: the same viewers live, and at ten different delays, in turn.

    python -m bench.delays --viewers 1000 --rounds 3

A frontend on the memory bus in this process, over socket pairs that a child drains; only this process's CPU
counts. Each part publishes at `--rate` until the longest delay is over, then counts `--seconds`. `ratio`: the
median of the rounds' CPU a delivery with delays ÷ that without.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import trio
import typer

from bench.results import Cell, Sheet, finish, machine
from liveserver.auth.authorizer import Authorizer
from liveserver.bus.interface import AppendRequest
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.edge.connection import Connection
from liveserver.edge.router import Router
from liveserver.edge.server import EdgeServer
from liveserver.frontend.admission import Admission
from liveserver.frontend.frontend import Frontend, open_frontend
from liveserver.frontend.routes import WatchRoutes

DELAYS = range(1, 11)  # seconds
TICK = 0.01


def main(
    viewers: Annotated[int, typer.Option(help="Viewers of one video.")] = 1_000,
    rate: Annotated[int, typer.Option(help="Events a second.")] = 100,
    seconds: Annotated[float, typer.Option(help="Seconds counted in each part.")] = 5.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 3,
) -> None:
    """Measure the fan-out with and without delays, in turn."""
    found: dict[str, list[float]] = {"live": [], "delayed": []}
    for _ in range(rounds):
        for name, queries in (("live", [""]), ("delayed", [f"?behind={delay}" for delay in DELAYS])):
            found[name].append(measure(viewers, rate, seconds, queries))
    live, delayed = (statistics.median(found[name]) for name in ("live", "delayed"))
    result: dict[str, Any] = {
        "bench": "delays",
        "viewers": viewers,
        "rate": rate,
        "rounds": found,
        "medians": {"live": round(live, 3), "delayed": round(delayed, 3)},
        "ratio": round(delayed / live, 3),
        "machine": machine(),
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    rows: list[list[Cell]] = [
        ["CPU a delivery, live, µs", result["medians"]["live"]],
        ["at ten delays, µs", result["medians"]["delayed"]],
        ["ratio", result["ratio"]],
    ]
    return [Sheet(f"{result['viewers']:,} viewers, {result['rate']} events/s", ["", ""], rows)]


def measure(viewers: int, rate: int, seconds: float, queries: list[str]) -> float:
    """Return the CPU of a delivery, in microseconds."""
    pairs = [socket.socketpair() for _ in range(viewers)]
    child = os.fork()
    if child == 0:
        drain([theirs for _, theirs in pairs], queries)
    try:
        for _, theirs in pairs:
            theirs.close()
        return trio.run(run, [ours for ours, _ in pairs], rate, seconds)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def drain(sockets: list[socket.socket], queries: list[str]) -> None:
    """Request the stream on each socket, and read until killed."""
    poll = select.epoll()
    by_number = {each.fileno(): each for each in sockets}
    for index, (number, sock) in enumerate(by_number.items()):
        path = f"/v1/videos/v/events{queries[index % len(queries)]}"
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if not by_number[number].recv(1 << 16):
                poll.unregister(number)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Frontend, MemoryBus, EdgeServer]]:
    """Yield a frontend without a listener."""
    settings = Settings()
    bus = MemoryBus(settings.node.datacenter, settings.history, settings.bus.inbox_batches)
    publisher = Publisher(bus, settings.node.datacenter, settings.dispatcher)
    subscriptions = Subscriptions(bus, settings.dispatcher.max_lease)
    dispatcher = LocalDispatcher(Parser(settings.dispatcher), publisher, subscriptions)
    async with open_frontend("n1", settings, bus, dispatcher) as frontend:
        router = Router()
        admission = Admission(Authorizer(settings), frontend.table.channels)
        WatchRoutes(frontend, settings.frontend, admission).add_to(router)

        async def nowhere(sock: socket.socket, received: bytes) -> None:
            sock.close()

        yield frontend, bus, EdgeServer(settings.edge, router, nowhere)


async def run(sockets: list[socket.socket], rate: int, seconds: float) -> float:
    """Return the CPU of a delivery, in microseconds."""
    async with serving() as (frontend, bus, edge), trio.open_nursery() as nursery:
        for sock in sockets:
            sock.setblocking(False)
            connection = Connection(sock, edge)
            edge.connections.add(connection)
            nursery.start_soon(connection.run)
        found = await publish(frontend, bus, rate, seconds)
        nursery.cancel_scope.cancel()
    return found


async def publish(frontend: Frontend, bus: MemoryBus, rate: int, seconds: float) -> float:
    number, began = 0, trio.current_time()
    cpu = deliveries = 0.0
    while (elapsed := trio.current_time() - began) < max(DELAYS) + 1 + seconds:
        if not deliveries and elapsed > max(DELAYS) + 1:
            cpu, deliveries = time.process_time(), float(frontend.fanout.counts.deliveries)
        lines = []
        while number < elapsed * rate:
            number += 1
            lines.append(b'like {"id":"e%d","video":"v","type":"like","user":"u","at":%d}' % (number, number))
        if lines:
            await bus.append([AppendRequest("v", f"t{number}", lines, [None] * len(lines))])
        await trio.sleep(TICK)
    return (time.process_time() - cpu) / (frontend.fanout.counts.deliveries - deliveries) * 1e6


if __name__ == "__main__":
    typer.run(main)
