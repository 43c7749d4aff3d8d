"""Every code block of the README, run as it stands: only the ports are others, so that they are free."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from liveserver.cluster.redis_server import free_port
from tests.web.browsers import wait_until

pytestmark = [pytest.mark.process, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[1]
SECONDS = 60.0
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
EPOCH, RETRY, ID, AT = "k3f9a", "2731", "01M837AWSW…", "1795404690236"  # as the README has them


def block(kind: str, words: str) -> str:
    """The one block of this kind with these words."""
    [found] = [str(text) for language, text in BLOCKS if language == kind and words in text]
    return found


def _environment() -> dict[str, str]:
    """Return the environment without what a make that runs the tests passes on to the next one."""
    inherited = ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS")
    return {name: value for name, value in os.environ.items() if name not in inherited}


class Process:
    """A command in a shell, with what it has written so far."""

    def __init__(self, command: str, log: Path, **environment: str) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=_environment() | environment,
                start_new_session=True,
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, condition: str | re.Pattern[str]) -> re.Match[str]:
        """Return once its output has this; fail, with all of it, when it ends or takes too long before."""
        pattern = re.compile(re.escape(condition)) if isinstance(condition, str) else condition
        deadline = time.monotonic() + SECONDS
        while (match := pattern.search(self.text)) is None:
            assert self.process.poll() is None or pattern.search(self.text), f"it ended: {self.text}"
            assert time.monotonic() < deadline, f"{pattern.pattern!r} is not in: {self.text}"
            time.sleep(0.05)
        return match

    def end(self) -> None:
        """As Ctrl-C in a terminal does: for all that the command has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@contextmanager
def started(command: str, log: Path, **environment: str) -> Iterator[Process]:
    process = Process(command, log, **environment)
    try:
        yield process
    finally:
        process.end()


class Cluster:
    """`make run-cluster` on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.epoch = EPOCH
        shutil.copytree(ROOT / "config", folder / "config")
        self.file = folder / "config" / "cluster.toml"
        text = self.file.read_text()
        self.ports = {port: str(free_port()) for port in sorted(set(re.findall(r"\b[689]\d{3}\b", text)))}
        text = re.sub(r"\b[689]\d{3}\b", lambda match: self.ports[match[0]], text)
        self.file.write_text(f'{text}\n[settings.backend]\ndirectory = "{folder / "data"}"\n')
        for name in (
            "frontend",
            "backend",
        ):  # whose dispatchers stand in their own files, if not in the cluster's
            role = self.file.with_name(f"{name}.toml")
            role.write_text(self.rewrite(role.read_text()))

    def rewrite(self, text: str) -> str:
        """The text with this cluster's ports, and the epoch that its log has."""
        text = re.sub(
            r"(127\.0\.0\.1:)(\d+)", lambda match: match[1] + self.ports.get(match[2], match[2]), text
        )
        return text.replace(EPOCH, self.epoch)

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def wait_ready(self, running: Process) -> None:
        deadline = time.monotonic() + SECONDS
        waiting = [port for port in self.ports if port.startswith("9")]
        while waiting:
            assert running.process.poll() is None, running.text
            assert time.monotonic() < deadline, running.text
            try:
                if httpx.get(f"{self.url(waiting[0])}/readyz", trust_env=False).status_code == 200:
                    waiting.pop(0)
                    continue
            except httpx.TransportError:
                pass
            time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("readme")
    cluster = Cluster(folder)
    command = block("sh", "make run-cluster")
    with started(command, folder / "cluster.log", ARGS=f"--config {cluster.file}") as running:
        cluster.wait_ready(running)
        yield cluster


def as_pattern(shown: str) -> re.Pattern[str]:
    """What the README shows, where `…` is anything and its examples of names and numbers are others."""
    pattern = re.escape(shown.strip())
    for example, other in (
        (re.escape(ID), r"[0-9A-Z]{26}"),
        (AT, r"\d{13}"),
        (RETRY, r"\d+"),
        (EPOCH, r"(?P<epoch>[a-z0-9]+)"),
        ("…", ".*"),
    ):
        first, *others = pattern.split(example)
        again = "(?P=epoch)" if "epoch" in other else other
        pattern = first + "".join((again if number else other) + part for number, part in enumerate(others))
    return re.compile(pattern)


