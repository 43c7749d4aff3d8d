"""How the peers are started: command, configuration and version of each.

Programs are looked for where `install.py` puts them, then on the PATH.
"""

from __future__ import annotations

import base64
import hmac
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.harness import HOST, SEND_BUFFER, free_ports
from bench.server import Server, run_program, run_server
from bench.stage import MAX_VIEWERS

HERE = Path(__file__).parent
DIRECTORY = Path(os.environ.get("LIVESERVER_PEERS") or Path.home() / ".cache" / "liveserver-peers")
KEY = "a key of 32 characters or more, of a bench"  # Centrifugo's for its API, Mercure's for tokens
NCHAN_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/etc/nginx/modules")

# By port for viewers, port for publishers, and a directory of its own.
Command = Callable[[int, int, Path], Sequence[str]]


@contextmanager
def liveserver(core: int, *settings: str) -> Iterator[Server]:
    """Run this server without its limit of connects/s, which the peers do not have."""
    fixed = ("edge.accept_rate=1000000", f"edge.max_connections={MAX_VIEWERS}")
    with run_server(core, *fixed, f"frontend.send_buffer={SEND_BUFFER}", *settings) as server:
        yield server


@contextmanager
def program(command: Command, ready: str, core: int, publishes_elsewhere: bool = False) -> Iterator[Server]:
    """Run another server; it is ready when `ready` is answered with 2xx."""
    port, publish_port = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="liveserver-peer-") as directory:
        words = command(port, publish_port, Path(directory))
        with run_program(words, core, port, [f"http://{HOST}:{port}{ready}"]) as process:
            yield Server(process, port, publish_port=publish_port if publishes_elsewhere else port)


def find(name: str) -> str:
    """Return the path of an installed program; empty if it is not installed."""
    return (
        shutil.which(DIRECTORY / "bin" / name)
        or shutil.which(name)
        or shutil.which(f"/usr/sbin/{name}")
        or ""
    )


def said(command: Sequence[str]) -> str:
    """Return what a command prints; empty if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else ""


def packages(*names: str) -> str:
    """Return the versions of Python packages; empty if one is not installed."""
    try:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    except importlib.metadata.PackageNotFoundError:
        return ""


def filled(name: str, directory: Path, **values: object) -> str:
    """Fill a configuration template into `directory`; return its path."""
    path = directory / name
    path.write_text((HERE / name).read_text().format(directory=directory, **values))
    return str(path)


def nchan(port: int, _: int, directory: Path) -> Sequence[str]:
    configuration = filled("nchan.conf", directory, module=_nchan_module(), port=port)
    return [find("nginx"), "-p", str(directory), "-c", configuration]


def _nchan_module() -> Path | None:
    paths = (Path(place) / "ngx_nchan_module.so" for place in NCHAN_MODULES)
    return next((path for path in paths if path.exists()), None)


def nchan_version() -> str:
    if not find("nginx") or not _nchan_module():
        return ""
    nginx = said([find("nginx"), "-v"]).rpartition("/")[2]
    package = said(["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"]) or "of unknown version"
    return f"nginx {nginx}, nchan {package.partition('+')[0].rpartition(':')[2]}"


def node(port: int, _: int, __: Path) -> Sequence[str]:
    return [find("node"), str(HERE / "node_server.js"), str(port)]


def node_version() -> str:
    return f"Node {said([find('node'), '--version'])}" if find("node") else ""


def nethttp(port: int, _: int, __: Path) -> Sequence[str]:
    return [find("liveserver-bench-nethttp"), f"{HOST}:{port}"]


def nethttp_version() -> str:
    path = find("liveserver-bench-nethttp")
    return said(["go", "version", path]).rpartition(": ")[2] if path else ""


def axum(port: int, _: int, __: Path) -> Sequence[str]:
    return [find("liveserver-bench-axum"), f"{HOST}:{port}"]


def axum_version() -> str:
    text = (HERE / "axum" / "Cargo.toml").read_text()
    version = text.partition('axum = { version = "=')[2].partition('"')[0]
    return f"axum {version}" if find("liveserver-bench-axum") else ""


def centrifugo(port: int, _: int, directory: Path) -> Sequence[str]:
    """Memory engine, a namespace with history for recovery, anonymous viewers."""
    configuration = directory / "config.json"
    channel = {
        "allow_subscribe_for_client": True,
        "allow_subscribe_for_anonymous": True,
        "history_size": 1000,
        "history_ttl": "300s",
    }
    settings = {
        "http_server": {"address": HOST, "port": str(port)},
        "http_api": {"key": KEY},
        "client": {"allow_anonymous_connect_without_token": True, "ping_interval": "300s"},
        "channel": {"without_namespace": channel},
        "uni_sse": {"enabled": True},
        "websocket": {"use_write_buffer_pool": True},
        "health": {"enabled": True},
        "log": {"level": "error"},
    }
    configuration.write_text(json.dumps(settings))
    return [find("centrifugo"), "--config", str(configuration)]


def centrifugo_version() -> str:
    return _go_version("Centrifugo", "centrifugo")


def _go_version(name: str, program: str) -> str:
    path = find(program)
    lines = (line.split() for line in said(["go", "version", "-m", path]).splitlines()) if path else ()
    return next((f"{name} {words[2]}" for words in lines if words[0] == "mod"), "")


def mercure(port: int, _: int, __: Path) -> Sequence[str]:
    return [find("liveserver-bench-mercure"), f"{HOST}:{port}", KEY]


def mercure_version() -> str:
    text = (HERE / "mercure" / "go.mod").read_text()
    version = text.partition("github.com/dunglas/mercure ")[2].split()[0]
    return f"Mercure {version}" if find("liveserver-bench-mercure") else ""


def mercure_token() -> str:
    """Return a token that may publish to all topics (RFC 7515, HS256)."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    parts = ({"alg": "HS256", "typ": "JWT"}, {"mercure": {"publish": ["*"]}})
    signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{encoded(hmac.digest(KEY.encode(), signed.encode(), 'sha256'))}"


def pushpin(port: int, publish_port: int, directory: Path) -> Sequence[str]:
    (directory / "run").mkdir()
    (directory / "routes").write_text("* test\n")
    spare = dict(zip(("pull", "sub", "command"), free_ports(3), strict=True))
    values = {**spare, "port": port, "publish_port": publish_port}
    return [find("pushpin"), f"--config={filled('pushpin.conf', directory, **values)}"]


def pushpin_version() -> str:
    return f"Pushpin {said([find('pushpin'), '--version']).rpartition(' ')[2]}" if find("pushpin") else ""


def starlette(port: int, _: int, __: Path) -> Sequence[str]:
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    place = ["--host", HOST, "--port", str(port), "--backlog", "4096"]
    return [sys.executable, "-m", "uvicorn", *options, *place, "bench.peers.starlette_app:app"]


def quart(port: int, _: int, __: Path) -> Sequence[str]:
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
