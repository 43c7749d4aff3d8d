"""What an event costs Redis, by the number of frontends that watch its video.

    python -m bench.forwarding --nodes 10,100,1000 --rate 1000

A real redis-server, and a dispatcher's publisher on the Redis bus, to which `--rate` single events/s come.
The frontends are connections that listen to inboxes, in a process of their own; their leases are real.
`back to back` is the same without the rests between commits to many nodes (`dispatcher/publish.py`). CPU is
from /proc; `answer` is the time from a publish to its being accepted. Everything shares the machine's cores.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Annotated

import trio
import typer
from rich.table import Table

from bench.harness import VIDEO, Worker, console, numbers, percentile
from bench.nodes import Redis, run_redis
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, DispatcherSettings, Duration, HistorySettings
from liveserver.dispatcher import publish
from liveserver.dispatcher.parse import VideoBatch
from liveserver.dispatcher.publish import Publisher
from liveserver.errors import Retryable

LINE = b'like {"id":"01JABCDEFGHJKMNPQRSTVWXYZ0","type":"like","user":"u1234","data":{"reaction":"heart"}}'
READ_PAUSE = 0.003  # seconds, between two reads of the inboxes


def _listen(control: Connection) -> None:
    """Listen to the inboxes of all frontends, and read from them until the parent ends."""
    port, count = control.recv()[1]
    poll, sockets = select.epoll(), {}
    for number in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(b"SUBSCRIBE ls:inbox:fe%d\r\n" % number)
        sock.recv(4096)
        sock.setblocking(False)
        sockets[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    control.send(None)
    poll.register(control.fileno(), select.EPOLLIN)
    buffer = bytearray(1 << 20)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == control.fileno():
                return
            sockets[descriptor].recv_into(buffer)
        time.sleep(READ_PAUSE)


@contextmanager
def _frontends(redis: Redis, count: int) -> Iterator[None]:
    worker = Worker(_listen, None)
    try:
        worker.ask("listen", redis.port, count)
        yield
    finally:
        worker.close()


async def _measure(redis: Redis, nodes: int, rate: float, seconds: float) -> dict[str, float]:
    """Publish for so long, and return what it cost."""
    answers: list[float] = []
    failed = 0

    async def one() -> None:
        nonlocal failed
        began = time.perf_counter()
        try:
            await publisher.publish([VideoBatch(VIDEO, [LINE], [None])])
        except Retryable:
            failed += 1
        else:
            answers.append(time.perf_counter() - began)

    url = redis.settings[1].partition("=")[2]
    settings = BusSettings(url=url, timeout=Duration(10.0))
    async with RedisBus.open("dc1", settings, HistorySettings()) as bus, trio.open_nursery() as nursery:
        for number in range(nodes):
            await bus.subscribe(f"fe{number}", {VIDEO: 1}, 300)
        publisher = Publisher(bus, "dc1", DispatcherSettings())
        nursery.start_soon(publisher.run)
        await one()
        answers.clear()
        commits, cpu, began = publisher.statistics().commits, redis.cpu_seconds(), trio.current_time()
        async with trio.open_nursery() as requests:
            for number in range(round(rate * seconds)):
                await trio.sleep_until(began + number / rate)
                requests.start_soon(one)
        elapsed = trio.current_time() - began
        cpu, commits = redis.cpu_seconds() - cpu, publisher.statistics().commits - commits
        nursery.cancel_scope.cancel()
    done = len(answers)
    return {
        "events_per_s": round(done / elapsed),
        "failed": failed,
        "redis_share": round(cpu / elapsed, 3),
        "event_us": round(cpu / done * 1e6, 1),
        "commits_per_s": round(commits / elapsed),
        "answer_p50_ms": round(percentile(answers, 0.5) * 1000, 1),
        "answer_p99_ms": round(percentile(answers, 0.99) * 1000, 1),
    }


def main(
    nodes: Annotated[str, typer.Option(help="frontends that watch the video")] = "10,100,1000",
    rate: Annotated[float, typer.Option(help="events per second")] = 1000,
    seconds: float = 5,
    rounds: int = 1,
) -> None:
    found: list[dict[str, object]] = []
    columns = "nodes, commits, events/s, Redis cores, µs an event, commits/s, answer p50 ms, p99 ms"
    table = Table(*columns.split(", "))
    rest = publish.NODE_REST
    for _ in range(rounds):
        for count in map(int, numbers(nodes)):
            for way, node_rest in (("apart", rest), ("back to back", 0.0)):
                publish.NODE_REST = node_rest
                with run_redis(None) as redis, _frontends(redis, count):
                    row = trio.run(_measure, redis, count, rate, seconds)
                found.append({"nodes": count, "commits": way, **row})
                del row["failed"]
                table.add_row(str(count), way, *map(str, row.values()))
    console.print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    typer.run(main)
