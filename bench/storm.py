"""A frontend is killed, and all its viewers reconnect to the other one at once.

    python -m bench.storm --viewers 10000 --stayers 200 --rate 50 --rounds 3
    python -m bench.storm --stampede

Two frontends, a dispatcher and a real Redis, each a process; likes are published throughout.
`--viewers` watch at the one frontend, `--stayers` at the other. Then the first one is killed (SIGKILL). Its
viewers reconnect to the other one with their last ids: each after its `retry` (1-4 s, random), or with
`--stampede` all at once, as clients that ignore `retry` would. Each round is a cluster of its own:

- **alone**: the stayers, before other viewers connect. Ages, from the event's `at` to the read of it.
- **before**: the others watch at the frontend that is going to be killed.
- **during**: from the kill until all viewers have their `ready`: how long that takes, and the survivor's CPU.
- **after**: all viewers at the survivor.

The survivor, the dispatcher and Redis have one core, and nothing else of ours is on it; `foreign` is what
other programs, Redis included, used of it during the storm. The doomed frontend and all clients have the
other core: in **before** that one is busy with the 10,000, so only **alone** shows the latency of the path.
The stayers' reader runs at a higher priority where that is allowed, so that it measures the server and not
its waiting for the other clients.

Every round ends with a check: each viewer, of both kinds, has every event once, in order; those that came
back are sent `resumed` with the very id they asked with. If not, the run says so and exits with 1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Annotated, Any

import typer

from bench import reconnecting_viewers, viewers
from bench.harness import HOST, SEND_BUFFER, Worker, cores, progress
from bench.likes import Likes
from bench.nodes import Datacenter, run_datacenter
from bench.procfs import CoreUse
from bench.results import Sheet, finish, machine, medians
from bench.stage import MAX_VIEWERS, PATH

Step = Callable[..., None]

PATIENCE = 90.0  # seconds for all viewers to reconnect
SETTLED = 20.0  # seconds for the last events to arrive everywhere
SLICE = 0.5  # seconds
PRIORITY = -10
PHASES = ("alone", "before", "during", "after")
MEASURES = {
    "back_50_s": "50 % back after, s",
    "back_90_s": "90 %",
    "back_100_s": "100 %",
    "connects_per_s": "connects/s (the middle 80 %)",
    "turned_away": "turned away, and came again",
    "cpu_s": "survivor's CPU until then, s",
    "cpu_share": "share of its core",
    "foreign": "other programs' share of it",
}
AGES = ("p50_ms", "p99_ms", "max_ms")


class Stage:
    """One round's cluster and its clients, while they run."""

    def __init__(self, nodes: Datacenter, cores: tuple[int, int]) -> None:
        self.core, load_core = cores
        self.survivor, self.doomed = nodes.frontends
        self.dispatcher = nodes.dispatcher
        self.stayers = Worker(run_stayers, load_core)
        self.returning = Worker(reconnecting_viewers.run, load_core)
        self.publisher = Worker(publish_until_asked, load_core)

    def close(self) -> None:
        for worker in (self.publisher, self.returning, self.stayers):
            worker.close()

    def watch_stayers(self, seconds: float) -> dict[str, float]:
        """Yield what the stayers measure during the block."""
        self.stayers.ask("begin")
        time.sleep(seconds)
        window: dict[str, float] = self.stayers.ask("window")
        return window


@contextmanager
def staged(core: int, load_core: int) -> Iterator[Stage]:
    """Yield a ready cluster with its clients; all of it ends with the block."""
    settings = (f"edge.max_connections={MAX_VIEWERS}", f"frontend.send_buffer={SEND_BUFFER}")
    with (
        run_datacenter(core, core, [core, load_core], settings=settings) as nodes,
        closing(Stage(nodes, (core, load_core))) as stage,
    ):
        yield stage


def run_stayers(control: Connection) -> None:
    """Run viewers that measure every read's age, as a worker (see `harness.Worker`)."""
    with suppress(OSError):
        os.nice(PRIORITY)
    viewers.SAMPLE_EVERY = 1
    viewers.Viewers(control).serve()


def publish_until_asked(control: Connection) -> None:
    """Publish at a port and a rate until asked how many were accepted, as a worker."""
    accepted = 0
    with suppress(EOFError):
        _, (port, rate) = control.recv()
        while not control.poll():
            accepted += int(Likes().evenly(port, rate, SLICE, 4)["accepted"])
        control.recv()
        control.send(accepted)


