"""Publishers: likes at an even rate, whatever the answers take; or as fast as the answers come."""

from __future__ import annotations

import json
import select
import socket
import time
from collections import deque
from multiprocessing.connection import Connection

from bench.harness import HOST, VIDEO, percentile, serve_requests

LIKE = {"type": "like", "user": "u4217", "data": {"reaction": "heart"}}


class Likes:
    """What the parent asks for, by name. Rates are per second, answer times milliseconds."""

    def evenly(self, port: int, rate: float, seconds: float, connections: int = 32) -> dict[str, float]:
        """Single likes, evenly spaced over keep-alive connections, one under way on each.

        An open loop: a like is due when it is due, however long the others' answers take. When no connection
        is free it waits for one, and `late` says how long at worst. Returns when all are answered.
        """
        request = publish_request(1)
        line = Line(port, connections)
        total = int(rate * seconds)
        started = time.perf_counter()
        sent, late = 0, 0.0
        while line.answered < total:
            due = started + sent / rate
            now = time.perf_counter()
            while sent < total and due <= now and line.idle:
                late = max(late, now - due)
                line.send(request)
                sent += 1
                due = started + sent / rate
            line.receive(10.0 if sent == total or not line.idle else max(0.0, due - time.perf_counter()))
        elapsed = time.perf_counter() - started
        line.close()
        return line.result() | {"rate": sent / max(elapsed, seconds), "late_ms": late * 1000}

    def closed(self, port: int, seconds: float, connections: int, batch: int) -> dict[str, float]:
        """Every connection sends its next request of `batch` events when it has the answer to its last."""
        request = publish_request(batch)
        line = Line(port, connections)
        started, cpu = time.perf_counter(), time.process_time()
        while (now := time.perf_counter()) < started + seconds:
            while line.idle:
                line.send(request)
            line.receive(10.0)
        at_the_end = line.answered
        while len(line.idle) < connections:
            line.receive(10.0)
        line.close()
        rate = at_the_end / (now - started)
        used = (time.process_time() - cpu) / (time.perf_counter() - started)
        return line.result() | {"requests_per_s": rate, "events_per_s": rate * batch, "client_cpu": used}


class Line:
    """Keep-alive connections of which each carries one request at a time, and what their answers said."""

    def __init__(self, port: int, connections: int) -> None:
        self._epoll = select.epoll()
        self.idle: deque[socket.socket] = deque()
        self._under_way: dict[int, tuple[socket.socket, float]] = {}
        self._partial: dict[int, bytes] = {}
        self.answered = self.accepted = 0
        self.refused: list[str] = []
        self.times: list[float] = []
        for _ in range(connections):
            one = socket.create_connection((HOST, port))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)
            self._epoll.register(one.fileno(), select.EPOLLIN)
            self.idle.append(one)

    def send(self, request: bytes) -> None:
        one = self.idle.popleft()
        self._under_way[one.fileno()] = one, time.perf_counter()
        one.send(request)

    def receive(self, wait: float) -> None:
        """Take the answers that have come, waiting `wait` seconds for the first. `TimeoutError` after 10."""
        select.select([self._epoll.fileno()], [], [], wait)  # epoll's own time-out is in whole milliseconds
        ready = self._epoll.poll(0, 1024)
        if not ready and wait >= 10.0:
            raise TimeoutError(f"{len(self._under_way)} publishes have waited 10 s for an answer")
        for descriptor, _ in ready:
            one, began = self._under_way[descriptor]
            answer = self._partial.pop(descriptor, b"") + one.recv(65536)
            if not answer:
                raise ConnectionError("the dispatcher closed a connection before its answer")
            if not is_whole(answer):
                self._partial[descriptor] = answer
                continue
            self.times.append((time.perf_counter() - began) * 1000)
            del self._under_way[descriptor]
            self.idle.append(one)
            self.answered += 1
            if answer.startswith(b"HTTP/1.1 202"):
                self.accepted += int(json.loads(answer.partition(b"\r\n\r\n")[2])["accepted"])
            else:
                self.refused.append(answer[:200].decode(errors="replace"))

    def close(self) -> None:
        for one in self.idle:
            one.close()
        self._epoll.close()

    def result(self) -> dict[str, float]:
        """Raises `RuntimeError` when an answer was not 202: a bench of refusals measures nothing."""
        if self.refused:
            raise RuntimeError(
                f"{len(self.refused)} publishes were refused, the first with: {self.refused[0]}"
            )
        return {
            "accepted": self.accepted,
            "answer_p50_ms": percentile(self.times, 0.5),
            "answer_p99_ms": percentile(self.times, 0.99),
        }


def publish_request(batch: int) -> bytes:
    """The bytes of one publish of `batch` likes: an object when it is one, else an array."""
    body = json.dumps(LIKE if batch == 1 else [LIKE] * batch, separators=(",", ":")).encode()
    head = f"POST /v1/videos/{VIDEO}/events HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def is_whole(answer: bytes) -> bool:
    """Whether the head has come, and as much body as it promises."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return True


def run(control: Connection) -> None:
    """A worker (see `harness.Worker`)."""
    serve_requests(control, Likes())
