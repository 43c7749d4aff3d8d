"""Hostile clients of every kind beside one bystander: `make attack`.

A node with its defaults, plain and over TLS. A bystander publishes an event, and waits until it has come
to its own event stream, all the while. One kind of hostile client after the other does its worst in a
process of its own, in `ROUNDS` rounds, between which the bystander is alone: both are measured under the
same load of the machine. It passes when what has to be refused is refused, the bystander's median stays
within twice what it was alone (and within `FLOOR`, below which the machine's own noise counts for more),
nothing of the attack is left afterwards, no defect was counted, and the node's memory has not grown by more
than `GROWTH`.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import h2.connection
import h2.exceptions
import trustme
import typer
from h2.settings import SettingCodes

from bench.harness import HOST, cores, free_ports
from bench.server import Server, run_server

FLOOR = 0.025  # seconds
FACTOR = 2.0
ROUNDS = 3
GROWTH = 96e6  # bytes
SETTLE = 30.0  # seconds until nothing of an attack is left
EVENTS = "/v1/videos/bystander/events"
VICTIM = "/v1/videos/victim"  # the attacks are about another video: the bystander has nothing to read of them
HEAD = f"Host: {HOST}\r\n"


@dataclass(frozen=True)
class Target:
    """Where the node listens."""

    port: int
    tls_port: int


class Bystander:
    """Publishes, and watches what it has published."""

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
        """Return those of some time."""
        found, until = list[float](), time.monotonic() + seconds
        while time.monotonic() < until:
            found.append(self.round_trip())
            time.sleep(0.01)
        return found


def connect(target: Target) -> socket.socket:
    return socket.create_connection((HOST, target.port), timeout=5)


def publish(target: Target, bodies: list[str]) -> list[int]:
    """Return what is answered to each body."""
    connection, found = http.client.HTTPConnection(HOST, target.port, timeout=5), []
    for body in bodies:
        connection.request(
            "POST",
            f"{VICTIM}/events",
            body.encode("utf-8", "surrogatepass"),
            {"content-type": "application/json"},
        )
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)
    return found


# Each does one round of its attack, and returns what was wrong, if anything.


def bad_events(target: Target) -> str:
    types = ["error", "refused", "state", "ready", "gap", "bye", "open", "close", "message", "pong", "events"]
    data = ["1e999", "9" * 5_000, '{"a":1,"a":2}', '"\\ud800"', "[" * 10_000, "NaN"]
    bodies = [f'{{"type":"{kind}"}}' for kind in types] + [f'{{"type":"x","data":{each}}}' for each in data]
    statuses = publish(target, bodies)
    return "" if set(statuses) == {400} else f"accepted: {statuses}"


def bad_requests(target: Target) -> str:
    post = f"POST {VICTIM}/events HTTP/1.1\r\n"
    chunked = post + HEAD + "Transfer-Encoding: chunked\r\n\r\n"
    wires = [
        chunked + text
        for text in ("f \r\n", "f;;;\r\n", "0\r\nA\r\n\r\n", "5;a\0\r\n", "0\r\nHost: x\r\n\r\n")
    ]
    wires += [
        post + "Host: a b\r\n\r\n",
        f"GET * HTTP/1.1\r\n{HEAD}\r\n",
        post + HEAD + "Content_Length: 5\r\n\r\n",
    ]
    for wire in wires:
        with connect(target) as sock:
            sock.sendall(wire.encode())
            if not (answer := sock.recv(100)).startswith(b"HTTP/1.1 400 "):
                return f"{wire!r} was answered {answer!r}"
    with connect(target) as sock:
        sock.sendall(
            f"GET /%0a%1b HTTP/1.1\r\n{HEAD}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
        )
        if not (answer := sock.recv(100)).startswith(b"HTTP/1.1 404 "):
            return f"a WebSocket nowhere was answered {answer!r}"
    with connect(target) as sock:
        sock.sendall(f"POST {VICTIM}/events HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
        if not (answer := sock.recv(100)).startswith(b"HTTP/1.1 421 "):
            return f"another host was answered {answer!r}"
    return ""


def pipelines(target: Target) -> str:
    wire = f"GET {VICTIM}/poll?cursor=earliest HTTP/1.1\r\n{HEAD}\r\n".encode() * 500
    with ExitStack() as stack:
        socks = [stack.enter_context(connect(target)) for _ in range(16)]
        for sock in socks:
            sock.setblocking(False)
        for _ in range(20):
            for sock in socks:
                with suppress(BlockingIOError):
                    sock.send(wire)
                with suppress(BlockingIOError):
                    sock.recv(1 << 20)
            time.sleep(0.01)
    return ""


def announced_bodies(target: Target) -> str:
    begun = f"POST {VICTIM}/events HTTP/1.1\r\n{HEAD}Content-Length: 4194304\r\n\r\n"
    large = "[" + ",".join([json.dumps({"type": "like", "data": "x" * 15_000})] * 10) + "]"
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(target)).sendall(begun.encode())
        statuses = publish(target, [large] * 3)
    return "" if statuses == [202] * 3 else f"a body was answered {statuses} beside announced ones"


def tiny_chunks(target: Target) -> str:
    wire = f"POST {VICTIM}/events HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    with connect(target) as sock, suppress(OSError):
        sock.sendall(wire + b"1\r\nx\r\n" * 100_000)
        sock.recv(100)
    return ""


def silent_connections(target: Target) -> str:
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(target))
        time.sleep(0.5)
    return ""


def made_up_cursors(target: Target) -> str:
    connection = http.client.HTTPConnection(HOST, target.port, timeout=5)
    for number in range(300):
        connection.request("GET", f"/v1/videos/new{number}/poll?cursor=dc9-zzzzz-999999999&wait=0")
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 429, 503):
            return f"a made-up cursor was answered {answer.status}"
    return ""


def made_up_marks(target: Target) -> str:
    """Resume at the beginning of a log, beside a mark of an origin that never sends anything."""
    body = json.dumps([{"type": "comment", "data": "x" * 100}] * 1_000)
    publish(target, [body])
    ask = f"GET {VICTIM}/events?cursor=dc9-zzzzz-999999999 HTTP/1.1\r\n{HEAD}\r\n".encode()
    with ExitStack() as stack:
        socks = [stack.enter_context(connect(target)) for _ in range(300)]
        for sock in socks:
            sock.sendall(ask)
            sock.setblocking(False)
        for _ in range(20):
            for sock in socks:
                with suppress(BlockingIOError):
                    sock.recv(1 << 18)
            time.sleep(0.05)
    return ""


class Http2:
    """A client of HTTP/2 that does as it likes."""

    def __init__(self, target: Target) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((HOST, target.tls_port), timeout=5)
        self.sock = context.wrap_socket(plain, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()

    def ask(self, number: int, path: str) -> None:
        self.h2.send_headers(
            1 + 2 * number,
            [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)],
            end_stream=True,
        )

    def flush(self) -> None:
        with suppress(OSError):
            self.sock.sendall(self.h2.data_to_send())


def untaken_answers(target: Target) -> str:
    for _ in range(4):
        client = Http2(target)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        for number in range(20):
            client.ask(number, f"{VICTIM}/poll?replay=200")
        client.flush()
        time.sleep(0.3)
        client.sock.close()
    return ""


def http2_floods(target: Target) -> str:
    for kind in ("priority", "ping", "settings", "reset"):
        client = Http2(target)
        with suppress(h2.exceptions.ProtocolError):
            for number in range(3_000):
                if kind == "priority":
                    client.h2.prioritize(1 + 2 * number, weight=1 + number % 256)
                elif kind == "ping":
                    client.h2.ping(b"12345678")
                elif kind == "settings":
                    client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16_384 + number % 2})
                elif number < 300:
                    client.ask(number, f"{VICTIM}/poll")
                    client.h2.reset_stream(1 + 2 * number)
        client.flush()
        time.sleep(0.3)
        client.sock.close()
    return ""


ATTACKS: dict[str, Callable[[Target], str]] = {
    "events that break clients": bad_events,
    "requests read in two ways": bad_requests,
    "pipelined polls": pipelines,
    "announced bodies": announced_bodies,
    "bodies of tiny chunks": tiny_chunks,
    "silent connections": silent_connections,
    "made-up cursors, new videos": made_up_cursors,
    "made-up marks, from the start": made_up_marks,
    "HTTP/2 answers not taken": untaken_answers,
    "HTTP/2 floods": http2_floods,
}


def attack(name: str, target: Target, seconds: float, results: multiprocessing.Queue[str]) -> None:
    """Attack for so long, at least once; say what was wrong."""
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
    seconds: Annotated[float, typer.Option(help="Of each attack.")] = 3.0,
    only: Annotated[str, typer.Option(help="Only attacks whose name has this in it.")] = "",
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
