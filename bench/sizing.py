"""Sizes sites by unit costs, and compares the predictions with this machine.

    python -m bench.sizing             # the tables of docs/sizing.md; --write: into it
    python -m bench.sizing --check     # 2 min: measure unit costs here, predict, measure, compare

`--check` takes the cost of a write, and of its bytes, from 10,000 viewers at 100 and at 600 likes/s on a full
core; that of an event from a publisher alone. Then it predicts other points and measures them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.costs import KIB, Prices, UnitCosts, core, plan
from bench.harness import cores, progress
from bench.procfs import kernel_bytes
from bench.results import Sheet, finish, machine, show
from bench.server import run_server
from bench.stage import MAX_VIEWERS, Stage

DOCUMENT = Path(__file__).parent.parent / "docs" / "sizing.md"
PLACE = re.compile(r"(<!-- sizing -->\n).*?(<!-- end -->)", re.S)
LIKES = 100.0  # a second, of the tables
EACH_LIKE = 18_286.0  # bytes a second to a viewer at that rate, each an event: bench.sums
WITH_SUMS = 568.0
TOLERANCE = 0.2
# What `--check` predicts: viewers and likes/s, and which of the figures.
POINTS = (
    (10_000, 10.0, "busy"),
    (10_000, 300.0, "writes_per_s"),
    (5_000, 300.0, "writes_per_s"),
    (10_000, 100.0, "p50_ms"),
    (10_000, 300.0, "p50_ms"),
)
ENOUGH = 0.8  # of the core, without which nothing is compared
QUIET = 0.95  # of the core, without which ages are not compared


def main(
    check: Annotated[bool, typer.Option("--check", help="Measure, predict, and compare.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the tables into docs/sizing.md.")] = False,
    seconds: Annotated[float, typer.Option(help="Counted at each point, with --check.")] = 5.0,
    rounds: Annotated[int, typer.Option(help="Rounds of --check; figures are their medians.")] = 3,
) -> None:
    """Size sites by measured unit costs, or compare predictions with measurements.

    Example: python -m bench.sizing --check
    """
    if check:
        _check(seconds, rounds)
        return
    if write:
        DOCUMENT.write_text(filled(DOCUMENT.read_text()))
    for sheet in tables():
        show(sheet)


def filled(page: str) -> str:
    """Return the page with the tables in their places."""
    text = "\n".join(sheet.markdown() for sheet in tables())
    return PLACE.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", page)


def tables(costs: UnitCosts = UnitCosts(), prices: Prices = Prices()) -> list[Sheet]:  # noqa: B008  # frozen
    """Return the tables: sites of three sizes, and the cost of 1,000 viewers for an hour."""
    return [_sites(costs, prices), _viewers(costs, prices)]


def _sites(costs: UnitCosts, prices: Prices) -> Sheet:
    sizes = ((10_000, 1), (1_000_000, 1), (50_000_000, 5))
    columns, plans = [""], []
    for viewers, datacenters in sizes:
        for single_likes in (False, True):
            columns.append(f"{viewers:,}, {'each like' if single_likes else 'sums'}")
            plans.append(
                plan(viewers, LIKES, costs, prices, datacenters=datacenters, single_likes=single_likes)
            )
    rows: list[tuple[str, Callable[[Any], float]]] = [
        ("datacenters", lambda one: one.datacenters),
        ("frontends, a core each", lambda one: one.frontend_cores),
        ("dispatchers", lambda one: one.dispatcher_cores),
        ("likes backends", lambda one: one.backend_cores),
        ("Redis masters, each with a replica", lambda one: one.redis_shards),
        ("messages/s of a Redis", lambda one: one.redis_messages_per_s),
        ("share of its core", lambda one: one.redis_busy),
        ("memory of frontends and kernels, GiB", lambda one: one.memory_gib),
        ("to viewers, Gbit/s", lambda one: one.gbit_per_s),
        ("out of a datacenter to the others, Mbit/s", lambda one: one.link_mbit_per_s),
        (f"an hour, {prices.currency}", lambda one: one.per_hour),
        (f"an hour of 1,000 viewers, {prices.currency}", lambda one: one.per_viewer_hour * 1000),
    ]
    return Sheet(
        f"One video with {LIKES:g} likes/s, 10,000 viewers a core, a third of the frontends to spare",
        columns,
        [[name, *(value(one) for one in plans)] for name, value in rows],
    )


def _viewers(costs: UnitCosts, prices: Prices) -> Sheet:
    rows: list[list[str | float]] = []
    forms: tuple[tuple[str, float, float], ...]
    forms = (("each like", EACH_LIKE, LIKES), ("sums", WITH_SUMS, costs.sums_rate))
    for name, size, rate in forms:
        one = core(10_000, rate, costs, size / rate)
        gigabytes = size * 1000 * 3600 / 1e9
        core_hours = one.busy / 10
        money = gigabytes * prices.egress_gb + core_hours * prices.core_hour
        cpu = one.busy / one.deliveries_per_s * 1e6
        rows.append([name, size, gigabytes, core_hours, cpu, money])
    columns = ["", "bytes/s a viewer", "GB", "core-hours", "CPU s a million deliveries", prices.currency]
    return Sheet(f"1,000 viewers for an hour, {LIKES:g} likes/s, one datacenter", columns, rows)


def _check(seconds: float, rounds: int) -> None:
    facts = machine()
    found = []
    with progress(rounds) as step:
        for number in range(1, rounds + 1):
            step(f"round {number}")
            found.append(measure(seconds))
    result: dict[str, Any] = {
        "bench": "sizing",
        "rounds": found,
        "comparison": compare(found),
        "machine": facts,
    }
    least = min(value for one in found for name, value in one.items() if name.endswith("share"))
    if least < ENOUGH:
        result["faults"] = [f"other programs took {1 - least:.0%} of the core: that compares nothing"]
        finish(result, sheets(result))
    result["faults"] = [
        f"{name}: predicted {predicted:,.3g}, measured {measured:,.3g}"
        for name, predicted, measured in result["comparison"]
        if abs(predicted / measured - 1) > TOLERANCE
    ]
    finish(result, sheets(result))


def measure(seconds: float) -> dict[str, float]:
    """Run one round: measure this machine's unit costs, and the points to predict."""
    own, load = cores()
    found: dict[str, float] = {}
    settings = ("edge.accept_rate=1000000", f"edge.max_connections={MAX_VIEWERS}")
    with run_server(own, *settings) as server, closing(Stage(server, own, load)) as stage:
        cpu = server.precise_seconds()
        done = stage.publisher.ask("evenly", server.port, 300.0, seconds)
        found["event_us"] = (server.precise_seconds() - cpu) / done["accepted"] * 1e6
        found["process_mb"] = server.resident_bytes() / 1e6
        before = sum(kernel_bytes().values())
        gathered = stage.gather(5_000, "", 0)
        found["kernel_bytes"] = (sum(kernel_bytes().values()) - before) / 5_000 / 2
        found["connect_us"] = gathered["connect_cpu_us"]
        found["viewer_bytes"] = gathered["bytes_per_viewer"]
        found |= _point(stage, 5_000, 300.0, seconds)
        stage.gather(5_000, "", 0)
        found["memory_bytes"] = server.resident_bytes()
        for rate in (10.0, 100.0, 300.0, 600.0):
            found |= _point(stage, 10_000, rate, seconds)
    return found


