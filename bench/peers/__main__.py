"""The same work by other servers: same machine, run and client, one core each.

    python -m bench.peers --viewers 10000 --peers liveserver,nchan,node --rounds 5
    python -m bench.peers --viewers 500 --rounds 5

One hot video. Each in turn is started on the server's core, does all parts, and ends; then comes the next,
and so round by round. The client and the publisher, the ones of all other benches, have the other core. A
like says in its `user` when it was sent, and all ages are from there. Their configuration is beside
this file.

- **Start**: CPU until it is ready, and its memory then.
- **Publishing**: CPU a request with one event, 64 under way and no viewer; and with 100, where it takes
  several at once.
- **Connecting**: connects/s, CPU, and the growth of resident memory by idle viewer. liveserver's
  `edge.accept_rate` is lifted; other servers have no such limit.
- **10 likes/s** (`--paced`): ages, CPU. `--viewers 1000 --paced 100` is a medium load.
- **Saturated**: more likes than it can deliver, each published as soon as the server takes it. liveserver,
  Go, axum and Centrifugo coalesce writes, and so are sent more: up to 600
  likes/s. The others write each event by itself.
- **liveserver, one event a write** does not coalesce, as the others (`flush_interval` 0, `max_write` of one
  event), to compare writes.
- **Long-poll**, saturated, where there is one: a cycle is an answer and the next request.

Each viewer must have each event once; losses are reported, and so are peers that are not installed.
"""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from bench.harness import cores, progress
from bench.peers.kinds import PEERS, Peer
from bench.results import Sheet, by_measure, finish, machine, medians
from bench.server import Server
from bench.stage import MAX_VIEWERS, Manner, Stage

MEASURES = {
    "start_cpu_s": "start: CPU until ready, s",
    "idle_mb": "memory then, MB",
    "publish_us": "a publish of one event: CPU, µs",
    "publish_p50_ms": "its answer p50, ms",
    "batch_us": "an event in a batch of 100: CPU, µs",
    "connects_per_s": "connects/s",
    "connect_cpu_us": "CPU a connect, µs",
    "bytes_per_viewer": "bytes an idle viewer",
    "paced_p50_ms": "paced likes: age p50, ms",
    "paced_p90_ms": "p90",
    "paced_p99_ms": "p99",
    "paced_cpu": "core used",
    "deliveries_per_s": "saturated: deliveries/s",
    "single_writes_per_s": "writes/s of one event",
    "cpu_s_per_million": "CPU s a million deliveries",
    "saturated_p99_ms": "age p99, ms",
    "client_cpu": "client's core used",
    "poll_cycles_per_s": "long-poll: cycles/s",
    "poll_deliveries_per_s": "deliveries/s",
    "poll_client_cpu": "client's core used",
}


