"""Many viewers in one process that watch by long-poll, and poll again after each answer.

The rules of `viewers` hold here too. A cycle is one answer and the next request; `reads_per_s` counts cycles.
Viewers that keep their bytes keep each answer's body, and `verify` checks its cursor and ids.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from bench.http_client import get, is_whole, steps
from bench.viewers import BUFFER, HANDSHAKES, Viewers

_CURSOR = re.compile(rb'"cursor":"([^"]+)"')
_NUMBER = re.compile(rb"[0-9]+")
_VALIDATORS = re.compile(rb"\r\n(Last-Modified|Etag): ([^\r]+)", re.I)
_WAIT = b"&wait=60"

Next = Callable[[bytes, bytes], bytes]  # of a request without a cursor and the last answer


def by_cursor(first: bytes, answer: bytes) -> bytes:
    """Return the next request to a liveserver: the answer has the cursor."""
    found = _CURSOR.search(answer)
    if not found or not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"a poll was turned away: {answer[:300]!r}")
    return first.replace(b" HTTP/1.1", b"?cursor=" + found[1] + _WAIT + b" HTTP/1.1", 1)


def by_validators(first: bytes, answer: bytes) -> bytes:
    """Return the next request to nchan: Last-Modified and Etag become If-Modified-Since and If-None-Match."""
    said = {name.lower(): value for name, value in _VALIDATORS.findall(answer)}
    if len(said) != 2:
        raise ConnectionError(f"a poll was turned away: {answer[:300]!r}")
    return b"%b\r\nIf-Modified-Since: %b\r\nIf-None-Match: %b\r\n\r\n" % (
        first[:-4],
        said[b"last-modified"],
        said[b"etag"],
    )


class Polls(Viewers):
    """The requests of the parent, by name, as those of `Viewers`."""

    def __init__(self, control: Connection) -> None:
        super().__init__(control)
        self._first: dict[int, bytes] = {}  # by descriptor: its request without a cursor
        self._partial: dict[int, bytes] = {}
        self._next: Next = by_cursor

    def speak_nchan(self) -> None:
        """Poll as nchan requires: its first request waits, where liveserver's is answered with the cursor."""
        self._next = by_validators

    def connect(
        self, host: str, port: int, paths: Sequence[str], count: int, source: str, keep: int
    ) -> dict[str, float]:
        """Open `count` viewers, in turn on each of `paths`; return when each waits in its poll."""
        firsts = [get(path, f"{host}:{port}") for path in paths]
        tells_at_once = self._next is by_cursor
        started = time.perf_counter()
        opened, waiting = 0, set[int]()
        while opened < count or waiting:
            while opened < count and len(waiting) < HANDSHAKES:
                viewer = self._open(host, port, source, opened)
                descriptor = viewer.fileno()
                first = self._first[descriptor] = firsts[opened % len(firsts)]
                viewer.send(first)
                viewer.setblocking(False)
                self._epoll.register(descriptor, 1)
                opened += 1
                if tells_at_once:
                    waiting.add(descriptor)
            if not waiting:
                continue
            for descriptor, _ in self._epoll.poll(20.0, 1024) or self._nobody_answers(len(waiting)):
                if descriptor not in waiting or not (answer := self._take(descriptor)):
                    continue
                if len(self._kept) < keep and (cursor := _CURSOR.search(answer)):
                    self._kept[descriptor] = []
                    self._numbers[descriptor] = cursor[1]
                waiting.remove(descriptor)
        elapsed = time.perf_counter() - started
        return {"seconds": elapsed, "per_second": count / elapsed}

    def _take(self, descriptor: int) -> bytes:
        """Return one complete answer, after which the next request is sent; empty while there is none."""
        try:
            data = self._sockets[descriptor].recv(BUFFER)
        except BlockingIOError:
            return b""
        except ConnectionError:
            data = b""
        if not data:
            self._drop(descriptor)
            return b""
        if descriptor in self._partial:
            data = self._partial.pop(descriptor) + data
        if not is_whole(data):
            self._partial[descriptor] = data
            return b""
        self._sockets[descriptor].send(self._next(self._first[descriptor], data))
        return data

    def _watch(self) -> None:
        """Poll until the parent sends a request."""
        control, token = self._control.fileno(), self._token
        until_sample = 0
        asked = False
        while not asked:
            for descriptor, _ in self._epoll.poll(-1, 1024):
                if descriptor == control:
                    asked = True
                    continue
                answer = self._take(descriptor)
                if not answer:
                    continue
                found = answer.count(token)
                self._counts[descriptor] += found
                self.reads += 1
                self.bytes += len(answer)
                self.events += found
                if descriptor in self._kept:
                    self._kept[descriptor].append(answer.partition(b"\r\n\r\n")[2])
                until_sample -= found
                if until_sample <= 0 and found:
                    until_sample += self._sample_every
                    at = answer.find(token, self.events * 7919 % len(answer))
                    at = at if at >= 0 else answer.find(token)
                    number = _NUMBER.match(answer, at + len(token))
                    if number:
                        self._ages.append(time.time() * 1000 - int(number[0]) / self._per_ms)

    def _faults(self, descriptor: int, stream: bytes, expected: int) -> list[str]:
        faults: list[str] = []
        ids: list[str] = []
        decoder, text, position = json.JSONDecoder(), stream.decode(), 0
        while position < len(text):
            answer, position = decoder.raw_decode(text, position)
            cursor = answer["cursor"].encode()
            if steps(self._numbers[descriptor], cursor) != len(answer["events"]):
                fault = (
                    f"{len(answer['events'])} events lead from {self._numbers[descriptor]!r} to {cursor!r}"
                )
                faults.append(fault)
            self._numbers[descriptor] = cursor
            ids += [event["id"] for event in answer["events"]]
        if len(ids) != expected or len(set(ids)) != expected:
            faults.append(f"{len(ids)} events, {len(set(ids))} different ones, instead of {expected}")
        return faults[:5]


def run(control: Connection) -> None:
    """Run as a worker (see `harness.Worker`)."""
    Polls(control).serve()
