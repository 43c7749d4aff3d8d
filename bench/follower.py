"""Checks one viewer's event stream as it comes: each number once, in order, from its cursor on.

Pure: bytes in, faults out. Frames are not parsed one by one; between two checks the last `id` must have
advanced by exactly the number of events read (each carries `"at":` once), as long as no gap is sent.
"""

from __future__ import annotations

from bench.http_client import split_id

TOKEN = b'"at":'  # in each event once, if its data has none
_GAP = b"\nevent: gap\n"
_READY = b"\nevent: ready\n"
_BYE = b"\nevent: bye\n"


class Follower:
    """What one viewer has received of its video, across all of its connections."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cursor = b""
        self.number = -1
        self.events = self.gaps = self.resumed = 0
        self.said_bye = False
        self.faults: list[str] = []
        self._tail = b""
        self._begun = False

    def begin(self) -> None:
        """Begin a new connection, requested with `cursor`; its `ready` comes first."""
        self._tail, self._begun, self.said_bye = b"", False, False

    def feed(self, data: bytes) -> None:
        """Process bytes of the response: head, chunk sizes and all."""
        data = self._tail + data
        end = data.rfind(b"\n\n")
        if end < 0:
            self._tail = data
            return
        whole, self._tail = data[: end + 1], data[end + 1 :]
        self.said_bye = self.said_bye or _BYE in whole
        if not self._begun:
            whole = self._begin(whole)
        if self._begun:
            self._take(whole)

    def _begin(self, whole: bytes) -> bytes:
        """Compare `ready` with the requested cursor; return the bytes after it."""
        at = whole.find(_READY)
        if at < 0:
            return whole
        begin = whole.rfind(b"id: ", 0, at) + len(b"id: ")
        cursor = whole[begin : whole.index(b"\n", begin)]
        end = whole.find(b"\n\n", at)
        end = len(whole) if end < 0 else end + 1
        ready = whole[at:end]
        if self.cursor:
            self.resumed += 1
            if b'"resumed":true' not in ready:
                self.gaps += 1
            elif cursor != self.cursor:
                self._complain(f"asked with {self.cursor!r} and begins at {cursor!r}")
        self._stand_at(cursor)
        self._begun = True
        return whole[end:]

    def _take(self, whole: bytes) -> None:
        """Count the frames up to each gap, whose own frame has the number to continue from."""
        while (at := whole.find(_GAP)) >= 0:
            begin = whole.rfind(b"\nid: ", 0, at)
            self._count(whole[:begin])
            self._stand_at(whole[begin + 5 : at])
            self.gaps += 1
            end = whole.find(b"\n\n", at)
            whole = whole[end + 1 :] if end >= 0 else b""
        self._count(whole)

    def _count(self, part: bytes) -> None:
        events = part.count(TOKEN)
        at = part.rfind(b"\nid: ")
        if at >= 0:
            cursor = part[at + 5 : part.find(b"\n", at + 5)]
            number = split_id(cursor)[1]
            if number != self.number + events:
                self._complain(f"{events} events lead from {self.number} to {number}")
            self._stand_at(cursor)
        self.events += events

    def _stand_at(self, cursor: bytes) -> None:
        self.cursor, self.number = cursor, split_id(cursor)[1]

    def _complain(self, fault: str) -> None:
        if len(self.faults) < 3:
            self.faults.append(f"{self.name}: {fault}")
