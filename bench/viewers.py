"""Many viewers in one process, cheap enough not to limit what is measured.

Rules:

1. One epoll, one buffer, one `recv_into` per readiness. A viewer that falls behind finds more in its socket
   next time: reads coalesce as writes do, and nothing is queued here. Edge-triggered: otherwise the kernel
   polls each socket a second time, after it was read.
2. Events are counted per viewer, by bytes (`TOKEN`) that each carries once. A read may end inside them;
   only then are its last bytes searched again with the next read. Counting is the largest cost here
   with many events, and twenty bytes are found twice as fast as five.
3. About every 97th event's age is taken, from its `at` to the moment its read returned; of more than a
   million deliveries a second, those of 10,000 a second.
4. A few viewers keep their bytes. From those, `verify` checks what counting cannot: order, ids, framing.
"""

from __future__ import annotations

import gc
import json
import re
import select
import socket
import time
from array import array
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from bench.harness import percentile, serve_request
from bench.http_client import dechunk, get, steps
from bench.likes import USER

TOKEN = b'"user":"%b","at":' % USER.encode()
SAMPLE_EVERY = 97  # deliveries
AGES_PER_SECOND = 10_000  # at most, where it is known how many deliveries there will be
PATIENCE = 60.0  # seconds without any response, while connecting
HANDSHAKES = 512  # under way at a time: far below the listener's queue
PORTS_PER_SOURCE = 14_000  # half of those Linux gives an address; it looks for the others one by one
BUFFER = 256 * 1024
RECEIVE_BUFFER = 256 * 1024  # bytes, of each viewer's socket; not one that the kernel tunes
READABLE = select.EPOLLIN | select.EPOLLET
_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: take the port at connect, so that it need not be free for every peer
_NUMBER = re.compile(rb"[0-9]+")


