"""Totals of likes compared with single likes: the load of a viewer, and the capacity of one backend.

    python -m bench.sums --rounds 5
    python -m bench.sums --viewers 2000 --rate 100 --storm 10000

Two datacenters of real nodes, each with its Redis, dispatcher, frontend and likes backend (SQLite), started
from config/: one publishes each like (`likes.each_up_to=inf`), the other only totals above 20 likes/s, the
default. They take turns, so that a disturbance of the machine affects both alike.

- **A viewer**: `--rate` likes/s over HTTP, of eight users; the events and bytes that come to each viewer in a
  second, as read from the sockets, chunking included.
- **The backend**: `--storm` likes/s, evenly spaced, however long the answers take: how many are stored and
  answered in a second, and the times of the answers.
- **The summary**: requests/s for `GET …/summary` at the frontend, from 16 connections, a request under way on
  each.
- **A newcomer**: the frontend's CPU for a viewer's connecting to the video, whose state has totals, and to
  one that has nothing.

The frontend and the backend share one core; everything else, clients included, has the other. After each part
the total at the frontend must be exactly the number of likes that were answered 201.
"""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from bench import likes
from bench.harness import VIDEO, Worker, cores, progress
from bench.headline import LIKES
from bench.likes import RequestTemplate
from bench.nodes import Datacenter, run_datacenter
from bench.results import Sheet, by_measure, finish, machine, medians
from bench.server import Server
from bench.stage import MAX_VIEWERS, PATH
from bench.viewer_processes import ViewerProcesses, groups

AT, PER_MS = b'"at":', 1
SETTLE = 10.0  # seconds for the last total to arrive
SUMMARY = f"/v1/videos/{VIDEO}/summary"
QUIET_VIDEO = "/v1/videos/quiet/events"
WAYS = {"single likes": "inf", "totals": "20"}
MEASURES = {
    "events_per_s": "events to a viewer, /s",
    "bytes_per_s": "bytes to a viewer, /s",
    "like_us": "CPU of all nodes a like, µs",
    "storm_per_s": "likes/s stored and answered at one backend",
    "storm_p50_ms": "their answer p50, ms",
    "storm_p99_ms": "p99",
    "storm_late_ms": "a like waited for a connection, at most, ms",
    "summaries_per_s": "summaries/s at the frontend",
    "summary_us": "the frontend's CPU for one, µs",
    "newcomer_us": "the frontend's CPU for a viewer's connecting, with state, µs",
    "quiet_newcomer_us": "the same at a video without, µs",
}


@dataclass(frozen=True)
class Way:
    """A datacenter that publishes in one way, its viewers, and the likes it has answered so far."""

    nodes: Datacenter
    watching: ViewerProcesses
    liker: Worker
    load_core: int
    liked: list[int]

    @property
    def backend(self) -> Server:
        assert self.nodes.backend is not None
        return self.nodes.backend

    @property
    def frontend(self) -> Server:
        return self.nodes.frontends[0]

    def cpu(self) -> float:
        """Return CPU seconds of all nodes, without Redis."""
        parts = self.nodes.parts
        return sum(each.cpu_seconds() for role in parts if role != "redis" for each in parts[role])


def main(
    count: Annotated[int, typer.Option("--viewers", help="Viewers of each way.")] = 500,
    rate: Annotated[float, typer.Option(help="Likes/s while a viewer is measured.")] = 100.0,
    storm: Annotated[float, typer.Option(help="Likes/s at one backend.")] = 10_000.0,
    seconds: Annotated[float, typer.Option(help="Seconds counted in each part.")] = 5.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 5,
) -> None:
    """Compare totals with single likes: the load of a viewer, and the capacity of one backend.

    Example: python -m bench.sums --rounds 5
    """
    facts = machine()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    faults: list[str] = []
    with ExitStack() as stack:
        step = stack.enter_context(progress(2 * rounds))
        step("starting two datacenters", 0)
        ways = {name: stack.enter_context(running(each, count)) for name, each in WAYS.items()}
        for number in range(1, rounds + 1):
            for name, way in ways.items():
                step(f"round {number}: {name}")
                measured, wrong = play(way, rate, storm, seconds)
                found[name].append(measured)
                faults += [f"round {number}, {name}: {fault}" for fault in wrong]
    result = {
        "bench": "sums",
        "viewers": count,
        "likes_per_s": rate,
        "storm": storm,
        "medians": {name: medians(each) for name, each in found.items()},
        "rounds": found,
        "faults": faults,
        "machine": facts,
    }
    finish(result, sheets(result))


