"""The cost of an event for Redis, by the number of frontends that watch its video.

    python -m bench.forwarding --nodes 10,100,1000 --rate 1000

A real redis-server, and a dispatcher's publisher on the Redis bus, to which `--rate` single events/s come.
The frontends are connections that listen to inboxes, in a process of their own; their leases are real. What
Redis writes to them is not copied but dropped in the kernel (MSG_TRUNC), four times a second, as real
frontends take no CPU of Redis' machine. It is counted: all must have got the same.
`back to back` is the same without the rests between commits to many nodes (`dispatcher/publish.py`). CPU is
Redis' own (INFO cpu), for each second; the first second warms up. `answer` is the time from a publish to its
being accepted. Everything shares the machine's cores.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Annotated, Any

import redis
import trio
import typer

from bench.harness import VIDEO, Worker, numbers, percentile, progress, serve_request
from bench.nodes import Redis, run_redis
from bench.results import Sheet, by_measure, finish, machine, medians
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, DispatcherSettings, Duration, HistorySettings
from liveserver.dispatcher import publish
from liveserver.dispatcher.parse import VideoBatch
from liveserver.dispatcher.publish import Publisher
from liveserver.errors import Retryable

LINE = b'like {"id":"01JABCDEFGHJKMNPQRSTVWXYZ0","type":"like","user":"u1234","data":{"reaction":"heart"}}'
READ_PAUSE = 0.25  # seconds, between two reads of the inboxes
UNREAD = 1 << 20  # bytes that wait at a connection meanwhile; the kernel grants what net.core.rmem_max allows
WARM_UP = 1  # seconds
MEASURES = {
    "events_per_s": "events/s",
    "slowest_second": "the slowest second's",
    "redis_share": "of Redis' core",
    "busiest_second": "in the busiest second",
    "event_us": "Redis' CPU an event, µs",
    "commits_per_s": "commits/s",
    "answer_p50_ms": "publisher's answer p50, ms",
    "answer_p99_ms": "p99",
}


class _Inboxes:
    """The connections of all frontends."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._received: list[int] = []

    def listen(self, port: int, count: int) -> None:
        for number in range(count):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD)
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"SUBSCRIBE ls:inbox:%s\r\n" % _name(number).encode())
            sock.recv(4096)
            sock.setblocking(False)
            self._sockets.append(sock)
        self._received = [0] * count

    def read(self) -> None:
        for number, sock in enumerate(self._sockets):
            with suppress(BlockingIOError):
                while got := sock.recv_into(_BUFFER, len(_BUFFER), socket.MSG_TRUNC):
                    self._received[number] += got

    def received(self) -> tuple[int, int]:
        """Return the fewest and the most bytes that a frontend has received."""
        self.read()
        return min(self._received), max(self._received)

    def forget(self) -> None:
        """Reset the counts."""
        self.read()
        self._received = [0] * len(self._sockets)


_BUFFER = bytearray(UNREAD)  # nothing is written to it


def _name(number: int) -> str:
    return f"fe{number:04}"


def _hold_inboxes(control: Connection) -> None:
    inboxes = _Inboxes()
    while True:
        if control.poll(READ_PAUSE) and not serve_request(control, inboxes):
            return
        inboxes.read()


@contextmanager
def _frontends(redis: Redis, count: int) -> Iterator[Worker]:
    worker = Worker(_hold_inboxes, None)
    try:
        worker.ask("listen", redis.port, count)
        yield worker
    finally:
        worker.close()


class _Seconds:
    """Accepted events, and Redis' CPU, in each second."""

    def __init__(self, port: int | None) -> None:
        self._client = redis.Redis(port=port or 0)
        self.accepted = 0
        self.found: list[tuple[float, float]] = []  # events/s, share of a core

    async def run(self) -> None:
        before = await self._read()
        while True:
            await trio.sleep(1)
            now = await self._read()
            elapsed = now[0] - before[0]
            self.found.append(((now[1] - before[1]) / elapsed, (now[2] - before[2]) / elapsed))
            before = now

    async def cpu_seconds(self) -> float:
        return (await self._read())[2]

    async def _read(self) -> tuple[float, int, float]:
        cpu = await trio.to_thread.run_sync(self._client.info, "cpu")
        return time.perf_counter(), self.accepted, cpu["used_cpu_user"] + cpu["used_cpu_sys"]


