"""The cost of an event with ten thousand videos, compared with ten.

    python -m bench.videos --many 10000 --few 10 --viewers 2 --rate 400 --rounds 5

Two datacenters beside each other, each with a Redis, a dispatcher and two frontends: one has `--many`
videos, the other `--few`, all with `--viewers` viewers each. Both are sent the same number of likes a
second, one video after the other, in turns; so an event means the same work in both: one publish, one script
in Redis, one message to one inbox, `--viewers` deliveries. With 10 videos and 400 likes/s each of them has a
like every 25 ms, more than `flush_interval`: nothing coalesces in either.

The cost is each process' CPU while likes come, less its CPU while none come (leases and heartbeats, which do
not depend on events), divided by the number of events. `ratio` = `--many`'s ÷ `--few`'s, of the servers' own
processes together; Redis' is reported beside. Dispatchers and frontends share one core, Redis and the load
the other.

Every viewer must have exactly the likes of its video; if not, the run says so and exits with 1.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import Annotated, Any

import typer

from bench import likes
from bench.harness import Worker, cores, progress
from bench.likes import RequestTemplate
from bench.nodes import Datacenter, run_datacenter
from bench.results import Sheet, by_measure, finish, machine, medians
from bench.stage import MAX_VIEWERS
from bench.viewer_processes import PER_PROCESS, Group, ViewerProcesses

FRONTENDS = 2
ROLES = ("dispatcher", "frontend", "redis")
MEASURES = {
    "event_us": "servers' CPU an event, µs",
    "delivery_us": "and a delivery",
    "dispatcher_us": "of it the dispatcher",
    "frontend_us": "the frontends",
    "redis_us": "besides, Redis",
    "p50_ms": "age p50, ms",
    "p99_ms": "p99",
    "idle_share": "of the core, without events",
}


class Setup:
    """A datacenter with its videos, their viewers and a publisher."""

    def __init__(
        self, nodes: Datacenter, videos: int, viewers: int, load_core: int, first_source: int
    ) -> None:
        self.nodes, self.videos, self.viewers = nodes, videos, viewers
        names = [f"/v1/videos/v{number}/events" for number in range(videos)]
        self.template = RequestTemplate(tuple(names), RequestTemplate().body)
        self.watching = ViewerProcesses(shares(nodes, names, viewers, first_source), load_core)
        self.publisher = Worker(likes.run, load_core)

    def close(self) -> None:
        self.publisher.close()
        self.watching.close()

    def cpu(self) -> dict[str, float]:
        return {role: sum(each.precise_seconds() for each in self.nodes.parts[role]) for role in ROLES}

    def idle(self, seconds: float) -> dict[str, float]:
        """Return CPU seconds a second, by role, while there are no likes."""
        before = self.cpu()
        time.sleep(seconds)
        return {role: (now - before[role]) / seconds for role, now in self.cpu().items()}

    def like(self, rate: float, seconds: float, idle: dict[str, float]) -> tuple[dict[str, float], list[str]]:
        """Like each video in turn; return the cost of an event, and the faults found."""
        per_video = max(1, round(rate * seconds / self.videos))
        total = per_video * self.videos  # whole rounds over all videos, so that all viewers have the same
        self.watching.ask("restart")
        before, began = self.cpu(), time.perf_counter()
        liked = self.publisher.ask(
            "evenly", self.nodes.dispatcher.port, rate, total / rate, 32, self.template
        )
        faults = self.watching.settle(per_video)
        elapsed = time.perf_counter() - began
        used = {role: now - before[role] - idle[role] * elapsed for role, now in self.cpu().items()}
        by_role = {f"{role}_us": seconds / total * 1e6 for role, seconds in used.items()}
        event = by_role["dispatcher_us"] + by_role["frontend_us"]
        seen = self.watching.window()
        measured = by_role | {
            "event_us": event,
            "delivery_us": event / self.viewers,
            "events": liked["accepted"],
            "p50_ms": seen["p50_ms"],
            "p99_ms": seen["p99_ms"],
            "idle_share": idle["dispatcher"] + idle["frontend"],
        }
        return measured, faults


def shares(nodes: Datacenter, paths: list[str], viewers: int, first_source: int) -> list[Group]:
    """Return what each client process watches: the videos alternate between the frontends, each on one."""
    found: list[Group] = []
    per_group = PER_PROCESS // viewers  # videos
    for index, frontend in enumerate(nodes.frontends):
        mine = paths[index::FRONTENDS]
        for start in range(0, len(mine), per_group):
            some = mine[start : start + per_group]
            source = f"127.0.0.{first_source + len(found)}"
            found.append(Group(frontend.host, frontend.port, some, len(some) * viewers, source))
    return found


def main(
    many: Annotated[int, typer.Option(help="Videos of the first datacenter.")] = 10_000,
    few: Annotated[int, typer.Option(help="Videos of the second datacenter.")] = 10,
    viewers: Annotated[int, typer.Option(help="Viewers of each video.")] = 2,
    rate: Annotated[float, typer.Option(help="Likes/s, over all videos.")] = 400.0,
    seconds: Annotated[
        float, typer.Option(help="About so many seconds in each part, in whole turns.")
    ] = 25.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 5,
) -> None:
    """Measure the cost of an event by the number of videos.

    Example: python -m bench.videos --many 10000 --few 10 --rounds 5
    """
    if not 0 < few <= many or many * viewers > FRONTENDS * MAX_VIEWERS:
        raise typer.BadParameter(
            f"--few is at most --many, which have {FRONTENDS * MAX_VIEWERS:,} viewers at most"
        )
    facts = machine()
    core, load_core = cores()
    found: dict[str, list[dict[str, float]]] = {"few": [], "many": []}
    faults: list[str] = []
    settings = (f"edge.max_connections={MAX_VIEWERS}",)
    with ExitStack() as stack:
        step = stack.enter_context(progress(2 * rounds))
        setups: dict[str, Setup] = {}
        for source, (name, videos) in enumerate({"few": few, "many": many}.items()):
            step(f"{videos:,} videos with {viewers} viewers each", 0)
            nodes = stack.enter_context(
                run_datacenter(load_core, core, [core] * FRONTENDS, settings=settings)
            )
            setup = setups[name] = stack.enter_context(
                closing(Setup(nodes, videos, viewers, load_core, 2 + 100 * source))
            )
            setup.watching.connect()
        for number in range(1, rounds + 1):
            for name, setup in setups.items():
                step(f"round {number}: {setup.videos:,} videos")
                idle = setup.idle(max(3.0, seconds / 2))
                measured, wrong = setup.like(rate, seconds, idle)
                found[name].append(measured)
                faults += [f"round {number}, {setup.videos:,} videos: {fault}" for fault in wrong]
    middle = {name: medians(measured) for name, measured in found.items()}
    result = {
        "bench": "videos",
        "videos": {"few": few, "many": many},
        "viewers": viewers,
        "likes_per_s": rate,
        "ratio": round(middle["many"]["event_us"] / middle["few"]["event_us"], 3),
        "medians": middle,
        "rounds": found,
        "faults": faults,
        "machine": facts,
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    title = (
        f"{result['likes_per_s']:g} likes/s, {result['viewers']} viewers of each video; "
        f"an event costs {result['ratio']:.2f} times as much with many"
    )
    parts = {f"{result['videos'][name]:,} videos": part for name, part in result["medians"].items()}
    return [by_measure(title, MEASURES, parts)]


if __name__ == "__main__":
    typer.run(main)
