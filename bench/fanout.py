"""How many likes reach how many viewers, how late, and how close that is to what the kernel allows.

    python -m bench.fanout --viewers 10000 --rate 100 --saturate 600 --seconds 10 --rounds 3
    python -m bench.fanout --viewers 10000 --idle-like

One video, all roles in one server process on one core; viewers and publisher on the other. Each round has
three parts:

- **paced**: `--rate` likes/s. Ages (from the event's `at` to the read that returned it), deliveries/s.
- **saturated**: `--saturate` likes/s, so many that the server's core has nothing left. Writes/s.
- **raw**: the raw loop (bench/rawloop.py) over as many sockets, with the very bytes that a viewer was sent
  in the saturated part, as many per write as the server's average there. Writes/s.

`ratio` = median of saturated writes/s ÷ median of raw writes/s. What makes it honest:

1. Both run on the same core, with the same listener options, the same number of sockets visited in the
   order of their coming, the same bytes, alternating within one run.
2. Both have a client of the same program on the other core. On loopback the client takes part in the cost
   of a write (bench/rawloop.py, 3.), so `reads_per_write` and `client_cpu` stand beside each. Where they
   differ much between the two, the ratio compares two clients, not two servers. A client that cannot keep
   up stops neither writer: it finds more in each read. `full_per_s` counts the raw loop's writes that found
   no room.
3. Connections are made once, before the first round: sockets made anew in memory that others have left are
   scattered there, and visiting scattered sockets is up to a third slower, for either.
4. `writes_from` says whether the server counted its writes (/metrics), or the client its reads (fewer).
5. Where the core's time went is told for each part (`cpu`, `ksoftirqd`, `foreign`, `idle`). `ratio_per_cpu`
   leaves out what other programs took. A saturated part whose core idled is no saturated part, and said so.
6. The raw loop publishes nothing. What the server's 600 likes/s cost it is in the ratio.

After every part, with publishing stopped, each viewer must have exactly the events published, none lost,
none twice; a sample of them is also checked for order, ids and framing (`--verify`: 50 of them, else 1). A
run in which this fails exits with 1.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from bench.harness import console, cores, emit, machine, medians, progress, show
from bench.rawloop import RawPair
from bench.stage import MOST_VIEWERS, WRITES, Stage, staged

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


def main(
    count: Annotated[int, typer.Option("--viewers", help="SSE viewers of one video.")] = 10_000,
    rate: Annotated[float, typer.Option(help="Likes/s of the paced part.")] = 100.0,
    saturate: Annotated[float, typer.Option(help="Likes/s of the saturated part.")] = 600.0,
    seconds: Annotated[float, typer.Option(help="Counted in each part.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds of the same before that.")] = 3.0,
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
    """Deliveries, writes and their latency with many viewers of one video; beside it a raw loop of sends.

    Example: python -m bench.fanout --viewers 10000 --rate 100 --seconds 10 --rounds 3
    """
    if count > MOST_VIEWERS:
        raise typer.BadParameter(
            f"one process holds at most {MOST_VIEWERS:,} viewers within 20,000 descriptors"
        )
    facts = machine()
    core, load_core = cores()
    result: dict[str, Any] = {"bench": "fanout", "viewers": count, "bus": "redis" if redis else "memory"}
    with (
        staged(redis, core, load_core, server or None) as stage,
        progress(rounds * (1 if idle_like else 3)) as step,
    ):
        step(f"connecting {count:,} viewers", 0)
        result |= stage.gather(count, source, 50 if verify else 1)
        if idle_like:
            result |= idle_rounds(stage, rounds, step)
        else:
            result |= loaded_rounds(
                stage, count, source, (rate, saturate), (warmup, seconds), rounds, raw, step
            )
        result |= {"faults": stage.faults, "machine": facts}
    report(result)
    emit(result)
    if result["faults"]:
        raise typer.Exit(1)


def idle_rounds(stage: Stage, rounds: int, step: Step) -> dict[str, Any]:
    found = []
    for number in range(rounds):
        step(f"lone like {number + 1}")
        found.append(stage.lone_like())
    return {"idle_like": medians(found), "rounds": {"idle_like": found}}


def loaded_rounds(
    stage: Stage,
    count: int,
    source: str,
    rates: tuple[float, float],
    times: tuple[float, float],
    rounds: int,
    raw: bool,
    step: Step,
) -> dict[str, Any]:
    """The alternating parts; `rates` paced and saturated, `times` warm-up and counted."""
    found: dict[str, list[dict[str, float]]] = {"paced": [], "saturated": [], "raw": []}
    with ExitStack() as stack:
        pair = None
        if raw:
            step("connecting the raw loop's viewers", 0)
            pair = RawPair(*cores(), count, source)
            stack.callback(pair.close)
        for number in range(1, rounds + 1):
            step(f"round {number}: {rates[0]:g} likes/s")
            found["paced"].append(stage.like(rates[0], *times, count))
            step(f"round {number}: {rates[1]:g} likes/s")
            found["saturated"].append(saturated := stage.like(rates[1], *times, count))
            if pair:
                step(f"round {number}: raw loop")
                chunk = stage.audience.ask("excerpt", round(saturated["bytes_per_write"]))
                found["raw"].append(pair.measure(chunk, *times))
    found = {part: measured for part, measured in found.items() if measured}
    middle = {part: medians(measured) for part, measured in found.items()}
    result: dict[str, Any] = {**middle, "rounds": found}
    result["writes_from"] = "the server's count" if WRITES in stage.server.metrics() else "the client's reads"
    if pair:
        result["ratio"] = round(middle["saturated"]["writes_per_s"] / middle["raw"]["writes_per_s"], 3)
        per_cpu = {
            part: statistics.median(
                one["writes_per_s"] / (one["cpu"] + one["ksoftirqd"]) for one in found[part]
            )
            for part in ("saturated", "raw")
        }
        result["is_saturated"] = middle["saturated"]["idle"] < 0.05
        result["ratio_per_cpu"] = round(per_cpu["saturated"] / per_cpu["raw"], 3)
    return result


def number(value: float | None) -> str:
    """Readable at a glance: thousands, or two decimals; nothing of nothing."""
    return "" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"


def report(result: dict[str, Any]) -> None:
    """The tables for people."""
    if "idle_like" in result:
        middle = result["idle_like"]
        show(
            f"a lone like, {result['viewers']:,} viewers, medians, ms from its sending",
            ["until the first has it", "until all have it", "between them", "publisher's answer"],
            [[float(middle[name]) for name in ("first_ms", "all_ms", "spread_ms", "answer_ms")]],
        )
    parts = [part for part in ("paced", "saturated", "raw") if part in result]
    if parts:
        show(
            f"{result['viewers']:,} viewers, {result['bus']} bus, medians; writes: {result['writes_from']}",
            ["", *parts],
            [
                [title, *(number(result[part].get(name)) for part in parts)]
                for name, title in MEASURES.items()
            ],
        )
    console.print(f"{result['connects_per_s']:,} connects/s, {result['bytes_per_viewer']:,} bytes a viewer")
    if "ratio" in result:
        console.print(
            f"ratio to the raw loop {result['ratio']:.2f}, per CPU second {result['ratio_per_cpu']:.2f}"
        )
        if not result["is_saturated"]:
            console.print(
                "[yellow]the server's core was not saturated: the ratio means nothing; raise --saturate"
            )
    for fault in result["faults"]:
        console.print(f"[red]{fault}")


if __name__ == "__main__":
    typer.run(main)
