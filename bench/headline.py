"""The whole path: from a like's HTTP request to every viewer.

    python -m bench.headline --viewers 10000 --rate 100 --seconds 10 --rounds 5
    python -m bench.headline --backend http://127.0.0.1:8121 --frontend http://127.0.0.1:8101 --frontend …

    POST …/likes → likes backend (SQLite) → dispatcher → Redis → frontend → event streams

Each node is a process started from its file in config/, as `make run-cluster` starts them. Likes are single
POSTs at an even rate, whatever the answers take, over 32 keep-alive connections; those that the backend
closes after an answer are opened anew (`reopened`). A like says in its `user` when its request was sent, in
microseconds, and so does its event at each viewer: ages are from there to the return of the read that
brought it. All deliveries are counted, and the age of about every 97th of them is taken.

The frontend and the likes backend share one core; the dispatcher, Redis, the liker and the viewers the
other, so that both cores have about as much to do. `--no-pin` leaves all of them to the scheduler.
`cpu_…` are shares of one core.

Or start the nodes yourself, on as many cores as there are, and name them: `--backend`, and every
`--frontend`, over which the viewers are spread. Then only the load is run here. The clock must be the same.

Every viewer must have exactly the likes that were answered 201; if not, the run says so and exits with 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from bench import likes
from bench.harness import VIDEO, Worker, cores, progress
from bench.likes import STAMP, RequestTemplate
from bench.nodes import run_datacenter
from bench.results import Sheet, by_measure, finish, machine, medians
from bench.server import Server
from bench.stage import MAX_VIEWERS, PATH, WRITES
from bench.viewer_processes import ViewerProcesses, groups

LIKES = f"/v1/videos/{VIDEO}/likes"
TOKEN, PER_MS = b'"type":"like","user":"t', 1000
MEASURES = {
    "deliveries_per_s": "deliveries/s",
    "rate": "likes/s",
    "p50_ms": "from the request to the viewers p50, ms",
    "p90_ms": "p90",
    "p99_ms": "p99",
    "max_ms": "max",
    "answer_p50_ms": "the liker's answer p50, ms",
    "answer_p99_ms": "p99",
    "late_ms": "a like waited for a connection, at most, ms",
    "reopened": "connections closed by the backend",
    "events_per_write": "events a write",
    "reads_per_write": "reads a write",
    "cpu_frontend": "the frontend's core",
    "cpu_backend": "the likes backend's",
    "cpu_dispatcher": "the dispatcher's",
    "cpu_redis": "Redis'",
    "client_cpu": "the viewers'",
}


@dataclass(frozen=True)
class Nodes:
    """Where to like and to watch; `parts` are the processes by role; empty if they were started elsewhere."""

    backend: tuple[str, int]
    frontends: list[tuple[str, int]]
    parts: dict[str, Any]

    def cpu(self) -> dict[str, float]:
        return {role: sum(each.cpu_seconds() for each in family) for role, family in self.parts.items()}

    def writes(self) -> float:
        """Return the frontends' number of deliveries; 0 if they were started elsewhere."""
        frontends: list[Server] = self.parts.get("frontend", [])
        return sum(each.metrics().get(WRITES, 0.0) for each in frontends)


def main(
    count: Annotated[int, typer.Option("--viewers", help="Viewers in all.")] = 10_000,
    rate: Annotated[float, typer.Option(help="Likes/s.")] = 100.0,
    seconds: Annotated[float, typer.Option(help="Seconds counted in each round.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds of warm-up before that.")] = 3.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 5,
    pin: Annotated[
        bool, typer.Option(help="Frontend and backend on one core, the rest on the other.")
    ] = True,
    backend: Annotated[str, typer.Option(help="A running likes backend; none is started.")] = "",
    frontend: Annotated[list[str] | None, typer.Option(help="A running frontend; may be repeated.")] = None,
) -> None:
    """Measure likes from their HTTP requests to all viewers, over every node on the way.

    Example: python -m bench.headline --viewers 10000 --rate 100 --rounds 5
    """
    if bool(backend) != bool(frontend):
        raise typer.BadParameter("--backend and --frontend belong together: name both, or neither")
    facts = machine()
    load_core = cores()[1] if pin else None
    faults: list[str] = []
    with ExitStack() as stack:
        step = stack.enter_context(progress(rounds))
        step("starting the nodes", 0)
        nodes = stack.enter_context(named(backend, frontend) if frontend else started(pin))
        watching = stack.enter_context(
            closing(ViewerProcesses(groups(nodes.frontends, PATH, count), load_core))
        )
        liker = stack.enter_context(closing(Worker(likes.run, load_core)))
        watching.ask("understand", TOKEN, PER_MS, b"event: ready\n")
        step(f"connecting {count:,} viewers", 0)
        watching.connect(keep=1)
        found = []
        for number in range(1, rounds + 1):
            step(f"round {number}: {rate:g} likes/s to {count:,} viewers")
            measured, wrong = play(nodes, watching, liker, rate, warmup, seconds)
            found.append(measured)
            faults += [f"round {number}: {fault}" for fault in wrong]
    result = {
        "bench": "headline",
        "viewers": count,
        "likes_per_s": rate,
        "pinned": pin,
        "started_here": not frontend,
        "medians": medians(found),
        "rounds": found,
        "faults": faults,
        "machine": facts,
    }
    finish(result, sheets(result))


def play(
    nodes: Nodes, watching: ViewerProcesses, liker: Worker, rate: float, warmup: float, seconds: float
) -> tuple[dict[str, float], list[str]]:
    """Run one round; return its figures and the faults found."""
    template = RequestTemplate((LIKES,), b'{"user":"t%b","reaction":"heart"}' % STAMP, host=nodes.backend[0])
    watching.ask("restart")
    liker.tell("evenly", nodes.backend[1], rate, warmup + seconds + 0.5, 32, template)
    time.sleep(warmup)
    cpu, writes = nodes.cpu(), nodes.writes()
    watching.ask("begin")
    time.sleep(seconds)
    seen = watching.window()
    used = {f"cpu_{role}": (now - cpu[role]) / seen["seconds"] for role, now in nodes.cpu().items()}
    if written := (nodes.writes() - writes) / seen["seconds"]:
        used["events_per_write"] = seen["deliveries_per_s"] / written
        used["reads_per_write"] = seen["reads_per_s"] / written
    liked: dict[str, float] = liker.answer()
    return seen | used | liked, watching.settle(int(liked["accepted"]))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    title = f"{result['likes_per_s']:g} likes/s over HTTP to {result['viewers']:,} viewers"
    return [by_measure(title, MEASURES, {"median": result["medians"]})]


@contextmanager
def started(pin: bool) -> Iterator[Nodes]:
    """Yield all nodes, on this machine."""
    core, load_core = cores() if pin else (None, None)
    settings = (f"edge.max_connections={MAX_VIEWERS}", "likes.each_up_to=inf")
    with run_datacenter(load_core, load_core, [core], core, settings) as nodes:
        assert nodes.backend
        yield Nodes(
            (nodes.backend.host, nodes.backend.port),
            [(each.host, each.port) for each in nodes.frontends],
            dict(nodes.parts),
        )


@contextmanager
def named(backend: str, frontends: list[str]) -> Iterator[Nodes]:
    yield Nodes(address(backend), [address(url) for url in frontends], {})


def address(url: str) -> tuple[str, int]:
    """Return host and port of a URL. Raises `typer.BadParameter`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise typer.BadParameter(f"{url!r} is not a URL like http://127.0.0.1:8101")
    return parts.hostname, parts.port or 80


if __name__ == "__main__":
    typer.run(main)
