"""Fan-out: likes per second to many viewers, their delays, and the ratio to the kernel's limit.

    python -m bench.fanout --viewers 10000 --rates 1,10,100,300,600 --rounds 3
    python -m bench.fanout --transport poll --rates 1,10,100
    python -m bench.fanout --idle-like

One video, all roles in one server process on one core; viewers and publisher on the other. A round has a
part for each of `--rates` (likes/s): ages (from the event's `at` to the read that returned it),
deliveries/s, writes/s, the server's CPU. With event streams, the last part of a round is **raw**: the raw
loop (bench/rawloop.py) over as many sockets, with the very bytes that a viewer was sent at the last rate, as
many per write as the server's average there.

`ratio` = median of the last rate's writes/s ÷ median of raw writes/s; so the last rate has to saturate the
server's core. What makes the comparison fair:

1. Both run on the same core, with the same listener options, the same number of sockets visited in the
   order of their coming, the same bytes, alternating within one run.
2. Both have a client of the same program on the other core. On loopback the client takes part in the cost
   of a write (bench/rawloop.py, 3.), so `reads_per_write` and `client_cpu` stand beside each. Where they
   differ much between the two, the ratio compares two clients, not two servers. A client that cannot keep up
   does not slow the writer: it finds more in each read. `full_per_s` counts the raw loop's writes that found
   no room.
3. Connections are made once, before the first round: sockets made anew in memory that others have left are
   scattered there, and visiting scattered sockets is up to a third slower, for either.
4. `writes_from` says whether the server counted its writes (/metrics), or the client its reads (fewer).
5. Each part reports where the core's time went (`cpu`, `ksoftirqd`, `foreign`, `idle`). `ratio_per_cpu`
   leaves out what other programs took. A last part whose core idled was not saturated, which is reported.
6. `p90_in_passes` is a rate's p90 in passes of the raw loop over all sockets, a measure that any machine can
   check. A pass is measured with the bytes of the last rate's writes.
7. The raw loop publishes nothing. What the server's 600 likes/s cost it is in the ratio.

After every part, with publishing stopped, each viewer must have exactly the events published, none lost,
none twice; a sample of them is also checked for order, ids and framing (`--verify`: 50 of them, else 1). A
run in which this fails exits with 1.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from bench.harness import cores, numbers, progress
from bench.rawloop import RawPair
from bench.results import Sheet, by_measure, finish, machine, medians
from bench.stage import MAX_VIEWERS, TRANSPORTS, Stage, staged

Step = Callable[..., None]

MEASURES = {
    "deliveries_per_s": "deliveries/s",
    "writes_per_s": "writes/s",
    "p50_ms": "age p50, ms",
    "p90_ms": "p90",
    "p99_ms": "p99",
    "max_ms": "max",
    "publish_p50_ms": "publisher's answer p50, ms",
    "publish_p99_ms": "p99",
    "events_per_write": "events a write",
    "bytes_per_write": "bytes a write",
    "reads_per_write": "reads a write",
    "user_us_per_write": "µs of Python a write",
    "fell_behind": "viewers that fell behind",
    "cpu": "the server's core: it itself",
    "ksoftirqd": "the kernel's network thread",
    "foreign": "other programs",
    "idle": "idle",
    "client_cpu": "the client's core, used by it",
}

GATHERED = {
    "connects_per_s": "connects/s",
    "connect_cpu_us": "CPU a connect, µs",
    "bytes_per_viewer": "bytes a viewer",
}
LONE = {
    "first_ms": "until the first has it",
    "all_ms": "until all have it",
    "spread_ms": "between them",
    "answer_ms": "publisher's answer",
}


def main(
    count: Annotated[int, typer.Option("--viewers", help="Viewers of one video.")] = 10_000,
    rates: Annotated[str, typer.Option(help="Likes/s, a part for each; the last one saturates.")] = "100,600",
    transport: Annotated[str, typer.Option(help=f"One of {', '.join(TRANSPORTS)}.")] = "sse",
    seconds: Annotated[float, typer.Option(help="Seconds counted in each part.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds of warm-up before that.")] = 3.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 3,
    redis: Annotated[bool, typer.Option("--redis", help="A real Redis, on the load's core.")] = False,
    idle_like: Annotated[
        bool, typer.Option("--idle-like", help="Lone likes on an idle server instead.")
    ] = False,
    raw: Annotated[bool, typer.Option(help="Alternate with the raw loop.")] = True,
    verify: Annotated[bool, typer.Option("--verify", help="Check 50 viewers' streams instead of 1.")] = False,
    source: Annotated[str, typer.Option(help="Connect from this address and those after it.")] = "",
    server: Annotated[str, typer.Option(help="Another server's command; it gets the same --set.")] = "",
) -> None:
    """Measure deliveries, writes and latency with many viewers of one video, beside a raw loop of sends.

    Example: python -m bench.fanout --viewers 10000 --rates 1,10,100,300,600 --seconds 10 --rounds 5
    """
    if count > MAX_VIEWERS:
        raise typer.BadParameter(
            f"one process holds at most {MAX_VIEWERS:,} viewers within 20,000 descriptors"
        )
    if transport not in TRANSPORTS or (idle_like and transport != "sse"):
        raise typer.BadParameter(f"--transport is one of {', '.join(TRANSPORTS)}; --idle-like: sse")
    facts = machine()
    core, load_core = cores()
    plan = Plan(count, source, numbers(rates), warmup, seconds, rounds, raw and transport == "sse")
    result: dict[str, Any] = {"bench": "fanout", "transport": transport, "viewers": count}
    result["bus"] = "redis" if redis else "memory"
    with (
        staged(redis, core, load_core, server or None, transport) as stage,
        progress(rounds * (1 if idle_like else len(plan.rates) + plan.raw)) as step,
    ):
        step(f"connecting {count:,} viewers", 0)
        result |= stage.gather(count, source, 50 if verify else 1)
        result |= idle_rounds(stage, rounds, step) if idle_like else loaded_rounds(stage, plan, step)
        result |= {"faults": stage.faults, "machine": facts}
    finish(result, sheets(result))


@dataclass(frozen=True)
class Plan:
    """The parameters of a run; times are in seconds."""

    count: int
    source: str
    rates: tuple[float, ...]
    warmup: float
    seconds: float
    rounds: int
    raw: bool


def idle_rounds(stage: Stage, rounds: int, step: Step) -> dict[str, Any]:
    found = []
    for number in range(rounds):
        step(f"lone like {number + 1}")
        found.append(stage.lone_like())
    return {"idle_like": medians(found), "rounds": {"idle_like": found}}


def loaded_rounds(stage: Stage, plan: Plan, step: Step) -> dict[str, Any]:
    """Run the alternating parts; return their figures by round."""
    found: dict[str, list[dict[str, float]]] = {part_name(rate): [] for rate in plan.rates}
    last = part_name(plan.rates[-1])
    with ExitStack() as stack:
        pair = None
        if plan.raw:
            step("connecting the raw loop's viewers", 0)
            pair = RawPair(*cores(), plan.count, plan.source)
            stack.callback(pair.close)
            found["raw"] = []
        for number in range(1, plan.rounds + 1):
            for rate in plan.rates:
                step(f"round {number}: {part_name(rate)}")
                found[part_name(rate)].append(stage.like(rate, plan.warmup, plan.seconds, plan.count))
            if pair:
                step(f"round {number}: raw loop")
                chunk = stage.audience.ask("excerpt", round(found[last][-1]["bytes_per_write"]))
                deliveries = plan.rates[-1] * plan.count
                found["raw"].append(pair.measure(chunk, plan.warmup, plan.seconds, deliveries))
    middle = {part: medians(measured) for part, measured in found.items()}
    result: dict[str, Any] = {"medians": middle, "rounds": found}
    result["writes_from"] = "the server's count" if stage.counts_writes else "the client's reads"
    if pair:
        # How long one pass of the raw loop over all sockets takes, and each rate's delays in passes.
        result["pass_ms"] = round(1000 * plan.count / middle["raw"]["writes_per_s"], 2)
        result["p90_in_passes"] = {
            part_name(rate): round(middle[part_name(rate)]["p90_ms"] / result["pass_ms"], 2)
            for rate in plan.rates
        }
        result["ratio"] = round(middle[last]["writes_per_s"] / middle["raw"]["writes_per_s"], 3)
        per_cpu = {
            part: statistics.median(
                one["writes_per_s"] / (one["cpu"] + one["ksoftirqd"]) for one in found[part]
            )
            for part in (last, "raw")
        }
        result["is_saturated"] = middle[last]["idle"] < 0.05
        result["ratio_per_cpu"] = round(per_cpu[last] / per_cpu["raw"], 3)
    return result


def part_name(rate: float) -> str:
    return f"{rate:g} likes/s"


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables of a result."""
    who = f"{result['viewers']:,} viewers by {result['transport']}, {result['bus']} bus"
    about = Sheet(f"{who}: connecting", ["", ""], [[what, result[name]] for name, what in GATHERED.items()])
    middle = result.get("idle_like")
    if middle:
        return [by_measure(f"{who}: a lone like, ms from its sending", LONE, {"": middle}), about]
    found = [by_measure(f"{who}; writes are {result['writes_from']}", MEASURES, result["medians"]), about]
    if "ratio" in result:
        note = (
            ""
            if result["is_saturated"]
            else " (the core was not saturated: it means nothing; add to --rates)"
        )
        rows = [["of writes/s", result["ratio"]], ["per CPU second", result["ratio_per_cpu"]]]
        rows += [
            [f"p90 at {part}, in passes of {result['pass_ms']:g} ms", passes]
            for part, passes in result["p90_in_passes"].items()
        ]
        found.append(Sheet(f"{who}: the ratio to the raw loop{note}", ["", ""], rows))
    return found


if __name__ == "__main__":
    typer.run(main)