async def _measure(
    server: Redis, inboxes: Worker, nodes: int, rate: float, seconds: float
) -> dict[str, float]:
    """Publish for so long; return the cost."""
    answers: list[float] = []
    failed = 0
    each_second = _Seconds(server.port)

    async def one() -> None:
        nonlocal failed
        began = time.perf_counter()
        try:
            await publisher.publish([VideoBatch(VIDEO, [LINE], [None])])
        except Retryable:
            failed += 1
        else:
            answers.append(time.perf_counter() - began)
            each_second.accepted += 1

    url = server.settings[1].partition("=")[2]
    settings = BusSettings(url=url, timeout=Duration(10.0))
    async with RedisBus.open("dc1", settings, HistorySettings()) as bus, trio.open_nursery() as nursery:
        for number in range(nodes):
            await bus.subscribe(_name(number), {VIDEO: 1}, 300)
        publisher = Publisher(bus, "dc1", DispatcherSettings())
        nursery.start_soon(publisher.run)
        await one()
        await trio.sleep(0.5)  # until the viewer counts, of which some have got more, have arrived
        await trio.to_thread.run_sync(inboxes.ask, "forget")
        answers.clear()
        commits, cpu, began = 0, 0.0, trio.current_time()
        warm_until = began
        async with trio.open_nursery() as requests:
            for number in range(round(rate * (WARM_UP + seconds))):
                await trio.sleep_until(began + number / rate)
                if number == round(rate * WARM_UP):
                    answers.clear()
                    commits, cpu = publisher.statistics().commits, await each_second.cpu_seconds()
                    warm_until = trio.current_time()
                    nursery.start_soon(each_second.run)
                requests.start_soon(one)
        elapsed = trio.current_time() - warm_until
        cpu, commits = await each_second.cpu_seconds() - cpu, publisher.statistics().commits - commits
        nursery.cancel_scope.cancel()
    done = len(answers)
    sent = round(rate * (WARM_UP + seconds)) * len(LINE)
    with trio.fail_after(10):  # the last batch may still be on its way
        least, most = 0, 1
        while not failed and not sent < least == most:
            least, most = await trio.to_thread.run_sync(inboxes.ask, "received")
    rates, shares = zip(*each_second.found, strict=True)
    return {
        "events_per_s": round(done / elapsed),
        "failed": failed,
        "slowest_second": round(min(rates)),
        "redis_share": round(cpu / elapsed, 3),
        "busiest_second": round(max(shares), 3),
        "event_us": round(cpu / done * 1e6, 1),
        "commits_per_s": round(commits / elapsed),
        "answer_p50_ms": round(percentile(answers, 0.5) * 1000, 1),
        "answer_p99_ms": round(percentile(answers, 0.99) * 1000, 1),
    }


def main(
    nodes: Annotated[str, typer.Option(help="Frontends that watch the video.")] = "10,100,1000",
    rate: Annotated[float, typer.Option(help="Events per second.")] = 1000.0,
    seconds: Annotated[float, typer.Option(min=2.0, help="Counted for each number of frontends.")] = 5.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 1,
    back_to_back: Annotated[bool, typer.Option(help="Measure commits without rests, too.")] = True,
) -> None:
    """Measure the cost of an event for Redis, by the number of frontends that watch its video.

    Example: python -m bench.forwarding --nodes 10,100,1000 --rate 1000
    """
    facts = machine()
    ways = {"commits apart": publish.NODE_REST} | ({"back to back": 0.0} if back_to_back else {})
    parts = [(int(count), way) for count in numbers(nodes) for way in ways]
    found: dict[str, list[dict[str, float]]] = {_title(*part): [] for part in parts}
    with progress(rounds * len(parts)) as step:
        for number in range(1, rounds + 1):
            for count, way in parts:
                step(f"round {number}: {_title(count, way)}")
                publish.NODE_REST = ways[way]
                with run_redis(None) as server, _frontends(server, count) as inboxes:
                    row = trio.run(_measure, server, inboxes, count, rate, seconds)
                found[_title(count, way)].append(row)
    result = {
        "bench": "forwarding",
        "rate": rate,
        "medians": {name: medians(measured) for name, measured in found.items()},
        "rounds": found,
        "faults": [
            f"{name}: not all accepted" for name, rows in found.items() if any(r["failed"] for r in rows)
        ],
        "machine": facts,
    }
    finish(result, sheets(result))


def _title(count: int, way: str) -> str:
    return f"{count:,} frontends, {way}"


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table, with a column for each number of frontends."""
    return [by_measure(f"{result['rate']:,.0f} events/s of one video", MEASURES, result["medians"])]


if __name__ == "__main__":
    typer.run(main)