def main(
    count: Annotated[int, typer.Option("--viewers", help="Viewers of one video.")] = 10_000,
    peers: Annotated[str, typer.Option(help="Only peers whose name contains one of these words.")] = "",
    paced: Annotated[float, typer.Option(help="Likes/s of the paced part.")] = 10.0,
    seconds: Annotated[float, typer.Option(help="Counted in each part.")] = 5.0,
    warmup: Annotated[float, typer.Option(help="Seconds of the same before that.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 5,
) -> None:
    """Compare liveserver with nchan, Centrifugo, Mercure, Pushpin, Go, Rust, Node, uvicorn and Hypercorn.

    Example: python -m bench.peers --viewers 10000 --peers liveserver,nchan,node --rounds 5
    """
    if count > MAX_VIEWERS:
        raise typer.BadParameter(f"at most {MAX_VIEWERS:,} viewers fit into one process' descriptors")
    wanted = chosen(peers)
    versions = {peer.name: peer.version() for peer in wanted}
    present = [peer for peer in wanted if versions[peer.name]]
    facts = machine()
    found: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in present}
    faults: list[str] = []
    with progress(rounds * len(present)) as step:
        for number in range(1, rounds + 1):
            for peer in present:
                step(f"round {number}: {peer.name}")
                measured, wrong = play(peer, count, paced, warmup, seconds)
                found[peer.name].append(measured)
                faults += [f"round {number}, {peer.name}: {fault}" for fault in wrong]
    result = {
        "bench": "peers",
        "viewers": count,
        "paced": paced,
        "versions": {name: version for name, version in versions.items() if version},
        "missing": {peer.name: peer.install for peer in wanted if not versions[peer.name]},
        "medians": {name: medians(measured) for name, measured in found.items()},
        "rounds": found,
        "faults": [fault for fault in faults if "liveserver" in fault],
        "losses": [fault for fault in faults if "liveserver" not in fault],
        "machine": facts,
    }
    finish(result, sheets(result))


def chosen(words: str) -> list[Peer]:
    """Return the peers whose names contain one of the words; all for none. Raises `typer.BadParameter`."""
    wanted = [word.strip().lower() for word in words.split(",") if word.strip()]
    for word in wanted:
        if not any(word in peer.name.lower() for peer in PEERS):
            raise typer.BadParameter(f"{word!r} is in none of: {', '.join(peer.name for peer in PEERS)}")
    return [peer for peer in PEERS if not wanted or any(word in peer.name.lower() for word in wanted)]


def play(
    peer: Peer, count: int, paced: float, warmup: float, seconds: float
) -> tuple[dict[str, float], list[str]]:
    """Run all parts of one peer; return its figures, as far as it got, and the faults found."""
    measured: dict[str, float] = {}
    faults: list[str] = []

    def run(manner: Manner, demand: float, prefix: str) -> None:
        core, load_core = cores()
        with peer.start(core) as server, closing(Stage(server, core, load_core, manner)) as stage:
            try:
                if not prefix:
                    measured.update(publish(peer, server, stage, seconds))
                gathered = stage.gather(count, "", 0)
                if not prefix:
                    measured.update(gathered)
                    measured.update(_prefixed("paced_", stage.like(paced, warmup, seconds, count)))
                full = stage.like(peer.rate(demand, count), warmup, seconds, count)
                measured.update(_prefixed(prefix or "saturated_", full))
            except (OSError, RuntimeError) as error:  # it gave up under the load: that is a result as well
                faults.append(f"gave up: {error}")
            faults.extend(stage.faults)

    run(peer.stream, peer.demand, "")
    measured |= {
        name: measured[f"saturated_{name}"]
        for name in ("deliveries_per_s", "cpu_s_per_million", "client_cpu")
        if f"saturated_{name}" in measured
    }
    if peer.one_event_per_write and "deliveries_per_s" in measured:
        measured["single_writes_per_s"] = measured["deliveries_per_s"]
    if peer.poll:
        run(peer.poll, peer.poll_demand, "poll_")
        if "poll_reads_per_s" in measured:
            measured["poll_cycles_per_s"] = measured["poll_reads_per_s"]
    return measured, faults


def publish(peer: Peer, server: Server, stage: Stage, seconds: float) -> dict[str, float]:
    """Return the cost of its start and its publishers, without viewers."""
    measured = {"start_cpu_s": server.cpu_seconds(), "idle_mb": server.resident_bytes() / 1e6}
    for prefix, template in (("publish", peer.stream.template), ("batch", peer.batch)):
        if template is not None:
            cpu = server.precise_seconds()
            done = stage.publisher.ask("closed", server.publish_port, min(2.0, seconds), 64, template)
            cpu = server.precise_seconds() - cpu
            measured[f"{prefix}_us"] = cpu / done["accepted"] * 1e6
            measured[f"{prefix}_p50_ms"] = done["answer_p50_ms"]
    return measured


def _prefixed(prefix: str, measured: dict[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in measured.items()}


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table; it names missing peers and lost events."""
    paced = f"paced: {result['paced']:g} likes/s; " if "paced" in result else ""
    title = f"{result['viewers']:,} viewers of one video, {paced}one core each"
    found = [by_measure(title, MEASURES, result["medians"])]
    if result["missing"]:
        rows = [[name, install] for name, install in result["missing"].items()]
        found.append(Sheet("not installed, and so not measured", ["", "to install it"], rows))
    if result["losses"]:
        found.append(Sheet("what the others lost, or gave up", [""], [[loss] for loss in result["losses"]]))
    return found


if __name__ == "__main__":
    typer.run(main)
