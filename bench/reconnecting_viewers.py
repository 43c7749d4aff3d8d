"""Viewers that come back: each with its cursor and in its own time, and none of them missing anything.

Rules:

1. One epoll, no thread. A viewer is a socket, the last number it has seen, and where it stands.
2. With every read the number in its last `id` must be the one before plus the events read (counted by
   `"at":`, which each carries once): a hole or a doubling breaks it at once, for every viewer. A few keep
   their bytes; of those, `verify` looks at every single number, across the two connections.
3. A viewer whose connection ends waits for the `retry` that its stream began with, as browsers do, or not
   at all; then it asks at the other port, with its last id. If it is refused there, or told `bye`, it waits
   again.
4. Back is who has `ready` with `resumed` true and the very cursor it asked with.
"""

from __future__ import annotations

import heapq
import re
import select
import socket
import time
from multiprocessing.connection import Connection

from bench.harness import HOST, percentile, serve_request
from bench.http_client import split_chunks, split_id
from bench.viewers import HANDSHAKES, TOKEN

KEPT = 50
READ = 256 * 1024
_RETRY = re.compile(rb"^retry: ([0-9]+)$", re.M)
_IDS = re.compile(rb"^id: (\S+)$", re.M)
MOST_FAULTS = 10


class Comer:
    """One viewer. `head` is what has come of a response whose `ready` has not; None afterwards."""

    __slots__ = ("cursor", "head", "index", "kept", "number", "retry", "socket", "tail", "turned_away")

    def __init__(self, index: int) -> None:
        self.index = index
        self.socket: socket.socket | None = None
        self.cursor = b""
        self.number = -1
        self.retry = 1.0
        self.head: bytes | None = b""
        self.tail = b""
        self.kept: list[list[bytes]] = []
        self.turned_away = 0


