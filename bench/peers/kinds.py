"""The peers: how each is started, what it is asked, and whether it is there."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import polls, viewers
from bench.harness import HOST, SEND_BUFFER, VIDEO, free_ports
from bench.likes import STAMP, RequestTemplate
from bench.server import Server, run_program, run_server
from bench.stage import MOST_VIEWERS, PATH, POLL, Manner

HERE = Path(__file__).parent
TOKEN, PER_MS = b'"type":"like","user":"t', 1000
READY = b"event: ready\n"
NCHAN_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/etc/nginx/modules")

# The event as viewers get it. The others are given it whole; liveserver adds `id`, `video` and `at` itself.
EVENT = {
    "id": "01JD0000000000000000000000",
    "video": VIDEO,
    "type": "like",
    "user": f"t{STAMP.decode()}",
    "at": 1763862000123,
    "data": {"reaction": "heart"},
}
LIKE = {name: EVENT[name] for name in ("type", "user", "data")}


@dataclass(frozen=True)
class Peer:
    """One of those compared.

    `demand` is what is asked of it when it is to be saturated, in deliveries/s: more than it can give, or in
    liveserver's case `most_likes` a second. `poll` is None where it has no long-poll of its own.
    """

    name: str
    start: Callable[[int], AbstractContextManager[Server]]
    version: Callable[[], str]  # empty: not installed
    install: str
    stream: Manner
    demand: float
    poll: Manner | None = None
    poll_demand: float = 0.0
    most_likes: float = 600.0
    one_event_per_write: bool = True

    def rate(self, demand: float, count: int) -> float:
        """Likes/s to `count` viewers."""
        return min(demand / count, self.most_likes)


def _body(event: dict[str, object]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _told(ready: bytes) -> tuple[str, bytes, int, bytes]:
    return ("understand", TOKEN, PER_MS, ready)


@contextmanager
def _liveserver(core: int, *settings: str) -> Iterator[Server]:
    fixed = ("edge.accept_rate=1000000", f"edge.max_connections={MOST_VIEWERS}")
    with run_server(core, *fixed, f"frontend.send_buffer={SEND_BUFFER}", *settings) as server:
        yield server


@contextmanager
def _program(command: Callable[[int, str], Sequence[str]], core: int) -> Iterator[Server]:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="liveserver-peer-") as directory:
        words = command(port, directory)
        with run_program(words, core, port, [f"http://{HOST}:{port}/ready"]) as process:
            yield Server(process, port)


def _nchan_command(port: int, directory: str) -> Sequence[str]:
    configuration = Path(directory) / "nginx.conf"
    text = (HERE / "nchan.conf").read_text()
    configuration.write_text(text.format(module=_nchan_module(), directory=directory, port=port))
    return [_nginx(), "-p", directory, "-c", str(configuration)]


def _nginx() -> str:
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx") or ""


def _nchan_module() -> Path | None:
    paths = (Path(place) / "ngx_nchan_module.so" for place in NCHAN_MODULES)
    return next((path for path in paths if path.exists()), None)


def _nchan_version() -> str:
    if not _nginx() or not _nchan_module():
        return ""
    nginx = _said([_nginx(), "-v"]).rpartition("/")[2]
    nchan = _said(["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"]) or "of unknown version"
    return f"nginx {nginx}, nchan {nchan.partition('+')[0].rpartition(':')[2]}"


def _node_version() -> str:
    node = shutil.which("node")
    return f"Node {_said([node, '--version'])}" if node else ""


def _packages(*names: str) -> str:
    try:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _said(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else ""


def _starlette_command(port: int, directory: str) -> Sequence[str]:
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    place = ["--host", HOST, "--port", str(port), "--backlog", "4096"]
    return [sys.executable, "-m", "uvicorn", *options, *place, "bench.peers.starlette_app:app"]


def _quart_command(port: int, directory: str) -> Sequence[str]:
    options = [
        "--worker-class",
        "trio",
        "--backlog",
        "4096",
        "--keep-alive",
        "300",
        "--bind",
        f"{HOST}:{port}",
    ]
    return [sys.executable, "-m", "hypercorn", *options, "bench.peers.quart_app:app"]


def _node_command(port: int, directory: str) -> Sequence[str]:
    return [shutil.which("node") or "", str(HERE / "node_server.js"), str(port)]


OWN = RequestTemplate((PATH,), _body(LIKE))
THEIRS = RequestTemplate(("/publish",), _body(EVENT))
OWN_STREAM = Manner(viewers.run, PATH, (_told(READY),), OWN)
THEIR_STREAM = Manner(viewers.run, "/events", (_told(READY),), THEIRS)
LIVESERVER = partial(_packages, "trio", "httptools", "msgspec")

PEERS = (
    Peer(
        "liveserver",
        _liveserver,
        LIVESERVER,
        "",
        OWN_STREAM,
        6_000_000.0,
        Manner(polls.run, POLL, (_told(READY),), OWN),
        1_000_000.0,
        one_event_per_write=False,
    ),
    Peer(
        "liveserver, one event a write",
        lambda core: _liveserver(core, "frontend.flush_interval=0s", "frontend.max_write=1B"),
        LIVESERVER,
        "",
        OWN_STREAM,
        350_000.0,
    ),
    Peer(
        "nginx + nchan",
        partial(_program, _nchan_command),
        _nchan_version,
        "apt-get install nginx-light libnginx-mod-nchan",
        Manner(viewers.run, "/events", (_told(b"\r\n\r\n"),), THEIRS),
        350_000.0,
        Manner(polls.run, "/poll", (_told(b""), ("speak_nchan",)), THEIRS),
        100_000.0,
    ),
    Peer(
        "Node",
        partial(_program, _node_command),
        _node_version,
        "apt-get install nodejs",
        THEIR_STREAM,
        350_000.0,
    ),
    Peer(
        "uvicorn + sse-starlette",
        partial(_program, _starlette_command),
        partial(_packages, "uvicorn", "uvloop", "sse-starlette"),
        "pip install --group bench",
        THEIR_STREAM,
        60_000.0,
    ),
    Peer(
        "Quart-Trio on Hypercorn",
        partial(_program, _quart_command),
        partial(_packages, "quart-trio", "hypercorn"),
        "pip install --group bench",
        THEIR_STREAM,
        20_000.0,
    ),
)