@contextmanager
def running(each_up_to: str, count: int) -> Iterator[Way]:
    """Yield a datacenter of one way, with its viewers connected."""
    core, load_core = cores()
    settings = (
        f"edge.max_connections={MAX_VIEWERS}",
        f"likes.each_up_to={each_up_to}",
    )
    with ExitStack() as stack:
        nodes = stack.enter_context(run_datacenter(load_core, load_core, [core], core, settings))
        frontend = nodes.frontends[0]
        plan = groups([(frontend.host, frontend.port)], PATH, count)
        watching = stack.enter_context(closing(ViewerProcesses(plan, load_core)))
        liker = stack.enter_context(closing(Worker(likes.run, load_core)))
        watching.ask("understand", AT, PER_MS, b"event: ready\n")
        watching.connect()
        yield Way(nodes, watching, liker, load_core, [])


def play(way: Way, rate: float, storm: float, seconds: float) -> tuple[dict[str, float], list[str]]:
    """Play one round of a way; return its figures and the faults found."""
    faults: list[str] = []
    measured = watch(way, rate, seconds)
    faults += missing(way)
    measured |= overload(way, storm, seconds)
    faults += missing(way)
    measured |= ask_summaries(way, seconds) | newcomers(way)
    return measured, faults


def watch(way: Way, rate: float, seconds: float) -> dict[str, float]:
    """Return the events and bytes a viewer receives in a second, and the CPU of a like."""
    warmup = 1.5  # until the rate of likes is known to the backend
    way.liker.tell("evenly", way.backend.port, rate, warmup + seconds + 0.5, 16, like())
    time.sleep(warmup)
    cpu = way.cpu()
    way.watching.ask("begin")
    time.sleep(seconds)
    seen = way.watching.window()
    cpu = way.cpu() - cpu
    way.liked.append(int(way.liker.answer()["accepted"]))
    return {
        "events_per_s": seen["deliveries_per_s"] / way.watching.count,
        "bytes_per_s": seen["bytes_per_s"] / way.watching.count,
        "like_us": cpu / seen["seconds"] / rate * 1e6,
    }


def overload(way: Way, storm: float, seconds: float) -> dict[str, float]:
    """Return how many of so many likes a second one backend answers, and how fast."""
    taken = way.liker.ask("evenly", way.backend.port, storm, seconds, 256, like())
    way.liked.append(int(taken["accepted"]))
    return {
        "storm_per_s": taken["rate"],
        "storm_p50_ms": taken["answer_p50_ms"],
        "storm_p99_ms": taken["answer_p99_ms"],
        "storm_late_ms": taken["late_ms"],
    }


def ask_summaries(way: Way, seconds: float) -> dict[str, float]:
    """Return how many summaries the frontend answers in a second."""
    cpu = way.frontend.cpu_seconds()
    began = time.perf_counter()
    asked = way.liker.ask("closed", way.frontend.port, seconds, 16, RequestTemplate((SUMMARY,), method="GET"))
    answered = asked["requests_per_s"] * (time.perf_counter() - began)
    return {
        "summaries_per_s": asked["requests_per_s"],
        "summary_us": (way.frontend.cpu_seconds() - cpu) / answered * 1e6,
    }


def newcomers(way: Way, count: int = 1_000, batches: int = 3) -> dict[str, float]:
    """Return the frontend's CPU for a viewer's connecting, to the video and to one without state."""
    paths = {"newcomer_us": PATH, "quiet_newcomer_us": QUIET_VIDEO}
    found: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(batches):
        for name in list(paths) if number % 2 else reversed(paths):
            plan = groups([(way.frontend.host, way.frontend.port)], paths[name], count)
            with closing(ViewerProcesses(plan, way.load_core)) as watching:
                cpu = way.frontend.precise_seconds()
                watching.connect()
                found[name].append((way.frontend.precise_seconds() - cpu) / count * 1e6)
            time.sleep(1.0)  # until the frontend has seen them leave
    return {name: statistics.median(each) for name, each in found.items()}


def missing(way: Way) -> list[str]:
    """Wait until the frontend's total is the number of likes answered; return what is wrong if it is not."""
    due = time.monotonic() + SETTLE
    total = -1
    while time.monotonic() < due:
        with urllib.request.urlopen(f"{way.frontend.url}{SUMMARY}", timeout=10) as answer:
            total = json.load(answer)["likes"]
        if total == sum(way.liked):
            return []
        time.sleep(0.1)
    return [f"the total is {total:,}, and {sum(way.liked):,} likes were answered 201"]


def like() -> RequestTemplate:
    """Return the request of a like; its user is one of eight."""
    bodies = [b'{"user":"u%d","reaction":"heart"}' % (4200 + number) for number in range(8)]
    return RequestTemplate((LIKES,), bodies=tuple(bodies))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    title = (
        f"{result['likes_per_s']:g} likes/s to {result['viewers']:,} viewers, then {result['storm']:,.0f}/s"
    )
    return [by_measure(title, MEASURES, result["medians"])]


if __name__ == "__main__":
    typer.run(main)
