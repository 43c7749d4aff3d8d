"""Many viewers at once: the rate of joining, memory per viewer, and a like to all of them.

    python -m bench.connections --viewers 100000 --workers 6
    python -m bench.connections --viewers 1000000 --rounds 3    # make bench-million: 20 GB, some 8 minutes

One liveserver of `node.workers` processes that share a port (SO_REUSEPORT), each a node of its own, all on
one core; Redis and the viewers, in as many client processes as necessary, on the other. Each client process
connects from an address of its own (127.0.0.2, 127.0.0.3 …), since one has only some 28,000 ports towards a
server.

- **connects/s** until the last viewer has its `ready`, of one core, for all workers have one.
  `edge.accept_rate` (10,000/s a worker), which protects connected viewers, is lifted.
- **Memory in the process**: the growth of the resident memory of all workers, by viewer.
- **Memory in the kernel**: the growth of its slabs (/proc/slabinfo) by viewer. Both ends of each connection
  are on this machine, so a server alone has about half; sockets that idle hold no buffers.
- **A like to all**: single ones, on the idle server; from its sending until the first, the median and the
  last viewer have read it, by the one clock that all processes of a machine have. Every viewer must; if not,
  the run says so and exits with 1. And what it cost a viewer, at the server and at the clients.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import ExitStack, closing
from typing import Annotated, Any

import typer

from bench import likes
from bench.harness import Worker, cores, percentile, progress
from bench.nodes import run_redis
from bench.procfs import CoreUse, available_bytes, kernel_bytes
from bench.results import Sheet, finish, machine, medians
from bench.server import Server, run_server
from bench.stage import MAX_VIEWERS, PATH
from bench.viewer_processes import PER_PROCESS, ViewerProcesses, groups

# Bytes of memory for each viewer: in the server's processes, in the kernel for both ends, in the clients.
NEEDED = 3_700 + 10_000 + 2_500
WORKER_BYTES = 25_000_000
SETTLE = 3.0  # seconds after connecting, and between likes
PATIENCE = 60.0  # seconds for a like to reach all
SPREAD = 0.95  # the kernel shares out connections by chance: how full the average worker may be
TOP = 6


def main(
    count: Annotated[int, typer.Option("--viewers", help="Viewers in all.")] = 100_000,
    workers: Annotated[int, typer.Option(help="Server processes; 0: as many as are needed.")] = 0,
    rounds: Annotated[int, typer.Option(help="Likes; figures are their medians.")] = 5,
) -> None:
    """Measure very many idle viewers: connects/s, memory, and a like to all.

    Example: python -m bench.connections --viewers 100000
    """
    needed = math.ceil(count / (MAX_VIEWERS * SPREAD))
    if workers and workers < needed:
        raise typer.BadParameter(f"{count:,} viewers need {needed} workers or more (--workers)")
    workers = workers or needed
    need, free = count * NEEDED + 2 * workers * WORKER_BYTES, available_bytes()
    if need > free:
        raise typer.BadParameter(
            f"{count:,} viewers need {need / 1e9:.1f} GB of memory; {free / 1e9:.1f} are free"
        )
    facts = machine()
    core, load_core = cores()
    with ExitStack() as stack:
        step = stack.enter_context(progress(2 + rounds))
        step(f"starting {workers} workers")
        redis = stack.enter_context(run_redis(load_core))
        settings = ["edge.accept_rate=1000000", f"edge.max_connections={MAX_VIEWERS}", *redis.settings]
        settings.append('node.roles=["frontend","dispatcher"]')
        server = stack.enter_context(run_server(core, *settings, workers=workers))
        plan = groups([(server.host, server.port)], PATH, count, PER_PROCESS)
        watching = stack.enter_context(closing(ViewerProcesses(plan, load_core)))
        publisher = stack.enter_context(closing(Worker(likes.run, load_core)))
        step(f"connecting {count:,} viewers from {len(plan)} processes")
        result = {
            "bench": "connections",
            "viewers": count,
            "workers": workers,
            "worker_bytes": server.private_bytes() // (workers + 2),  # the supervisor, and what forks them
            "worker_start_s": server.cpu_seconds() / workers,
        } | gather(server, watching)
        found = []
        for number in range(1, rounds + 1):
            step(f"like {number} of {rounds}")
            found.append(like_all(server, watching, publisher, number, load_core))
    reached = min(one["reached"] for one in found)
    result |= {
        "medians": medians(found),
        "rounds": found,
        "faults": [] if reached == count else [f"a like reached only {reached:,.0f} of {count:,} viewers"],
        "machine": facts,
    }
    finish(result, sheets(result))


def gather(server: Server, watching: ViewerProcesses) -> dict[str, Any]:
    """Connect all; return the rate, and the memory in bytes per viewer."""
    time.sleep(1.0)
    resident, slabs, cpu = server.resident_bytes(), kernel_bytes(), server.cpu_seconds()
    seconds = watching.connect()
    cpu = server.cpu_seconds() - cpu
    time.sleep(SETTLE)
    now = kernel_bytes()
    grown = {name: (size - slabs.get(name, 0)) / watching.count for name, size in now.items()}
    greatest = sorted(grown, key=lambda name: -grown[name])[:TOP]
    return {
        "connect_s": round(seconds, 2),
        "connects_per_s": round(watching.count / seconds),
        "connect_cpu_us": round(cpu / watching.count * 1e6, 1),
        "bytes_per_viewer": round((server.resident_bytes() - resident) / watching.count),
        "kernel_bytes_per_viewer": round(sum(grown.values())),
        "kernel_caches": {name: round(grown[name]) for name in greatest},
    }


def like_all(
    server: Server, watching: ViewerProcesses, publisher: Worker, number: int, load_core: int
) -> dict[str, float]:
    """Publish one like; return milliseconds from its sending, and how many viewers it reached."""
    time.sleep(SETTLE)
    like = {**likes.LIKE, "user": f"round-{number}"}  # not one of an earlier round that was late
    template = likes.RequestTemplate(body=json.dumps(like, separators=(",", ":")).encode())
    watching.ask("restart")
    watching.expect_one(PATIENCE + watching.count / 20_000, f'"user":"round-{number}",'.encode())
    time.sleep(0.5)
    cpu, use = server.cpu_seconds(), CoreUse(load_core)
    sent = time.monotonic()
    publisher.ask("evenly", server.port, 1.0, 1.0, 1, template)
    moments = watching.moments()
    cpu = server.cpu_seconds() - cpu
    clients = 1.0 - use.since(0.0)["idle"]
    after = [(moment - sent) * 1000 for moment in moments]
    return {
        "reached": len(after),
        "first_ms": percentile(after, 0.0),
        "median_ms": percentile(after, 0.5),
        "last_ms": percentile(after, 1.0),
        "cpu_us": cpu / watching.count * 1e6,
        "clients_core": clients,
    }


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables of a result."""
    middle = result["medians"]
    rows = [
        ["CPU for the start of a worker, s", result.get("worker_start_s")],
        ["memory of its own, MB", result.get("worker_bytes", 0) / 1e6 or None],
        ["connects/s (one core)", result["connects_per_s"]],
        ["server's CPU a connect, µs", result["connect_cpu_us"]],
        ["bytes a viewer, in the process", result["bytes_per_viewer"]],
        ["bytes a viewer, in the kernel, both ends", result["kernel_bytes_per_viewer"]],
        *([f"of it {name}", size] for name, size in result["kernel_caches"].items()),
        ["a like has reached", middle["reached"]],
        ["CPU for it at the server, µs a viewer", middle.get("cpu_us")],
        ["the clients' core used meanwhile", middle.get("clients_core")],
        ["the first after, ms", middle["first_ms"]],
        ["half of them", middle["median_ms"]],
        ["all of them", middle["last_ms"]],
    ]
    return [Sheet(f"{result['viewers']:,} viewers of {result['workers']} processes", ["", ""], rows)]


if __name__ == "__main__":
    typer.run(main)
