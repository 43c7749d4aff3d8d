"""The measured servers: each runs on its core and is observed from outside."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.harness import HOST, Core, free_ports, pin
from bench.procfs import Family

START = 20.0  # seconds to become ready,
START_WORKER = 2.0  # and for each worker that starts at the same time


class Server(Family):
    """A running server, of one process or several: its addresses, and what it costs."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, ops: int = 0, publish_port: int = 0
    ) -> None:
        super().__init__(process.pid)
        self.process, self.host, self.port, self.ops = process, HOST, port, ops
        self.publish_port = publish_port or port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def metrics(self) -> dict[str, float]:
        """Return the samples of /metrics, added up by name; empty if it cannot be read."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.ops}/metrics", timeout=20) as response:
                text = response.read().decode()
        except (OSError, urllib.error.URLError):
            return {}
        found: dict[str, float] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
        return found


@contextmanager
def run_server(core: Core, *settings: str, command: str | None = None, workers: int = 1) -> Iterator[Server]:
    """Run a liveserver on `core`, with all roles unless `settings` (`section.name=value`) say otherwise.

    `command` replaces `python -m liveserver run`, for another server with the same options.
    """
    port, *ops = free_ports(1 + workers, 1)
    overrides = [f"listen.public={HOST}:{port}", f"listen.ops={HOST}:{ops[0]}", "node.drain_timeout=1s"]
    overrides += [f"node.workers={workers}", *settings]
    start = shlex.split(command) if command else [sys.executable, "-m", "liveserver", "run"]
    start += [word for text in overrides for word in ("--set", text)]
    urls = [f"http://{HOST}:{each}/readyz" for each in ops]
    with run_program(start, core, port, urls, patience=START + workers * START_WORKER) as process:
        yield Server(process, port, ops[0])


@contextmanager
def run_program(
    command: Sequence[str],
    core: Core,
    port: int,
    ready_urls: Sequence[str],
    environment: Mapping[str, str] | None = None,
    patience: float = START,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on `core`; enter the block once all of `ready_urls` answer. It ends with the block,
    killed if necessary.

    Its log goes to a file that is shown when it does not become ready.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: pin(core),  # no threads here
        )
        try:
            until = time.monotonic() + patience
            if not all(_becomes_ready(process, url, until) for url in ready_urls):
                log.seek(0)
                raise RuntimeError(
                    f"{Path(command[0]).name} on port {port} did not become ready:\n"
                    f"{log.read().decode(errors='replace')[-4000:]}"
                )
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _becomes_ready(process: subprocess.Popen[bytes], url: str, until: float) -> bool:
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    return False
