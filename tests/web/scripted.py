"""A scripted frontend, for behaviour that is rare or impossible with a real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from liveserver.web.files import CONTENT_TYPES
from liveserver.web.page import STATIC
from tests.web.browsers import wait_until


def event(number: int, kind: str = "like", **more: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "video": "v", "type": kind, "at": 1_763_862_000_000 + number, **more}


def cursor(number: int) -> str:
    return f"dc1-aaaaa-{number}"


@dataclass
class Stream:
    """One event stream that is open, to be written to."""

    query: dict[str, str]
    headers: dict[str, str]
    write: Callable[[bytes], Any]
    over: threading.Event = field(default_factory=threading.Event)
    is_open: bool = True

    def send(self, text: str) -> None:
        with suppress(OSError):
            self.write(text.encode())

    def ready(self, number: int, **more: Any) -> None:
        data = {"video": "v", "node": "fe", "cursor": cursor(number), "resumed": False, "gap": False, **more}
        self.send(f"retry: 4000\nid: {cursor(number)}\nevent: ready\ndata: {json.dumps(data)}\n\n")

    def events(self, first: int, last: int) -> None:
        """Likes with these numbers, each with its cursor, in one write."""
        self.send("".join(frame(event(number), number) for number in range(first, last + 1)))

    def close(self) -> None:
        self.over.set()


def frame(data: dict[str, Any], number: int) -> str:
    return f"id: {cursor(number)}\nevent: {data['type']}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


class ScriptedFrontend:
    """A context manager; it serves the page's files, too."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.asked: list[tuple[str, str, dict[str, str]]] = []  # method, path with query, headers
        self.poll: Callable[[dict[str, str]], dict[str, Any]] | None = None
        self.likes: Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]] | None] | None = None
        self.retry_after = ""
        self.scripts: dict[str, str] = {}  # more files, by their names
        self.refusal: tuple[int, dict[str, Any]] | None = None  # of streams
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"frontend": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stream(self, number: int) -> Stream:
        """The stream that was opened as the `number`th, from 1; waits for it."""
        wait_until(lambda: len(self.streams) >= number)
        return self.streams[number - 1]

    def count(self, what: str) -> int:
        with self.lock:
            return sum(what in path for _, path, _ in self.asked)

    def open_streams(self) -> int:
        """How many are still read; each is sent a heartbeat, which shows it."""
        for stream in self.streams:
            try:
                stream.write(b":\n")
            except OSError:
                stream.is_open = False
        return sum(stream.is_open for stream in self.streams)

    def __enter__(self) -> ScriptedFrontend:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self.streams:
            stream.close()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    frontend: ScriptedFrontend
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        headers = self._lower()
        with self.frontend.lock:
            self.frontend.asked.append((self.command, self.path, headers))
        if "/v1/" not in parts.path:
            self._file(parts.path.lstrip("/") or "index.html")
        elif parts.path.endswith("/events") and self.frontend.refusal is not None:
            self._answer(*self.frontend.refusal)
        elif parts.path.endswith("/events"):
            self._stream(Stream(query, headers, self._write))
        elif parts.path.endswith("/poll") and self.frontend.poll is not None:
            self._answer(200, self.frontend.poll(query))
        else:
            self._post(None)

    def _lower(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", "0")))
        body = json.loads(content) if content else {}
        with self.frontend.lock:
            self.frontend.asked.append((self.command, self.path, self._lower()))
        self._post(body)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        with self.frontend.lock:
            self.frontend.asked.append((self.command, self.path, self._lower()))
        self._post(None)

    def do_OPTIONS(self) -> None:
        self.send_response(204)
        self._cors()
        self.send_header("access-control-allow-headers", "authorization, content-type, idempotency-key")
        self.send_header("access-control-allow-methods", "GET, POST, PUT, DELETE")
        self.end_headers()

    def _post(self, body: dict[str, Any] | None) -> None:
        likes = self.frontend.likes
        answer = likes(self.path, body or {}) if likes else (404, {"detail": "there is nothing here"})
        if answer is not None:
            self._answer(*answer)

    def _stream(self, stream: Stream) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self._cors()
        self.end_headers()
        with self.frontend.lock:
            self.frontend.streams.append(stream)
        stream.over.wait()

    def _file(self, name: str) -> None:
        path = STATIC / name
        if name not in self.frontend.scripts and not path.is_file():
            self._answer(404, {})
            return
        script = self.frontend.scripts.get(name)
        content = path.read_bytes() if script is None else script.encode()
        self.send_response(200)
        self.send_header("content-type", CONTENT_TYPES[path.suffix])
        self.send_header("content-length", str(len(content)))
        self._cors()
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        with suppress(OSError):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if self.frontend.retry_after:
                self.send_header("retry-after", self.frontend.retry_after)
            self._cors()
            self.end_headers()
            self.wfile.write(body)

    def _cors(self) -> None:
        self.send_header("access-control-allow-origin", self.headers.get("origin", "*"))
        self.send_header("access-control-allow-credentials", "true")
        self.send_header("access-control-expose-headers", "retry-after")

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass
