"""Compression: bytes to a viewer and CPU, with it and without.

    python -m bench.compression --viewers 1000 --seconds 10

One server of all roles with `frontend.compression = "gzip"`. `--viewers` sockets of one kind at a time watch
a video of its own: event streams that accept gzip or not, WebSockets that offer permessage-deflate or not.
They are sent, at a steady rate: single likes at 100/s and at 600/s, sums of likes at 4/s, comments at 20/s.
Bytes are those read from the sockets, HTTP's and WebSocket's framing included. CPU is the server's, per
million deliveries (events times viewers). Everything shares the machine's cores: the ratios count.
"""

from __future__ import annotations

import json
import random
import select
import socket
import time
import urllib.request
from multiprocessing.connection import Connection
from typing import Annotated, Any

import typer

from bench.harness import HOST, Worker, progress
from bench.results import Sheet, finish, machine, medians
from bench.server import Server, run_server

WORDS = [
    "the",
    "goal",
    "what",
    "amazing",
    "stream",
    "hello",
    "from",
    "berlin",
    "love",
    "this",
    "music",
    "again",
]
RATES = {"likes 100/s": 100, "likes 600/s": 600, "sums 4/s": 4, "comments 20/s": 20}
WAYS = ("stream", "stream gzip", "websocket", "websocket deflate")
MEASURES = {
    "bytes_per_s": "bytes/s to a viewer",
    "bytes_per_event": "bytes an event",
    "cpu_s_per_million": "CPU s a million deliveries",
}
SETTLE = 1.0  # seconds
_UPGRADE = (
    "GET /v1/ws HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


def _event(kind: str, number: int) -> dict[str, object]:
    users = [f"u{random.randrange(100_000)}" for _ in range(8)]
    if kind.startswith("likes"):
        return {
            "type": "like",
            "user": users[0],
            "data": {"reaction": random.choice(["heart", "fire", "star"])},
        }
    if kind.startswith("sums"):
        data = {
            "added": {"heart": 57, "fire": 3},
            "total": {"heart": 10_234 + number, "fire": 33},
            "users": users,
        }
        return {"type": "likes", "key": "likes/3fk2", "version": 10_267 + number, "data": data}
    text = " ".join(random.choices(WORDS, k=random.randrange(3, 15)))
    return {"type": "comment", "user": users[0], "data": {"text": text}}


class _Viewers:
    """Viewers of one transport, with or without compression; counts the bytes they read."""

    def __init__(self, port: int, way: str, video: str, count: int) -> None:
        self._poll, self._sockets = select.epoll(), {}
        host, is_compressed = f"{HOST}:{port}", " " in way
        for _ in range(count):
            sock = socket.create_connection((HOST, port))
            if way.startswith("stream"):
                more = "accept-encoding: gzip\r\n" if is_compressed else ""
                sock.sendall(f"GET /v1/videos/{video}/events HTTP/1.1\r\nhost: {host}\r\n{more}\r\n".encode())
                first = sock.recv(65536)
                assert (b"content-encoding: gzip" in first) is is_compressed, first
            else:
                more = "sec-websocket-extensions: permessage-deflate\r\n" if is_compressed else ""
                sock.sendall(_UPGRADE.format(host=host, more=more).encode())
                first = sock.recv(65536)
                assert (b"permessage-deflate" in first) is is_compressed, first
                text = json.dumps({"subscribe": {"video": video}}).encode()
                sock.sendall(b"\x81%c\0\0\0\0%b" % (0x80 | len(text), text))
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            self._poll.register(sock, select.EPOLLIN)

    def read(self, seconds: float) -> int:
        """Read for so long; return the bytes."""
        ends, buffer, total = time.monotonic() + seconds, bytearray(1 << 20), 0
        while (left := ends - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left):
                total += self._sockets[descriptor].recv_into(buffer)
        return total


def _watch(control: Connection) -> None:
    """Run the viewers until the parent ends."""
    viewers = None
    while True:
        try:
            method, arguments = control.recv()
        except EOFError:
            return
        if method == "open":
            viewers = _Viewers(*arguments)
            control.send(None)
        else:
            assert viewers is not None
            control.send(viewers.read(*arguments))


def _publish(server: Server, video: str, kind: str, seconds: float) -> int:
    """Publish at the kind's rate for so long; return the number of events."""
    began, done, rate = time.monotonic(), 0, RATES[kind]
    while (now := time.monotonic() - began) < seconds:
        due = int(now * rate) - done
        if due > 0:
            body = json.dumps([_event(kind, done + number) for number in range(due)]).encode()
            request = urllib.request.Request(
                f"{server.url}/v1/videos/{video}/events", body, {"content-type": "application/json"}
            )
            urllib.request.urlopen(request, timeout=20).close()
            done += due
        time.sleep(max(0.0, (done + 1) / rate - (time.monotonic() - began)))
    return done


def _measure(
    server: Server, way: str, kind: str, number: int, viewers: int, seconds: float
) -> dict[str, float]:
    video = f"{way} {kind} {number}".replace(" ", "-").replace("/", "-")
    worker = Worker(_watch, None)
    try:
        worker.ask("open", server.port, way, video, viewers)
        worker.ask("read", SETTLE)
        cpu = server.cpu_seconds()
        worker.tell("read", seconds + SETTLE)
        events = _publish(server, video, kind, seconds)
        size = worker.answer()
        cpu = server.cpu_seconds() - cpu
    finally:
        worker.close()
    deliveries = events * viewers
    return {
        "bytes_per_s": round(size / viewers / seconds),
        "bytes_per_event": round(size / deliveries, 1),
        "cpu_s_per_million": round(cpu / deliveries * 1e6, 2),
    }


def main(
    viewers: Annotated[int, typer.Option(help="Viewers of each way.")] = 1000,
    seconds: Annotated[float, typer.Option(help="Counted for each way and kind.")] = 10.0,
    kinds: Annotated[str, typer.Option(help="Kinds of events, separated by semicolons.")] = ";".join(RATES),
    rounds: Annotated[int, typer.Option(help="Rounds; figures are their medians.")] = 1,
) -> None:
    """Measure bytes and CPU with compression and without.

    Example: python -m bench.compression --viewers 500 --seconds 5
    """
    wanted = kinds.split(";")
    if unknown := set(wanted) - set(RATES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: none of {'; '.join(RATES)}")
    facts = machine()
    parts = [(kind, way) for kind in wanted for way in WAYS]
    found: dict[str, list[dict[str, float]]] = {f"{kind}, {way}": [] for kind, way in parts}
    with (
        progress(rounds * len(parts)) as step,
        run_server(None, "frontend.compression=gzip", "frontend.counts_interval=1h") as server,
    ):
        for number in range(1, rounds + 1):
            for kind, way in parts:
                step(f"round {number}: {kind}, {way}")
                found[f"{kind}, {way}"].append(_measure(server, way, kind, number, viewers, seconds))
    result = {
        "bench": "compression",
        "viewers": viewers,
        "medians": {name: medians(measured) for name, measured in found.items()},
        "rounds": found,
        "machine": facts,
    }
    finish(result, sheets(result))


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the table, with a row for each kind of events and way."""
    rows = [
        [name, *(measured.get(measure) for measure in MEASURES)]
        for name, measured in result["medians"].items()
    ]
    return [Sheet(f"{result['viewers']:,} viewers of each way", ["", *MEASURES.values()], rows)]


if __name__ == "__main__":
    typer.run(main)
