"""A small HTTP relay before a frontend: what stands between a browser and a server, in a process of ours.

It lets pages from elsewhere watch (CORS), counts the streams that are open, holds streams back as buffering
proxies do, if a test wants it, and stands in for the likes backend by publishing at a dispatcher, so
that these tests are about the page alone.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

UPSTREAM_SECONDS = 40.0


class Stand:
    """What stands in for the likes backend: publishes at a dispatcher, and remembers how many likes."""

    def __init__(self, dispatcher: str) -> None:
        self._dispatcher = dispatcher
        self._likes: dict[str, int] = {}
        self._lock = threading.Lock()

    def publish(self, video: str, events: list[dict[str, Any]]) -> None:
        """Counted first, as what is stored first is."""
        with self._lock:
            likes = sum(event["type"] == "like" for event in events)
            self._likes[video] = self._likes.get(video, 0) + likes
        upstream = _connect(self._dispatcher)
        headers = {"content-type": "application/json"}
        upstream.request("POST", f"/v1/videos/{video}/events", json.dumps(events), headers)
        assert upstream.getresponse().status == 202
        upstream.close()

    def summary(self, video: str) -> dict[str, Any]:
        with self._lock:
            return {"likes": self._likes.get(video, 0), "reactions": {}, "comments": []}


class Relay:
    """Relays to `upstream`; likes and comments go to `stand`, nowhere without one. A context manager."""

    def __init__(self, upstream: str, stand: Stand | None = None) -> None:
        self.upstream = upstream
        self.stand = stand
        self.buffering = False
        self.asked: list[str] = []  # the paths, with their queries
        self.streams = 0  # open now
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"relay": self}))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def count(self, what: str) -> int:
        """How many requests have asked for paths that contain this."""
        with self.lock:
            return sum(what in path for path in self.asked)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    relay: Relay

    def do_GET(self) -> None:
        relay = self.relay
        if relay.stand and self.path.endswith("/summary"):
            self._answer(200, relay.stand.summary(self.path.split("/")[3]))
            return
        is_stream = "/events" in self.path
        with relay.lock:
            relay.asked.append(self.path)
        if self.path == "/v1/ws":
            self._tunnel()
            return
        try:
            upstream = _connect(relay.upstream)
            upstream.request("GET", self.path, headers={"accept": self.headers.get("accept", "*/*")})
            response = upstream.getresponse()
        except (OSError, HTTPException):
            return  # closed without an answer, as a dead server's port is
        with relay.lock:
            relay.streams += is_stream
        try:
            if is_stream and relay.buffering:
                response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date"):
                    self.send_header(name, value)
            self.send_header("access-control-allow-origin", "*")
            self.end_headers()
            while data := response.read1(65536):
                self.wfile.write(data)
        except (OSError, HTTPException):
            pass  # one of the two has gone
        finally:
            with relay.lock:
                relay.streams -= is_stream
            upstream.close()

    def _tunnel(self) -> None:
        """A WebSocket's bytes, both ways, for as long as both sides are there."""
        self.close_connection = True
        try:
            parts = urlsplit(self.relay.upstream)
            upstream = socket.create_connection((parts.hostname or "", parts.port or 80))
        except OSError:
            return
        with upstream:
            head = [self.requestline, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
            upstream.sendall("\r\n".join(head).encode("latin-1"))
            back = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
            back.start()
            _pump(self.connection, upstream)
            back.join()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        video, what = self.path.removeprefix("/v1/videos/").split("/")
        if self.relay.stand is None:
            self._answer(404, {"detail": "there is nothing here"})
            return
        event = {"type": what.removesuffix("s"), "user": body.pop("user"), "data": body}
        self.relay.stand.publish(video, [event])
        self._answer(201, {"id": "1", "total": 1})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Bytes from one to the other until one of them ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for sock in (source, target):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    return HTTPConnection(parts.hostname or "", parts.port, timeout=UPSTREAM_SECONDS)