def test_the_tour(cluster: Cluster, tmp_path: Path) -> None:
    command, shown = block("console", "curl -N").removeprefix("$ ").split("\n", 1)
    with started(cluster.rewrite(command), tmp_path / "watch.log") as watching:
        cluster.epoch = watching.wait_for(as_pattern(shown))["epoch"]

        command, shown = block("console", "/likes").removeprefix("$ ").split("\n", 1)
        liked = subprocess.run(
            ["bash", "-c", cluster.rewrite(command)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        ).stdout
        assert as_pattern(shown).fullmatch(liked.strip()), liked

        watching.wait_for(as_pattern(block("text", "event: like\n")))
        watching.wait_for(as_pattern(block("text", "event: likes")))

    resumed = cluster.rewrite(block("sh", "Last-Event-ID"))
    stream, poll = resumed.strip().splitlines()
    with started(stream, tmp_path / "resumed.log") as resuming:
        resuming.wait_for(f"id: dc1-{cluster.epoch}-1\nevent: like")
        assert '"resumed":true' in resuming.text
    polled = subprocess.run(
        ["bash", "-c", poll], capture_output=True, text=True, timeout=SECONDS, check=True
    ).stdout
    assert f'"cursor":"dc1-{cluster.epoch}-2"' in polled
    assert polled.count('"type":"like"') == 1


def test_watching_and_publishing_in_another_datacenter(cluster: Cluster, tmp_path: Path) -> None:
    watch, publish = cluster.rewrite(block("sh", "liveserver publish")).strip().splitlines()
    with started(watch, tmp_path / "watch.log") as watching:
        watching.wait_for("connected to")
        subprocess.run(["bash", "-c", publish], cwd=ROOT, timeout=SECONDS, check=True, capture_output=True)
        watching.wait_for(re.compile(r"(?:.*\bwave\b[^\n]*\n(?:(?!.*\bwave\b)[^\n]*\n)*?){200}"))
    assert len(re.findall(r"\bwave\b", watching.text)) == 200, "each once"


def test_the_python_program(cluster: Cluster) -> None:
    httpx.post(
        f"{cluster.url('8121')}/v1/videos/demo/likes", json={"user": "ada"}, trust_env=False, timeout=60
    )
    program = cluster.rewrite(block("python", "watch"))
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert ran.stdout == "like ada {'reaction': 'heart'}\n"


@pytest.mark.browser
def test_the_page(cluster: Cluster, browser: Browser) -> None:
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(cluster.url("8101") + "/v1/videos/demo/viewers")  # any page at all
    page.add_script_tag(content=cluster.rewrite(block("js", "LiveVideo")), type="module")

    def has_liked() -> bool:
        page.wait_for_timeout(20)  # what the browser says comes in meanwhile
        return "cleo heart" in said

    wait_until(has_liked)


def test_everything_in_one_process(tmp_path: Path) -> None:
    port, ops = free_port(), free_port()
    arguments = (
        f"--set listen.public=127.0.0.1:{port} --set listen.ops=127.0.0.1:{ops} "
        f"--set backend.directory={tmp_path / 'data'}"
    )
    with started(block("sh", "make run\n"), tmp_path / "log", ARGS=arguments) as running:
        running.wait_for(re.compile(r"\[info +\] ready"))
        page = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")


def test_no_block_is_left_out() -> None:
    run = {
        block("sh", "make run-cluster"), block("sh", "make run\n"),
        block("console", "curl -N"), block("console", "/likes"),
        block("text", "event: like\n"), block("text", "event: likes"),
        block("sh", "Last-Event-ID"), block("sh", "liveserver publish"),
        block("python", "watch"), block("js", "LiveVideo"),
    }  # fmt: skip
    assert {text for _, text in BLOCKS} == run