class Comers:
    """What the parent asks for, by name. Moments are of the monotonic clock, which all processes share."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._comers: list[Comer] = []
        self._by_descriptor: dict[int, Comer] = {}
        self._due: list[tuple[float, int]] = []  # when who comes back
        self._path = ""
        self._port = 0
        self._is_patient = True
        self._back: list[float] = []
        self._lost: list[float] = []
        self._waiting = 0
        self.faults: list[str] = []

    def connect(self, port: int, path: str, count: int) -> int:
        """Open `count` viewers at `port`; returns when all are ready."""
        self._path, self._port = path, port
        self._comers = [Comer(index) for index in range(count)]
        for comer in self._comers[:KEPT]:
            comer.kept = [[]]
        opened, patience = 0, time.monotonic() + 60
        while opened < count or self._waiting:
            while opened < count and self._waiting < HANDSHAKES:
                self._come(self._comers[opened])
                opened += 1
            self._step(0.1)
            if time.monotonic() > patience:
                raise TimeoutError(f"{self._waiting} viewers have not had their response within 60 s")
        self._back.clear()
        return opened

    def expect(self, port: int, patient: bool) -> None:
        """From now on, who loses its connection comes back at `port`; if not `patient`, without waiting."""
        self._port, self._is_patient = port, patient

    def back(self) -> int:
        """How many have come back."""
        return len(self._back)

    def result(self, since: float) -> dict[str, float]:
        """What it took, in seconds after the moment `since`."""
        moments = sorted(moment - since for moment in self._back)
        tenth, most = percentile(moments, 0.1), percentile(moments, 0.9)
        return {
            "back": len(moments),
            "noticed_s": max(self._lost) - since if self._lost else float("nan"),
            "back_50_s": percentile(moments, 0.5),
            "back_90_s": most,
            "back_100_s": moments[-1] if moments else float("nan"),
            # Of the middle 80 %: the first and the last ones' waiting is none of the server's work.
            "connects_per_s": 0.8 * len(moments) / (most - tenth) if most > tenth else float("nan"),
            "turned_away": sum(comer.turned_away for comer in self._comers),
        }

    def tally(self, expected: int) -> dict[str, int]:
        """How many have seen everything up to the number `expected`, and nothing beyond it."""
        numbers = [comer.number for comer in self._comers]
        return {"level": numbers.count(expected), "lowest": min(numbers), "highest": max(numbers)}

    def verify(self) -> list[str]:
        """What was wrong: every viewer's counts, and every single number of those who keep their bytes."""
        return self.faults + [fault for comer in self._comers for fault in _holes(comer)]

    def serve(self) -> None:
        """Read, and come back, until nobody asks any more."""
        while True:
            asked = False
            while not asked:
                asked = self._step(1.0)
            if not serve_request(self._control, self):
                return

    def _step(self, wait: float) -> bool:
        """One round of what is due and what has come; whether a request has, too."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._come(self._comers[heapq.heappop(self._due)[1]])
        if self._due:
            wait = max(0.0, min(wait, self._due[0][0] - now))
        asked = False
        for descriptor, events in self._epoll.poll(wait, 1024):
            comer = self._by_descriptor.get(descriptor)
            if comer is None:
                asked = asked or descriptor == self._control.fileno()
            elif events & select.EPOLLOUT and not events & (select.EPOLLERR | select.EPOLLHUP):
                self._ask(comer, descriptor)
            else:
                self._read(comer)
        return asked

    def _come(self, comer: Comer) -> None:
        sock = comer.socket = socket.socket()
        sock.setblocking(False)
        comer.head = comer.tail = b""
        self._waiting += 1
        sock.connect_ex((HOST, self._port))
        self._by_descriptor[sock.fileno()] = comer
        self._epoll.register(sock.fileno(), select.EPOLLOUT)

    def _ask(self, comer: Comer, descriptor: int) -> None:
        """It is connected: ask for what comes after its last id."""
        last = b"Last-Event-ID: %b\r\n" % comer.cursor if comer.cursor else b""
        request = b"GET %b HTTP/1.1\r\nHost: %b\r\nAccept: text/event-stream\r\n%b\r\n"
        assert comer.socket is not None
        comer.socket.send(request % (self._path.encode(), HOST.encode(), last))
        self._epoll.modify(descriptor, select.EPOLLIN)

    def _read(self, comer: Comer) -> None:
        assert comer.socket is not None
        try:
            data = comer.socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(comer)
        elif comer.head is not None:
            self._begin(comer, data)
        else:
            if comer.kept:
                comer.kept[-1].append(data)
            self._take(comer, comer.tail + data)

    def _lose(self, comer: Comer) -> None:
        assert comer.socket is not None
        del self._by_descriptor[comer.socket.fileno()]
        comer.socket.close()
        if comer.head is not None:
            self._waiting -= 1
            comer.turned_away += 1
        now = time.monotonic()
        self._lost.append(now)
        delay = comer.retry if self._is_patient or comer.turned_away else 0.0
        heapq.heappush(self._due, (now + delay, comer.index))

    def _begin(self, comer: Comer, data: bytes) -> None:
        """The response's beginning: its head, `retry`, and `ready`."""
        head = comer.head = (comer.head or b"") + data
        if retry := _RETRY.search(head):
            comer.retry = int(retry[1]) / 1000
        start = head.find(b"event: ready\n")
        end = head.find(b"\n\n", start)
        if start < 0 or end < 0:
            return
        found = _IDS.search(head)
        cursor = found[1] if found else b""
        if comer.cursor:
            if cursor != comer.cursor or b'"resumed":true' not in head[start:end]:
                self._complain(comer, f"asked from {comer.cursor!r} and was told {head[start:end]!r}")
            if comer.kept:
                comer.kept.append([])
        comer.cursor, comer.number = cursor, split_id(cursor)[1]
        comer.head = None
        self._waiting -= 1
        self._back.append(time.monotonic())
        if comer.kept:
            comer.kept[-1].append(head.partition(b"\r\n\r\n")[2])
        self._take(comer, head[end + 1 :])

    def _take(self, comer: Comer, data: bytes) -> None:
        """Whole frames are counted; what is left of a cut one waits for the next read."""
        end = data.rfind(b"\n\n")
        if end < 0:
            comer.tail = data
            return
        comer.tail = data[end + 1 :]  # with the line end by which the next id is found
        events = data.count(TOKEN, 0, end)
        at = data.rfind(b"\nid: ", 0, end)
        if at >= 0:
            comer.cursor = data[at + 5 : data.index(b"\n", at + 5)]
            number = int(comer.cursor[comer.cursor.rindex(b"-") + 1 :])
            if number != comer.number + events:
                self._complain(comer, f"{events} events lead from {comer.number} to {number}")
            comer.number = number

    def _complain(self, comer: Comer, fault: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"viewer {comer.index}: {fault}")


def _holes(comer: Comer) -> list[str]:
    """Where the numbers of one that keeps its bytes do not follow each other."""
    faults = []
    last: int | None = None
    for pieces in comer.kept:
        for frame in split_chunks(b"".join(pieces))[0].split(b"\n\n")[:-1]:
            found = _IDS.search(frame)
            if found and TOKEN in frame:
                number = split_id(found[1])[1]
                if last is not None and number != last + 1:
                    faults.append(f"viewer {comer.index}: {number} follows {last}")
                last = number
            elif found and last is None:
                last = split_id(found[1])[1]
    return faults[:3]


def run(control: Connection) -> None:
    """A worker (see `harness.Worker`)."""
    Comers(control).serve()
