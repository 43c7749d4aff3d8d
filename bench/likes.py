"""Publishers: likes at an even rate, however long the answers take; or as fast as the answers come."""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection

from bench.harness import HOST, VIDEO, percentile, serve_requests
from bench.http_client import get, is_whole, post

USER = "u4217"
LIKE = {"type": "like", "user": USER, "data": {"reaction": "heart"}}
STAMP = b"0" * 16  # where a request's bytes have this, it says when it was sent: microseconds since the epoch
_ACCEPTED = re.compile(rb'"accepted":([0-9]+)')
CLOSED = -1
EVENTS = f"/v1/videos/{VIDEO}/events"


@dataclass(frozen=True)
class RequestTemplate:
    """The requests, to each of `paths` in turn: posts of `events` events in one body, `STAMP` replaced; or
    GET requests, without a body.
    """

    paths: tuple[str, ...] = (EVENTS,)
    body: bytes = json.dumps(LIKE, separators=(",", ":")).encode()
    events: int = 1
    host: str = HOST
    method: str = "POST"
    bodies: tuple[bytes, ...] = ()  # in turn, instead of `body`
    headers: tuple[str, ...] = ()  # lines
    content_type: str = "application/json"

    def requests(self) -> Iterator[bytes]:
        """Yield requests without end."""
        if self.method == "GET":
            return cycle([get(path, self.host, *self.headers) for path in self.paths])
        bodies = self.bodies or (self.body,)
        whole = [
            post(path, body, self.host, *self.headers, content_type=self.content_type)
            for path in self.paths
            for body in bodies
        ]
        if STAMP not in self.body:
            return cycle(whole)
        return (request.replace(STAMP, b"%016d" % (time.time_ns() // 1000)) for request in cycle(whole))


def batch_of(size: int) -> RequestTemplate:
    """Return the template of a request that publishes `size` likes."""
    likes = LIKE if size == 1 else [LIKE] * size
    return RequestTemplate(body=json.dumps(likes, separators=(",", ":")).encode(), events=size)


class Likes:
    """The requests of the parent, by name. Rates are per second, answer times milliseconds."""

    def evenly(
        self,
        port: int,
        rate: float,
        seconds: float,
        connections: int = 32,
        template: RequestTemplate | None = None,
    ) -> dict[str, float]:
        """Send single likes, evenly spaced over keep-alive connections, one under way on each. An open loop:
        likes are due at fixed times, however long the others' answers take. When no connection is free one
        waits, and `late` is the longest wait. Returns when all are answered.
        """
        template = template or RequestTemplate()
        requests = template.requests()
        line = Line(port, connections, template)
        total = int(rate * seconds)
        started = time.perf_counter()
        sent, late = 0, 0.0
        while line.answered < total:
            due = started + sent / rate
            now = time.perf_counter()
            while sent < total and due <= now and line.idle:
                late = max(late, now - due)
                line.send(next(requests))
                sent += 1
                due = started + sent / rate
            line.receive(10.0 if sent == total or not line.idle else max(0.0, due - time.perf_counter()))
        elapsed = time.perf_counter() - started
        line.close()
        return line.result() | {"rate": sent / max(elapsed, seconds), "late_ms": late * 1000}

    def closed(
        self, port: int, seconds: float, connections: int, template: RequestTemplate | None = None
    ) -> dict[str, float]:
        """Send the next request on each connection when the last one is answered."""
        template = template or RequestTemplate()
        requests = template.requests()
        line = Line(port, connections, template)
        started, cpu = time.perf_counter(), time.process_time()
        while (now := time.perf_counter()) < started + seconds:
            while line.idle:
                line.send(next(requests))
            line.receive(10.0)
        at_the_end = line.answered
        while len(line.idle) < connections:
            line.receive(10.0)
        line.close()
        rate = at_the_end / (now - started)
        used = (time.process_time() - cpu) / (time.perf_counter() - started)
        return line.result() | {
            "requests_per_s": rate,
            "events_per_s": rate * template.events,
            "client_cpu": used,
        }


class Line:
    """Keep-alive connections, each with one request at a time, and the results of their answers.

    One that the server closes after an answer is opened anew, within the time of the next request. `idle`
    has the descriptors of those that may carry one, and CLOSED for each that has to be opened.
    """

    def __init__(self, port: int, connections: int, template: RequestTemplate) -> None:
        self._where, self._events = (template.host, port), template.events
        self._epoll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._began: dict[int, float] = {}  # by descriptor: when the request under way was sent
        self._partial: dict[int, bytes] = {}
        self.idle: deque[int] = deque()
        self.answered = self.accepted = self.reopened = 0
        self.refused: list[str] = []
        self.times: list[float] = []
        for _ in range(connections):
            self.idle.append(self._connect())

    def _connect(self) -> int:
        one = socket.create_connection(self._where)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setblocking(False)
        self._epoll.register(one.fileno(), select.EPOLLIN)
        self._open[one.fileno()] = one
        return one.fileno()

    def _disconnect(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)
        self._open.pop(descriptor).close()
        self.idle[self.idle.index(descriptor)] = CLOSED

    def send(self, request: bytes) -> None:
        descriptor = self.idle.popleft()
        began = time.perf_counter()
        if descriptor == CLOSED:
            descriptor = self._connect()
            self.reopened += 1
        self._began[descriptor] = began
        self._open[descriptor].send(request)

    def receive(self, wait: float) -> None:
        """Read the answers that have arrived, waiting `wait` seconds for the first. Raises `TimeoutError`
        after 10.
        """
        select.select([self._epoll.fileno()], [], [], wait)  # epoll's own time-out is in whole milliseconds
        ready = self._epoll.poll(0, 1024)
        if not ready and wait >= 10.0:
            raise TimeoutError(f"{len(self._began)} publishes have waited 10 s for an answer")
        for descriptor, _ in ready:
            data = self._open[descriptor].recv(65536)
            if not data and descriptor in self._began:
                raise ConnectionError("a connection was closed before its answer")
            answer = self._partial.pop(descriptor, b"") + data
            if data and not is_whole(answer):
                self._partial[descriptor] = answer
                continue
            if data:
                self._count(answer, time.perf_counter() - self._began.pop(descriptor))
                self.idle.append(descriptor)
            if not data or b"connection: close" in answer.lower():
                self._disconnect(descriptor)

    def _count(self, answer: bytes, seconds: float) -> None:
        self.times.append(seconds * 1000)
        self.answered += 1
        if answer.startswith(b"HTTP/1.1 20"):
            said = _ACCEPTED.search(answer)
            self.accepted += int(said[1]) if said else self._events
        else:
            self.refused.append(answer[:200].decode(errors="replace"))

    def close(self) -> None:
        for one in self._open.values():
            one.close()
        self._epoll.close()

    def result(self) -> dict[str, float]:
        """Return the figures. Raises `RuntimeError` if an answer was not a 2xx: refusals measure nothing."""
        if self.refused:
            raise RuntimeError(
                f"{len(self.refused)} publishes were refused, the first with: {self.refused[0]}"
            )
        return {
            "accepted": self.accepted,
            "reopened": self.reopened,
            "answer_p50_ms": percentile(self.times, 0.5),
            "answer_p99_ms": percentile(self.times, 0.99),
        }


def run(control: Connection) -> None:
    """Run as a worker (see `harness.Worker`)."""
    serve_requests(control, Likes())
