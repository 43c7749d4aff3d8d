"""Many viewers in one process that watch over WebSockets, one video each.

The rules of `viewers` hold here too, and so does its loop: events are counted by the same bytes, and messages
end with a brace, which no cut through those bytes leaves at the end.
"""

from __future__ import annotations

import json
import re
from multiprocessing.connection import Connection

from bench.harness import VIDEO
from bench.http_client import get, split_messages, steps
from bench.viewers import Viewers

_MASKED = b"\x80"
_NO_MASK = b"\0\0\0\0"  # clients have to mask (RFC 6455, 5.3)
_PING, _PONG = b"\x89\0", b"\x8a" + _MASKED + _NO_MASK


def _frame(text: str) -> bytes:
    """Return a masked text frame of at most 125 bytes."""
    return b"\x81" + bytes([0x80 | len(text)]) + _NO_MASK + text.encode()


SUBSCRIBE = _frame(json.dumps({"subscribe": {"video": VIDEO}}))


class Sockets(Viewers):
    """The requests of the parent, by name, as those of `Viewers`."""

    answer = b"HTTP/1.1 101"
    last = b"}"
    bye = b'{"bye":'
    place = re.compile(rb'"cursor":"([^"]+)"')

    def __init__(self, control: Connection) -> None:
        super().__init__(control)
        self._ready = b'{"ready":'
        self._subscribe = SUBSCRIBE

    def speak_centrifugo(self, channel: str) -> None:
        """Speak Centrifugo's bidirectional protocol, its JSON form, from the next `connect` on."""
        commands = ({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": channel}})
        self._subscribe = _frame("\n".join(json.dumps(command) for command in commands))

    def _request(self, path: str, host: str) -> bytes:
        return get(
            path,
            host,
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )

    def _read_head(self, descriptor: int) -> bytes:
        got = super()._read_head(descriptor)
        if self.answer in got:
            self._sockets[descriptor].send(self._subscribe)
        return got

    def _look_closer(self, descriptor: int, size: int) -> int:
        if self._buffer[max(0, size - 2) : size] == _PING:
            self._sockets[descriptor].send(_PONG)
        return super()._look_closer(descriptor, size)

    def _faults(self, descriptor: int, stream: bytes, expected: int) -> list[str]:
        faults: list[str] = []
        ids: list[str] = []
        try:
            messages = [json.loads(payload) for payload in split_messages(stream)]
        except ValueError as error:
            return [f"not messages as they should be: {error}"]
        for said in messages:
            if (events := said.get("events")) is None:
                continue
            cursor = events["cursor"].encode()
            if steps(self._numbers[descriptor], cursor) != len(events["events"]):
                fault = (
                    f"{len(events['events'])} events lead from {self._numbers[descriptor]!r} to {cursor!r}"
                )
                faults.append(fault)
            self._numbers[descriptor] = cursor
            ids += [event["id"] for event in events["events"]]
        if len(ids) != expected or len(set(ids)) != expected:
            faults.append(f"{len(ids)} events, {len(set(ids))} different ones, instead of {expected}")
        return faults[:5]


def run(control: Connection) -> None:
    """Run as a worker (see `harness.Worker`)."""
    Sockets(control).serve()
