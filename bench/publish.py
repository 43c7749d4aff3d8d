"""How many publishes one dispatcher answers, and how fast: single ones and batches, in memory and over Redis.

    python -m bench.publish --seconds 5 --rounds 3
    python -m bench.publish --redis

A closed loop: each of `--connections` keep-alive connections sends its next request when it has the answer
to its last, without pipelining, so the rate is the dispatcher's maximum with that many concurrent requests;
answer times are at that load. There are no viewers: what is measured is HTTP, parsing, group commit,
numbering and logging. The server is on one core; the publisher, and with `--redis` the redis-server too, on
the other, which therefore can be what limits: `client_cpu` says how much of it the publisher itself used.

Rounds alternate between all kinds, so that a disturbance of the machine affects all alike.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from bench import likes
from bench.harness import Worker, cores, progress
from bench.likes import batch_of
from bench.nodes import run_redis
from bench.results import Sheet, by_measure, finish, machine, medians
from bench.server import Server, run_server

MEASURES = {
    "requests_per_s": "requests/s",
    "events_per_s": "events/s",
    "answer_p50_ms": "answer p50, ms",
    "answer_p99_ms": "p99",
    "cpu": "server's core",
    "client_cpu": "client's core",
}


def main(
    connections: Annotated[
        int, typer.Option(help="Keep-alive connections, one request each at a time.")
    ] = 64,
    batch: Annotated[int, typer.Option(help="Likes in one request of the batch rounds.")] = 100,
    seconds: Annotated[float, typer.Option(help="Seconds counted in each round.")] = 5.0,
    warmup: Annotated[float, typer.Option(help="Seconds of warm-up before that.")] = 1.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 3,
    redis: Annotated[bool, typer.Option("--redis", help="Also over a real Redis.")] = False,
) -> None:
    """Measure publishes/s at one dispatcher, single likes and batches.

    Example: python -m bench.publish --redis --seconds 5 --rounds 3
    """
    facts = machine()
    core, load_core = cores()
    found: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        servers = {"memory": stack.enter_context(run_server(core))}
        if redis:
            servers["redis"] = stack.enter_context(
                run_server(core, *stack.enter_context(run_redis(load_core)).settings)
            )
        publisher = Worker(likes.run, load_core)
        stack.callback(publisher.close)
        step = stack.enter_context(progress(rounds * len(servers) * 2))
        for number in range(1, rounds + 1):
            for bus, server in servers.items():
                for size in (1, batch):
                    step(f"round {number}: {bus} bus, {size} a request")
                    publisher.ask("closed", server.port, warmup, connections, batch_of(size))
                    measured = measure(server, publisher, seconds, connections, size)
                    found.setdefault(f"{bus}, {size} a request", []).append(measured)
    result = {
        "bench": "publish",
        "connections": connections,
        "medians": {kind: medians(measured) for kind, measured in found.items()},
        "rounds": found,
        "machine": facts,
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    title = f"one dispatcher, {result['connections']} connections"
    return [by_measure(title, MEASURES, result["medians"])]


def measure(
    server: Server, publisher: Worker, seconds: float, connections: int, size: int
) -> dict[str, float]:
    cpu = server.cpu_seconds()
    measured: dict[str, float] = publisher.ask("closed", server.port, seconds, connections, batch_of(size))
    return measured | {"cpu": (server.cpu_seconds() - cpu) / seconds}


if __name__ == "__main__":
    typer.run(main)