def _point(stage: Stage, viewers: int, rate: float, seconds: float) -> dict[str, float]:
    seen = stage.like(rate, 1.5, seconds, viewers)
    busy = seen["cpu"] + seen["ksoftirqd"]
    share = 1.0 - seen["foreign"]  # what other programs have left of the core
    figures = {**seen, "busy": busy, "share": share, "write_us": busy / seen["writes_per_s"] * 1e6}
    wanted = ("busy", "share", "writes_per_s", "bytes_per_write", "write_us", "p50_ms", "p99_ms")
    return {f"{viewers} × {rate:g}: {name}": figures[name] for name in wanted}


def costs_of(figures: dict[str, float]) -> UnitCosts:
    """Return the unit costs from the figures of a round, or from the medians."""
    few, many = ("10000 × 100: ", "10000 × 600: ")
    kib = {prefix: figures[f"{prefix}bytes_per_write"] / KIB for prefix in (few, many)}
    events = {few: 100, many: 600}
    write = {
        prefix: figures[f"{prefix}write_us"]
        - figures["event_us"] * events[prefix] / figures[f"{prefix}writes_per_s"]
        for prefix in (few, many)
    }
    per_kib = max(0.0, (write[many] - write[few]) / (kib[many] - kib[few]))
    size = figures[f"{many}bytes_per_write"] * figures[f"{many}writes_per_s"] / (10_000 * 600)
    return UnitCosts(
        write_us=write[few] - kib[few] * per_kib,
        kib_us=per_kib,
        event_us=figures["event_us"],
        event_bytes=size,
        connect_us=figures["connect_us"],
        viewer_bytes=figures["viewer_bytes"],
        process_mb=figures["process_mb"],
    )


def compare(rounds: list[dict[str, float]]) -> list[tuple[str, float, float]]:
    """Return the name, the prediction and the measured median of each predicted figure."""
    figures = {name: sorted(one[name] for one in rounds)[len(rounds) // 2] for name in rounds[0]}
    costs = costs_of(figures)
    found = [("memory_bytes", core(10_000, 0.001, costs).memory_bytes)]
    for viewers, rate, name in POINTS:
        point = f"{viewers} × {rate:g}: "
        share = figures[f"{point}share"]
        if name.endswith("_ms") and share < QUIET:
            continue  # a process that waits for its core is late by more than the model has
        found.append((point + name, getattr(core(viewers, rate, costs, share=share), name)))
    return [(name, predicted, figures[name]) for name, predicted in found]


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table of a result."""
    rows = [
        [name, predicted, measured, f"{predicted / measured - 1:+.0%}"]
        for name, predicted, measured in result["comparison"]
    ]
    return [Sheet("the model beside this machine", ["", "predicted", "measured", "off by"], rows)]


if __name__ == "__main__":
    typer.run(main)
