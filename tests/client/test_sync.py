"""Blocking calls: the same requests, from any thread, without an event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import msgspec
import pytest

from liveserver.client import (
    Publisher,
    Unreachable,
)


def test_a_publisher_gives_up_in_time() -> None:
    with (
        Publisher("http://127.0.0.1:1", give_up_after=0.2) as publisher,
        pytest.raises(Unreachable, match="gave up after"),
    ):
        publisher.publish("v", [{"type": "wave"}])


class Backend(BaseHTTPRequestHandler):
    """Answers each route of publishers and viewers, and notes what came."""

    seen: ClassVar[list[tuple[str, str, str | None, int]]] = []
    answers: ClassVar[dict[str, object]] = {
        "events": {"accepted": 2, "duplicates": 0, "cursor": "dc1-a-2"},
        "likes": {"id": "l", "total": 7},
        "comments": {"id": "c"},
        "summary": {"likes": 7, "reactions": {"heart": 7}, "comments": []},
    }
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.seen.append((self.command, self.path, self.headers.get("authorization"), self.client_address[1]))
        status = 204 if self.command == "DELETE" else 200
        body = b"" if status == 204 else msgspec.json.encode(self.answers[self.path.rpartition("/")[2]])
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def backend() -> Iterator[str]:
    Backend.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_each_call_is_one_request_and_returns_its_answer(backend: str) -> None:
    with Publisher("http://127.0.0.1:1", backends=backend, key="k", give_up_after=5) as publisher:
        assert publisher.like("v", user="ada", token="t").total == 7
        assert publisher.comment("v", "hi").id == "c"
        publisher.retract("v", "c", token="t")
        assert publisher.summary("v").likes == 7
    assert [seen[:3] for seen in Backend.seen] == [
        ("POST", "/v1/videos/v/likes", "Bearer t"),
        ("POST", "/v1/videos/v/comments", None),
        ("DELETE", "/v1/videos/v/comments/c", "Bearer t"),
        ("GET", "/v1/videos/v/summary", None),
    ]
    assert len({port for *_, port in Backend.seen}) == 1, "one connection is kept"


def test_threads_share_one_publisher_and_events_have_its_key(backend: str) -> None:
    with Publisher(backend, key="k", give_up_after=5) as publisher, ThreadPoolExecutor(4) as threads:
        events = [{"type": "wave"}, {"type": "wave"}]
        found = list(threads.map(lambda _: publisher.publish("v", iter(events)).accepted, range(8)))
    assert found == [2] * 8
    assert {seen[:3] for seen in Backend.seen} == {("POST", "/v1/videos/v/events", "Bearer k")}


def test_closing_ends_its_thread_and_may_be_repeated(backend: str) -> None:
    before = set(threading.enumerate())
    publisher = Publisher(backend)
    publisher.summary("v")
    own = set(threading.enumerate()) - before
    publisher.close()
    publisher.close()
    for thread in own:
        if "serve" not in thread.name and "process_request" not in thread.name:
            thread.join(60)
            assert not thread.is_alive()
    with pytest.raises(RuntimeError):
        publisher.summary("v")