class Viewers:
    """The requests of the parent, by name. Times are in seconds, except ages: milliseconds."""

    # What a stream looks like: its beginning, the end of each write, `bye`, and the last id.
    answer = b"HTTP/1.1 200"
    last = b"\n"
    bye = b"event: bye"
    place = re.compile(rb"\nid: (\S+)\n")

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._receive: list[Any] = []  # by descriptor: the socket's recv_into
        self._counts: list[int] = []  # by descriptor: events since the last `restart`
        self._cut: dict[int, bytes] = {}  # the last bytes of a read that ended within a frame
        self._kept: dict[int, list[bytes]] = {}  # everything read, of a few
        self._numbers: dict[int, bytes] = {}  # of those: the last id seen
        self._buffer = bytearray(BUFFER)
        self._token, self._per_ms, self._ready = TOKEN, 1, b"event: ready\n"
        self._ages = array("d")
        self._sample_every = SAMPLE_EVERY
        self.reads = self.bytes = self.events = self.closed = 0

    def understand(self, token: bytes, per_ms: int, ready: bytes) -> None:
        """Count events of another form: each has `token` once, and a time after it, `per_ms` a millisecond.

        `ready` is in a response that has begun.
        """
        self._token, self._per_ms, self._ready = token, per_ms, ready

    def connect(
        self, host: str, port: int, paths: Sequence[str], count: int, source: str, keep: int
    ) -> dict[str, float]:
        """Open `count` viewers, in turn on each of `paths`; return when all have their response's `ready`.

        `source` is the first address to connect from, or empty; beyond 14,000 viewers the next ones follow.
        """
        requests = [self._request(path, f"{host}:{port}") for path in paths]
        started = time.perf_counter()
        heads: dict[int, bytes] = {}
        waiting = opened = 0
        while opened < count or waiting:
            while opened < count and waiting < HANDSHAKES:
                viewer = self._open(host, port, source, opened)
                viewer.send(requests[opened % len(requests)])
                viewer.setblocking(False)
                heads[viewer.fileno()] = b""
                self._epoll.register(viewer.fileno(), READABLE)
                opened += 1
                waiting += 1
            for descriptor, _ in self._epoll.poll(PATIENCE, 1024) or self._nobody_answers(waiting):
                if descriptor not in heads:  # the viewer count, sent to those already connected
                    self._sockets[descriptor].recv_into(self._buffer)
                    continue
                seen = heads[descriptor] = heads[descriptor] + self._read_head(descriptor)
                if self._ready in seen and seen.endswith(self.last):
                    if len(self._kept) < keep:
                        self._kept[descriptor] = []
                        self._numbers[descriptor] = self.place.findall(seen)[-1]
                    del heads[descriptor]
                    waiting -= 1
        elapsed = time.perf_counter() - started
        return {"seconds": elapsed, "per_second": count / elapsed}

    def _request(self, path: str, host: str) -> bytes:
        return get(path, host, "Accept: text/event-stream")

    def _open(self, host: str, port: int, source: str, index: int) -> socket.socket:
        viewer = socket.socket()
        if source or index >= PORTS_PER_SOURCE:
            network, _, last = (source or host).rpartition(".")
            viewer.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            viewer.bind((f"{network}.{int(last) + index // PORTS_PER_SOURCE}", 0))
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        viewer.connect((host, port))
        descriptor = viewer.fileno()
        self._sockets[descriptor] = viewer
        room = descriptor + 1 - len(self._receive)
        self._receive += [None] * room
        self._counts += [0] * room
        self._receive[descriptor] = viewer.recv_into
        return viewer

    def _read_head(self, descriptor: int) -> bytes:
        got = self._sockets[descriptor].recv(BUFFER)
        if not got or (b"HTTP/1.1" in got and self.answer not in got) or self.bye in got:
            raise ConnectionError(f"a viewer was turned away: {got[:300]!r}")
        return got

    def _nobody_answers(self, waiting: int) -> list[tuple[int, int]]:
        raise TimeoutError(f"{waiting} viewers have waited {PATIENCE:g} s for their response")

    def serve(self) -> None:
        """Read until the controlling process closes the pipe."""
        gc.disable()  # no reference cycles here; epoll's results would trigger collections all the time
        while True:
            self._watch()
            if not serve_request(self._control, self):
                return

    def _watch(self) -> None:
        """Read until the parent sends a request."""
        control = self._control.fileno()
        poll, receive, counts, cut, kept = (
            self._epoll.poll,
            self._receive,
            self._counts,
            self._cut,
            self._kept,
        )
        buffer, ages, now, token, per_ms = self._buffer, self._ages, time.time, self._token, self._per_ms
        count_in, last, sample_every = buffer.count, self.last[0], self._sample_every
        reads = read_bytes = events = until_sample = 0
        asked = False
        while not asked:
            for descriptor, _ in poll(-1, 1024):
                if descriptor == control:
                    asked = True
                    continue
                try:
                    size = receive[descriptor](buffer)
                except ConnectionError:
                    size = 0
                if not size:
                    self._drop(descriptor)
                    continue
                if size == BUFFER:
                    self._epoll.modify(descriptor, READABLE)  # there may be more, and no edge before it
                found = count_in(token, 0, size)
                if buffer[size - 1] != last or descriptor in cut or descriptor in kept:
                    found += self._look_closer(descriptor, size)
                counts[descriptor] += found
                reads += 1
                read_bytes += size
                events += found
                until_sample -= found
                if until_sample <= 0 and found:
                    until_sample += sample_every
                    # Any event of this read, so that coalesced ones are not all represented by their oldest.
                    at = buffer.find(token, events * 7919 % size, size)
                    at = at if at >= 0 else buffer.find(token, 0, size)
                    number = _NUMBER.match(buffer, at + len(token), size) if at >= 0 else None
                    if number:
                        ages.append(now() * 1000 - int(number[0]) / per_ms)
        self.reads += reads
        self.bytes += read_bytes
        self.events += events

    def _look_closer(self, descriptor: int, size: int) -> int:
        """Process the rare reads: of viewers that keep their bytes, and those that end or begin within a
        frame.
        """
        if descriptor in self._kept:
            self._kept[descriptor].append(bytes(memoryview(self._buffer)[:size]))
        before = self._cut.pop(descriptor, b"")
        edge = len(self._token) - 1
        if self._buffer[size - 1] != self.last[0]:
            self._cut[descriptor] = (before + bytes(self._buffer[max(0, size - edge) : size]))[-edge:]
        head = bytes(self._buffer[: min(edge, size)])
        return (before + head).count(self._token) if before else 0

    def _drop(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)
        self._sockets.pop(descriptor).close()
        self.closed += 1

    def restart(self) -> None:
        """Begin a round: reset all counts and kept bytes. Only while nothing is sent."""
        for descriptor in self._sockets:
            self._counts[descriptor] = 0
        for pieces in self._kept.values():
            pieces.clear()
        self.begin()

    def begin(self, deliveries: float = 0.0) -> None:
        """Begin a window: only its reads, events and ages are in the next `window`.

        `deliveries` are how many a second are expected, if that is known.
        """
        self._sample_every = max(SAMPLE_EVERY, round(deliveries / AGES_PER_SECOND) | 1)
        self.reads = self.bytes = self.events = 0
        del self._ages[:]
        self._began = time.perf_counter()
        self._cpu = time.process_time()

    def window(self) -> dict[str, float]:
        """Return what has arrived since `begin`."""
        seconds = time.perf_counter() - self._began
        ages = sorted(self._ages)
        return {
            "seconds": seconds,
            "deliveries_per_s": self.events / seconds,
            "reads_per_s": self.reads / seconds,
            "bytes_per_s": self.bytes / seconds,
            "client_cpu": (time.process_time() - self._cpu) / seconds,
            "p50_ms": percentile(ages, 0.5),
            "p90_ms": percentile(ages, 0.9),
            "p99_ms": percentile(ages, 0.99),
            "max_ms": ages[-1] if ages else float("nan"),
        }

    def ages(self) -> array[float]:
        """Return the ages measured since `begin`."""
        return self._ages

    def tally(self, expected: int) -> dict[str, int]:
        """Count the viewers with exactly `expected` events since `restart`, with too few, too many, and
        closed ones.
        """
        counts = [self._counts[descriptor] for descriptor in self._sockets]
        return {
            "exact": counts.count(expected),
            "too_few": sum(count < expected for count in counts),
            "too_many": sum(count > expected for count in counts),
            "closed": self.closed,
            "received": sum(counts),
        }

    def verify(self, expected: int) -> list[str]:
        """Return what is wrong with the streams that were kept; forget them."""
        return [
            f"viewer {descriptor}: {fault}"
            for descriptor, pieces in self._kept.items()
            for fault in self._faults(descriptor, b"".join(pieces), expected)
        ]

    def _faults(self, descriptor: int, stream: bytes, expected: int) -> list[str]:
        faults, ids = [], []
        try:
            frames = dechunk(stream).split(b"\n\n")
        except ValueError as error:
            return [f"not chunked as it should be: {error}"]
        for frame in frames:
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line)
            if fields.get(b"event", b"viewers") in (b"viewers", b"ready"):
                continue
            if steps(self._numbers[descriptor], fields.get(b"id", b"")) != 1:
                faults.append(f"{fields.get(b'id')!r} follows {self._numbers[descriptor]!r}")
            self._numbers[descriptor] = fields.get(b"id", b"")
            ids.append(json.loads(fields[b"data"]).get("id"))
        if len(ids) != expected or len(set(ids)) != expected:
            faults.append(f"{len(ids)} events, {len(set(ids))} different ones, instead of {expected}")
        return faults[:5]

    def excerpt(self, size: int) -> bytes:
        """Return the first `size` bytes that a viewer that keeps its stream has read since `restart`."""
        return next((b"".join(pieces)[:size] for pieces in self._kept.values()), b"")

    def lone(self, patience: float, token: bytes = b"") -> array[float]:
        """Wait until every viewer has an event: when each had it (`time.monotonic`), in that order.

        Only an event that has `token` in it counts, if one is given.
        """
        token = token or self._token
        left = set(self._sockets)
        moments = array("d")
        until = time.monotonic() + patience
        while left and time.monotonic() < until:
            for descriptor, _ in self._epoll.poll(0.5, 1024):
                if descriptor in left and (size := self._receive[descriptor](self._buffer)):
                    now = time.monotonic()  # the same clock for all processes of this machine
                    if self._buffer.find(token, 0, size) >= 0:  # behind it is what another viewer has read
                        left.remove(descriptor)
                        moments.append(now)
        return moments


def run(control: Connection) -> None:
    """Run as a worker (see `harness.Worker`)."""
    Viewers(control).serve()
