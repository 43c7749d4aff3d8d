"""Moderation: time until an act takes effect in the other datacenter, and the cost of a long ban list.

    python -m bench.moderation
    python -m bench.moderation --bans 10000 --rounds 10

Two datacenters of real nodes, each with its Redis, dispatcher, frontend and likes backend (SQLite), started
from config/; viewers have tokens.

- **Acts**: a moderator acts at the likes backend of dc1. `shown` is from the request until a viewer at the
  frontend of dc2 has its event; `enforced` from the answer until the likes backend of dc2 refuses (or the
  frontend has ended the banned user's stream), asked every few milliseconds. Their maxima over all rounds.
- **Costs**: likes and comments as fast as 16 connections carry them, alternating between a video without bans
  and one with `--bans` of them: the likes backend's CPU for one, and their ratio.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Annotated, Any

import httpx
import trio
import typer

from bench import likes
from bench.harness import HOST, Worker, cores, progress
from bench.likes import RequestTemplate
from bench.moderators_acts import DEADLINE, MODERATOR, SECRET, Pair, headers, measure_acts
from bench.nodes import Datacenter, run_datacenter
from bench.results import Sheet, by_measure, finish, machine, medians

BANNED = "banned"  # the video with a long ban list
QUIET = "quiet"  # the one without
AT_ONCE = 16
MEASURES = {
    "shown_p50_ms": "shown in dc2, p50 ms",
    "shown_max_ms": "at most",
    "enforced_p50_ms": "enforced in dc2 after the answer, p50 ms",
    "enforced_max_ms": "at most",
}
COSTS = {
    "without_us": "the backend's CPU without bans, µs",
    "with_us": "with them, µs",
    "ratio": "ratio",
}


def main(
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 10,
    bans: Annotated[int, typer.Option(help="Users on the ban list.")] = 10_000,
    seconds: Annotated[float, typer.Option(help="Of each part of the costs.")] = 3.0,
) -> None:
    """Measure the time until acts take effect in the other datacenter, and the cost of bans.

    Example: python -m bench.moderation --rounds 10 --bans 10000
    """
    facts = machine()
    acts: dict[str, dict[str, float]] = {}
    costs: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        step = stack.enter_context(progress(2 + rounds))
        step("starting two datacenters", 0)
        pair = stack.enter_context(opened())
        step(f"{rounds} rounds of acts")
        for name, times in trio.run(measure_acts, pair, rounds).items():
            acts[name] = {
                f"{what}_{share}_ms": value
                for what in times[0]
                for share, value in (
                    ("p50", statistics.median(each[what] for each in times)),
                    ("max", max(each[what] for each in times)),
                )
            }
        step(f"{bans} bans")
        trio.run(ban_many, pair, bans)
        _, load_core = cores()
        liker = stack.enter_context(closing(Worker(likes.run, load_core)))
        for number in range(1, rounds + 1):
            step(f"round {number} of costs")
            for kind in ("likes", "comments"):
                costs.setdefault(kind, []).append(measure_costs(pair, liker, kind, number, seconds))
    result: dict[str, Any] = {
        "bench": "moderation",
        "bans": bans,
        "acts": acts,
        "medians": {kind: medians(each) for kind, each in costs.items()},
        "rounds": costs,
        "machine": facts,
    }
    finish(result, sheets(result))


@contextmanager
def opened() -> Iterator[Pair]:
    """Yield the two datacenters, ready; what happens in the first is relayed to the second."""
    core, load_core = cores()
    common = ("auth.viewers=token", f"auth.secret={SECRET}")
    with ExitStack() as stack:

        def start(name: str, *peers: str) -> Datacenter:
            own = (*common, f"node.datacenter={name}")
            nodes = run_datacenter(
                load_core, load_core, [load_core], core, settings=own, dispatcher_settings=peers
            )
            return stack.enter_context(nodes)

        here = start("dc1")
        yield Pair(here, start("dc2", f"peers.dc1.url=redis://{HOST}:{here.redis.port}/0"))


async def ban_many(pair: Pair, count: int) -> None:
    """Ban so many users from a video, and wait until the backend of the second datacenter knows them."""
    users = iter([f"banned{number}" for number in range(count)])
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE, limits=limits) as client:

        async def ban() -> None:
            for user in users:
                url = f"{pair.backend(pair.there)}/v1/videos/{BANNED}/bans/{user}"
                (await client.put(url, json={}, headers=MODERATOR)).raise_for_status()

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(ban)


def measure_costs(pair: Pair, liker: Worker, kind: str, number: int, seconds: float) -> dict[str, float]:
    """Return the backend's CPU for a like or comment at either video, microseconds."""
    backend = pair.there.backend
    assert backend is not None
    body = b'{"reaction":"heart"}' if kind == "likes" else b'{"text":"a comment of usual length, says one"}'
    used: dict[str, float] = {}
    names = [QUIET, BANNED] if number % 2 else [BANNED, QUIET]
    for video in names:
        shown = tuple(f"{name}: {value}" for name, value in headers("ada").items())
        template = RequestTemplate((f"/v1/videos/{video}/{kind}",), body=body, host=HOST, headers=shown)
        cpu = backend.cpu_seconds()
        taken = liker.ask("closed", backend.port, seconds, AT_ONCE, template)
        used[video] = (backend.cpu_seconds() - cpu) / taken["accepted"] * 1e6
    ratio = used[BANNED] / used[QUIET] if used[QUIET] else math.nan
    return {"without_us": used[QUIET], "with_us": used[BANNED], "ratio": ratio}


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables for people."""
    return [
        by_measure("a moderator's acts", MEASURES, result["acts"]),
        by_measure(f"likes and comments with {result['bans']:,} bans", COSTS, result["medians"]),
    ]


if __name__ == "__main__":
    typer.run(main)
