"""Hostile clients of every kind, beside one bystander: `make attack`.

A node with its defaults, plain and over TLS. A bystander publishes an event, and waits until it arrives on
its own event stream, throughout the run. One kind of hostile client after the other attacks from a process
of its own, in `ROUNDS` rounds, between which the bystander is alone: both are measured under the same load
of the machine. It passes if requests that must be refused are refused, the bystander's median stays within
twice its median alone or within `FLOOR` (below which the machine's noise dominates), nothing of the attack is
left afterwards, no defect was counted, and the node's memory has not grown by more than `GROWTH`.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import ssl
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import trustme
import typer

from bench.harness import HOST, cores, free_ports
from bench.hostile_clients import ATTACKS, Target
from bench.server import Server, run_server

FLOOR = 0.025  # seconds
FACTOR = 2.0
ROUNDS = 3
GROWTH = 96e6  # bytes
SETTLE = 30.0  # seconds until nothing of an attack is left
EVENTS = "/v1/videos/bystander/events"


class Bystander:
    """Publishes events, and waits for them on its own event stream."""

    def __init__(self, port: int) -> None:
        self._publishing = http.client.HTTPConnection(HOST, port, timeout=10)
        self._watching = http.client.HTTPConnection(HOST, port, timeout=10)
        self._watching.request("GET", EVENTS)
        self._stream = self._watching.getresponse()
        self._count = 0

    def round_trip(self) -> float:
        """Return how many seconds an event takes from its publisher to its viewer."""
        self._count += 1
        name, began = f"b{self._count}", time.perf_counter()
        body = f'{{"type":"like","id":"{name}"}}'
        self._publishing.request("POST", EVENTS, body, {"content-type": "application/json"})
        answer = self._publishing.getresponse()
        answer.read()
        assert answer.status == 202, answer.status
        while name.encode() not in (line := self._stream.readline()):
            assert line, "the bystander's stream ended"
        return time.perf_counter() - began

    def round_trips(self, seconds: float) -> list[float]:
        """Return the round trips of so many seconds."""
        found, until = list[float](), time.monotonic() + seconds
        while time.monotonic() < until:
            found.append(self.round_trip())
            time.sleep(0.01)
        return found


def attack(name: str, target: Target, seconds: float, results: multiprocessing.Queue[str]) -> None:
    """Attack for so long, at least once; add the faults found to `results`."""
    os.nice(5)  # what the attackers compute is not the node's
    until = time.monotonic() + seconds
    wrong = ""
    while not wrong:
        try:
            wrong = ATTACKS[name](target)
        except (OSError, http.client.HTTPException) as error:
            wrong = (
                ""
                if isinstance(error, ConnectionError | ssl.SSLError)
                else f"{type(error).__name__}: {error}"
            )
        if time.monotonic() >= until:
            break
    results.put(wrong)


def main(
    seconds: Annotated[float, typer.Option(help="Seconds of each attack.")] = 3.0,
    only: Annotated[str, typer.Option(help="Only attacks whose name contains this.")] = "",
) -> None:
    """Attack a node in every way known here, beside a bystander that must not notice.

    Example: python -m bench.hostile --seconds 3
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        certificate, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        issued = trustme.CA().issue_cert("localhost", HOST)
        certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        core, _ = cores()
        (tls_port,) = free_ports(1)
        server = stack.enter_context(
            run_server(
                core,
                f"listen.tls={HOST}:{tls_port}",
                f"tls.certificate={certificate}",
                f"tls.key={key}",
                f"backend.directory={folder}",
            )
        )
        sys.exit(1 if run(server, Target(server.port, tls_port), seconds, only) else 0)


def run(server: Server, target: Target, seconds: float, only: str) -> int:
    """Return how many attacks were noticed."""
    bystander = Bystander(target.port)
    bystander.round_trips(1.0)
    noticed, before = 0, server.resident_bytes()
    for name in [name for name in ATTACKS if only in name]:
        alone, beside, faults = list[float](), list[float](), list[str]()
        there = server.metrics().get("liveserver_edge_connections", 0.0)
        left = 0.0
        for _ in range(ROUNDS):
            alone += bystander.round_trips(seconds / ROUNDS)
            results: multiprocessing.Queue[str] = multiprocessing.Queue()
            attacker = multiprocessing.Process(target=attack, args=(name, target, seconds / ROUNDS, results))
            attacker.start()
            beside += bystander.round_trips(seconds / ROUNDS)
            wrong = results.get(timeout=60)
            attacker.join(60)
            left = settled(server, there)
            if wrong and wrong not in faults:
                faults.append(wrong)
        usual, then = statistics.median(alone), statistics.median(beside)
        if then > max(FACTOR * usual, FLOOR):
            faults.append(f"the bystander waits {then / usual:.1f} times as long")
        if left:
            faults.append(f"{left:g} connections are left after {SETTLE:g} s")
        if failures := server.metrics().get("liveserver_edge_failures_total", 0.0):
            faults.append(f"{failures:g} defects")
        noticed += bool(faults)
        print(
            f"{name:<28} {usual * 1e3:6.1f} → {then * 1e3:6.1f} ms   {then / usual:4.2f}   "
            f"{'; '.join(faults) or 'ok'}",
            flush=True,
        )
    grown = server.resident_bytes() - before
    print(f"memory: {before / 1e6:.0f} MB, and {grown / 1e6:+.0f} MB after all attacks")
    return noticed + (grown > GROWTH)


def settled(server: Server, there: float) -> float:
    """Wait until no more connections are there than before; return how many more are left, at the latest
    then."""
    until = time.monotonic() + SETTLE
    while True:
        left = server.metrics().get("liveserver_edge_connections", 0.0) - there
        if left <= 0 or time.monotonic() > until:
            return max(0.0, left)
        time.sleep(0.2)


if __name__ == "__main__":
    typer.run(main)
