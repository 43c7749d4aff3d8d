"""Viewers that reconnect: each with its cursor and after its own delay; none may miss an event.

Rules:

1. One epoll, no thread. A viewer is a socket, the last number it has received, and its state.
2. With every read the number in its last `id` must be the one before plus the events read (counted by
   `"at":`, which each carries once): a missing or repeated event shows at once, for each viewer. A few keep
   their bytes; of those, `verify` checks every single number, across the two connections.
3. A viewer whose connection ends waits for the `retry` that its stream began with, as browsers do, or not
   at all; then it asks at the other port, with its last id. If it is refused there, or sent `bye`, it waits
   again.
4. A viewer is back when it has got `ready` with `resumed` true and the cursor that it sent.
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
MAX_FAULTS = 10


class ReconnectingViewer:
    """One viewer. `head` is the response so far, before its `ready` has arrived; None afterwards."""

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


class ReconnectingViewers:
    """The requests of the parent, by name. Times are of the monotonic clock, which all processes share."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._viewers: list[ReconnectingViewer] = []
        self._by_descriptor: dict[int, ReconnectingViewer] = {}
        self._due: list[tuple[float, int]] = []  # (time, viewer) of those that are to reconnect
        self._path = ""
        self._port = 0
        self._is_patient = True
        self._back: list[float] = []
        self._lost: list[float] = []
        self._waiting = 0
        self.faults: list[str] = []

    def connect(self, port: int, path: str, count: int) -> int:
        """Open `count` viewers at `port`; return when all are ready."""
        self._path, self._port = path, port
        self._viewers = [ReconnectingViewer(index) for index in range(count)]
        for viewer in self._viewers[:KEPT]:
            viewer.kept = [[]]
        opened, patience = 0, time.monotonic() + 60
        while opened < count or self._waiting:
            while opened < count and self._waiting < HANDSHAKES:
                self._come(self._viewers[opened])
                opened += 1
            self._step(0.1)
            if time.monotonic() > patience:
                raise TimeoutError(f"{self._waiting} viewers have not had their response within 60 s")
        self._back.clear()
        return opened

    def expect(self, port: int, patient: bool) -> None:
        """Have viewers that lose their connection reconnect at `port`; if not `patient`, without waiting."""
        self._port, self._is_patient = port, patient

    def back(self) -> int:
        """Return how many are back."""
        return len(self._back)

    def result(self, since: float) -> dict[str, float]:
        """Return the times of reconnecting, in seconds after `since`."""
        moments = sorted(moment - since for moment in self._back)
        tenth, most = percentile(moments, 0.1), percentile(moments, 0.9)
        return {
            "back": len(moments),
            "noticed_s": max(self._lost) - since if self._lost else float("nan"),
            "back_50_s": percentile(moments, 0.5),
            "back_90_s": most,
            "back_100_s": moments[-1] if moments else float("nan"),
            # Of the middle 80 %: the first and the last ones mostly wait for their `retry`.
            "connects_per_s": 0.8 * len(moments) / (most - tenth) if most > tenth else float("nan"),
            "turned_away": sum(viewer.turned_away for viewer in self._viewers),
        }

    def tally(self, expected: int) -> dict[str, int]:
        """Count those that have received everything up to the number `expected`, and nothing beyond it."""
        numbers = [viewer.number for viewer in self._viewers]
        return {"level": numbers.count(expected), "lowest": min(numbers), "highest": max(numbers)}

    def verify(self) -> list[str]:
        """Return what was wrong: by every viewer's counts, and by every number of those that keep their
        bytes.
        """
        return self.faults + [fault for viewer in self._viewers for fault in _holes(viewer)]

    def serve(self) -> None:
        """Read and reconnect until the controlling process closes the pipe."""
        while True:
            asked = False
            while not asked:
                asked = self._step(1.0)
            if not serve_request(self._control, self):
                return

    def _step(self, wait: float) -> bool:
        """Process what is due and what has arrived; return whether the parent has sent a request."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._come(self._viewers[heapq.heappop(self._due)[1]])
        if self._due:
            wait = max(0.0, min(wait, self._due[0][0] - now))
        asked = False
        for descriptor, events in self._epoll.poll(wait, 1024):
            viewer = self._by_descriptor.get(descriptor)
            if viewer is None:
                asked = asked or descriptor == self._control.fileno()
            elif events & select.EPOLLOUT and not events & (select.EPOLLERR | select.EPOLLHUP):
                self._ask(viewer, descriptor)
            else:
                self._read(viewer)
        return asked

    def _come(self, viewer: ReconnectingViewer) -> None:
        sock = viewer.socket = socket.socket()
        sock.setblocking(False)
        viewer.head = viewer.tail = b""
        self._waiting += 1
        sock.connect_ex((HOST, self._port))
        self._by_descriptor[sock.fileno()] = viewer
        self._epoll.register(sock.fileno(), select.EPOLLOUT)

    def _ask(self, viewer: ReconnectingViewer, descriptor: int) -> None:
        """Request the events after its last id; it is connected."""
        last = b"Last-Event-ID: %b\r\n" % viewer.cursor if viewer.cursor else b""
        request = b"GET %b HTTP/1.1\r\nHost: %b\r\nAccept: text/event-stream\r\n%b\r\n"
        assert viewer.socket is not None
        viewer.socket.send(request % (self._path.encode(), HOST.encode(), last))
        self._epoll.modify(descriptor, select.EPOLLIN)

    def _read(self, viewer: ReconnectingViewer) -> None:
        assert viewer.socket is not None
        try:
            data = viewer.socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(viewer)
        elif viewer.head is not None:
            self._begin(viewer, data)
        else:
            if viewer.kept:
                viewer.kept[-1].append(data)
            self._take(viewer, viewer.tail + data)

    def _lose(self, viewer: ReconnectingViewer) -> None:
        assert viewer.socket is not None
        del self._by_descriptor[viewer.socket.fileno()]
        viewer.socket.close()
        if viewer.head is not None:
            self._waiting -= 1
            viewer.turned_away += 1
        now = time.monotonic()
        self._lost.append(now)
        delay = viewer.retry if self._is_patient or viewer.turned_away else 0.0
        heapq.heappush(self._due, (now + delay, viewer.index))

    def _begin(self, viewer: ReconnectingViewer, data: bytes) -> None:
        """Process the response's beginning: its head, `retry`, and `ready`."""
        head = viewer.head = (viewer.head or b"") + data
        if retry := _RETRY.search(head):
            viewer.retry = int(retry[1]) / 1000
        start = head.find(b"event: ready\n")
        end = head.find(b"\n\n", start)
        if start < 0 or end < 0:
            return
        found = _IDS.search(head)
        cursor = found[1] if found else b""
        if viewer.cursor:
            if cursor != viewer.cursor or b'"resumed":true' not in head[start:end]:
                self._complain(viewer, f"asked from {viewer.cursor!r} and received {head[start:end]!r}")
            if viewer.kept:
                viewer.kept.append([])
        viewer.cursor, viewer.number = cursor, split_id(cursor)[1]
        viewer.head = None
        self._waiting -= 1
        self._back.append(time.monotonic())
        if viewer.kept:
            viewer.kept[-1].append(head.partition(b"\r\n\r\n")[2])
        self._take(viewer, head[end + 1 :])

    def _take(self, viewer: ReconnectingViewer, data: bytes) -> None:
        """Count complete frames; the rest of an incomplete one waits for the next read."""
        end = data.rfind(b"\n\n")
        if end < 0:
            viewer.tail = data
            return
        viewer.tail = data[end + 1 :]  # with the line end before the next id
        events = data.count(TOKEN, 0, end)
        at = data.rfind(b"\nid: ", 0, end)
        if at >= 0:
            viewer.cursor = data[at + 5 : data.index(b"\n", at + 5)]
            number = int(viewer.cursor[viewer.cursor.rindex(b"-") + 1 :])
            if number != viewer.number + events:
                self._complain(viewer, f"{events} events lead from {viewer.number} to {number}")
            viewer.number = number

    def _complain(self, viewer: ReconnectingViewer, fault: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(f"viewer {viewer.index}: {fault}")


def _holes(viewer: ReconnectingViewer) -> list[str]:
    """Return where the numbers of a viewer that keeps its bytes are not consecutive."""
    faults = []
    last: int | None = None
    for pieces in viewer.kept:
        for frame in split_chunks(b"".join(pieces))[0].split(b"\n\n")[:-1]:
            found = _IDS.search(frame)
            if found and TOKEN in frame:
                number = split_id(found[1])[1]
                if last is not None and number != last + 1:
                    faults.append(f"viewer {viewer.index}: {number} follows {last}")
                last = number
            elif found and last is None:
                last = split_id(found[1])[1]
    return faults[:3]


def run(control: Connection) -> None:
    """Run as a worker (see `harness.Worker`)."""
    ReconnectingViewers(control).serve()