def main(
    count: Annotated[int, typer.Option("--viewers", help="Viewers that lose their frontend.")] = 10_000,
    stayers: Annotated[int, typer.Option(help="Viewers of the other frontend.")] = 200,
    rate: Annotated[float, typer.Option(help="Likes/s throughout.")] = 50.0,
    seconds: Annotated[float, typer.Option(help="Seconds counted of each quiet phase.")] = 5.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 3,
    stampede: Annotated[bool, typer.Option("--stampede", help="All at once, ignoring `retry`.")] = False,
) -> None:
    """Measure how long the viewers of a dead frontend take to reconnect, and the effect on the others.

    Example: python -m bench.storm --viewers 10000 --rounds 3
    """
    if count + stayers > MAX_VIEWERS:
        raise typer.BadParameter(
            f"one process holds at most {MAX_VIEWERS:,} viewers within 20,000 descriptors"
        )
    facts = machine()
    core, load_core = cores()
    found: list[dict[str, float]] = []
    faults: list[str] = []
    with progress(rounds * len(PHASES)) as step:
        for number in range(1, rounds + 1):
            step(f"round {number}: starting a cluster", 0)
            with staged(core, load_core) as stage:
                say = _prefixed(step, f"round {number}: ")
                measured, wrong = play(stage, count, stayers, rate, seconds, not stampede, say)
            found.append(measured)
            faults += [f"round {number}: {fault}" for fault in wrong]
    result = {
        "bench": "storm",
        "viewers": count,
        "stayers": stayers,
        "likes_per_s": rate,
        "stampede": stampede,
        "medians": medians(found),
        "rounds": found,
        "faults": faults,
        "machine": facts,
    }
    finish(result, sheets(result))


def play(
    stage: Stage, count: int, stayers: int, rate: float, seconds: float, patient: bool, step: Step
) -> tuple[dict[str, float], list[str]]:
    """Run one round; return its figures and the faults found."""
    step("the stayers alone")
    stage.stayers.ask("connect", HOST, stage.survivor.port, [PATH], stayers, "", 10)
    stage.stayers.ask("restart")
    stage.publisher.tell("publish", stage.dispatcher.port, rate)
    time.sleep(1.0)
    ages = {"alone": stage.watch_stayers(seconds)}
    step(f"{count:,} viewers at the frontend that will die")
    stage.returning.ask("connect", stage.doomed.port, PATH, count)
    time.sleep(1.0)
    ages["before"] = stage.watch_stayers(seconds)
    stage.returning.ask("expect", stage.survivor.port, patient)
    step("killed")
    stage.stayers.ask("begin")
    use, others = CoreUse(stage.core), stage.dispatcher.cpu_seconds()
    cpu, since = stage.survivor.cpu_seconds(), time.monotonic()
    stage.doomed.process.kill()
    faults = []
    while (back := stage.returning.ask("back")) < count:
        if time.monotonic() > since + PATIENCE:
            faults.append(f"only {back} of {count} are back after {PATIENCE:g} s")
            break
        step(f"killed; {back:,} are back", 0)
        time.sleep(0.1)
    cpu, lasted = stage.survivor.cpu_seconds() - cpu, time.monotonic() - since
    foreign = use.since(cpu + stage.dispatcher.cpu_seconds() - others)["foreign"]
    ages["during"] = stage.stayers.ask("window")
    came: dict[str, float] = stage.returning.ask("result", since)
    step("all viewers at the survivor")
    ages["after"] = stage.watch_stayers(seconds)
    published = stage.publisher.ask("stop")
    faults += settle(stage, published, count, stayers)
    measured = came | {"cpu_s": cpu, "cpu_share": cpu / lasted, "foreign": foreign, "published": published}
    for phase, window in ages.items():
        measured |= {f"{phase}_{name}": window[name] for name in AGES}
    return measured, faults


def settle(stage: Stage, published: int, count: int, stayers: int) -> list[str]:
    """Wait until all viewers have all events; return what is wrong."""
    until = time.monotonic() + SETTLED
    while True:
        came, stayed = (
            stage.returning.ask("tally", published),
            stage.stayers.ask("tally", published),
        )
        if (came["level"], stayed["exact"]) == (count, stayers) or time.monotonic() > until:
            break
        time.sleep(0.1)
    time.sleep(0.3)  # duplicates would arrive now
    came, stayed = stage.returning.ask("tally", published), stage.stayers.ask("tally", published)
    faults: list[str] = stage.returning.ask("verify") + stage.stayers.ask("verify", published)
    if came["level"] != count:
        faults.append(f"not all that came back have all {published} events: {came}")
    if stayed["exact"] != stayers or stayed["closed"]:
        faults.append(f"not all that stayed have exactly the {published} events: {stayed}")
    return faults


def _prefixed(step: Step, prefix: str) -> Step:
    return lambda name, advance=1: step(prefix + name, advance)


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables of a result."""
    middle = result["medians"]
    how = "all at once" if result["stampede"] else "each after its retry of 1-4 s"
    rows = [[title, middle[name]] for name, title in MEASURES.items()]
    ages = [[phase, *(middle[f"{phase}_{name}"] for name in AGES)] for phase in PHASES]
    return [
        Sheet(f"{result['viewers']:,} viewers come back, {how}", ["", ""], rows),
        Sheet(f"ages at the {result['stayers']:,} that stayed, ms", ["", "p50", "p99", "max"], ages),
    ]


if __name__ == "__main__":
    typer.run(main)
