"""The transcript that clients in other languages are written against: what a server sends, byte for byte.

A session with a reconnect, and one that resumes too late, is played against a real server; what differs from
run to run (epochs, ids, times, retry) is replaced by what the transcript has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from httpx_sse import SSEError, connect_sse

from liveserver.testing import Server, running_server

TRANSCRIPT = Path(__file__).parents[2] / "docs" / "transcript.txt"
VIDEO = "demo"


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server("node.name=fe1", "frontend.heartbeat=60s", "frontend.counts_interval=60s") as running:
        yield running


def publish(server: Server, *events: dict[str, object]) -> None:
    body = msgspec.json.encode(events)  # without spaces, which would be in the transcript
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{server.url}/v1/videos/{VIDEO}/events", content=body, headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text


class Stream:
    """One connection: the request as it is sent, and frames as they come."""

    def __init__(self, server: Server, last_event_id: str = "") -> None:
        self._client = httpx.Client(timeout=60)
        headers = {"accept": "text/event-stream"}
        if last_event_id:
            headers["last-event-id"] = last_event_id
        request = self._client.build_request("GET", f"{server.url}/v1/videos/{VIDEO}/events", headers=headers)
        self._response = self._client.send(request, stream=True)
        assert self._response.status_code == 200
        self._chunks = self._response.iter_raw()
        self._unread = b""
        self.request = f"GET /v1/videos/{VIDEO}/events\naccept: text/event-stream\n" + (
            f"last-event-id: {last_event_id}\n" if last_event_id else ""
        )
        self.frames: list[str] = []

    def read(self, event: str) -> None:
        """Read up to a frame of this kind; viewer counts, which come when they like, are left out."""
        while True:
            while b"\n\n" not in self._unread:
                self._unread += next(self._chunks)
            frame, _, self._unread = self._unread.partition(b"\n\n")
            text = frame.decode()
            if "event: viewers\n" in text:
                continue
            self.frames.append(text + "\n\n")
            if f"event: {event}\n" in text:
                return

    @property
    def cursor(self) -> str:
        """The last id."""
        return str(re.findall(r"^id: (.*)$", "".join(self.frames), re.M)[-1])

    def close(self) -> None:
        self._response.close()
        self._client.close()


def normal(text: str) -> str:
    """Replace what differs from run to run."""
    text = re.sub(r"dc1-(?!0{10})[a-z0-9]{10}-", "dc1-0000013f9a-", text)
    text = re.sub(r'"at":\d+', '"at":1763862000123', text)
    text = re.sub(r"retry: \d+", "retry: 2731", text)
    return re.sub(r',"accepted":\d+', "", text)


def play(server: Server) -> str:
    """Return the session: each request, and what was answered."""
    publish(server, {"id": "s1", "type": "score", "key": "score", "version": 1, "data": {"home": 1}})
    first = Stream(server)
    first.read("state")
    publish(server, {"id": "w1", "type": "wave", "user": "ada"})
    first.read("wave")
    first.close()
    publish(
        server,
        {"id": "w2", "type": "wave", "user": "bob"},
        {"id": "c1", "type": "chat", "data": "hi\nyou\u2028"},
    )
    second = Stream(server, first.cursor)
    second.read("chat")
    second.close()
    third = Stream(server, "dc1-0000000000-7")  # of a life of the log that is over
    third.read("chat")
    third.close()
    return "\n".join(
        normal(stream.request + "\n" + "".join(stream.frames)) for stream in (first, second, third)
    )


def test_a_session_is_as_the_transcript_has_it(server: Server) -> None:
    assert play(server) == TRANSCRIPT.read_text()


def test_a_reader_of_lines_finds_each_event_whole() -> None:
    """As the recipes for Swift and Kotlin read: an event is complete with its one `data:` line."""
    kinds: list[tuple[str, str]] = []
    cursor = kind = ""
    for line in TRANSCRIPT.read_text().splitlines():
        if line.startswith("id: "):
            cursor = line[4:]
        elif line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            assert line[6:].startswith("{")
            kinds.append((kind, cursor.rpartition("-")[2]))
    assert kinds == [
        ("ready", "1"), ("state", "1"), ("wave", "2"),
        ("ready", "2"), ("wave", "3"), ("chat", "4"),
        ("ready", "0"), ("state", "0"), ("score", "1"), ("wave", "2"), ("wave", "3"), ("chat", "4"),
    ]  # fmt: skip


def test_a_library_of_server_sent_events_reads_it(server: Server) -> None:
    publish(server, {"id": "w1", "type": "wave"})
    with (
        httpx.Client(timeout=60) as client,
        connect_sse(
            client, "GET", f"{server.url}/v1/videos/{VIDEO}/events", params={"cursor": "earliest"}
        ) as source,
    ):
        for event in source.iter_sse():
            if event.event == "wave":
                assert event.json()["id"] == "w1"
                return
    raise SSEError("the stream ended")
