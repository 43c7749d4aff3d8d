"""The wheel and the image: what the Dockerfile's steps make starts from environment variables alone.

The steps are executed here without a container: what is copied, the wheel that is installed, the environment,
the command and the health check are those of the Dockerfile; base, users and the registry's packages are not.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from liveserver.cluster.redis_server import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "config" / "deploy"
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from liveserver.cli import main; main()"
FIND = """
import sys; sys.path.insert(0, sys.argv[1])
import liveserver; assert liveserver.__file__.startswith(sys.argv[1]), liveserver.__file__
from liveserver.cluster import topology
print(len(topology.load(topology.find(topology.DEFAULT)).nodes))
"""
IMAGE_EXTRAS = ("postgres", "s3", "nats", "otel")
KEYS = {
    "LIVESERVER_AUTH__VIEWERS": "token",
    "LIVESERVER_AUTH__SECRET": "v" * 40,
    "LIVESERVER_AUTH__NODES_SECRET": "n" * 40,
}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def final() -> list[tuple[str, str]]:
    """The instructions of the last stage."""
    all_ = instructions()
    return all_[max(index for index, (word, _) in enumerate(all_) if word == "FROM") :]


def environment() -> dict[str, str]:
    pairs = [pair for word, rest in final() if word == "ENV" for pair in rest.split()]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name != "PATH"}


def is_sent(path: str) -> bool:
    """Return whether .dockerignore leaves a file to the builder; the last pattern that matches decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#"):
            parents = [path, *(str(parent) for parent in Path(path).parents)]
            plain = pattern.removeprefix("**/")
            if any(
                fnmatch.fnmatch(Path(each).name if plain != pattern else each, plain)
                and (plain != pattern or each.count("/") == plain.count("/"))
                for each in parents
                if each != "."
            ):
                sent = line.startswith("!")
    return sent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage installs, with nothing else of the repository than what it copies."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    first = instructions()[: len(instructions()) - len(final())]
    for names in (rest.split()[:-1] for word, rest in first if word == "COPY"):
        for name in names:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(ROOT / name, source / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, source / Path(name).name)
    call("-c", BUILD, str(target), cwd=source)
    [wheel] = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    held = {str(path.relative_to(target)) for path in (target / "liveserver").rglob("*")}
    ours = {str(path.relative_to(source)) for path in (source / "liveserver").rglob("*") if path.is_file()}
    assert {name for name in ours - held if "/pictures/" not in name and "/deploy/" not in name} == set()
    return target


def call(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", *arguments], cwd=cwd, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def container(installed: Path, data: Path, **more: str) -> subprocess.Popen[str]:
    """Start what the image starts, with its environment; only data and ports are elsewhere."""
    own = {name: value.replace("/var/lib/liveserver", str(data)) for name, value in environment().items()}
    command = json.loads(dict(final())["CMD"])
    return subprocess.Popen(
        [sys.executable, "-c", START, str(installed), *command],
        env={"PATH": os.environ["PATH"], **own, **more}, cwd=data, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.process
def test_the_wheel_starts_a_cluster_anywhere(installed: Path, tmp_path: Path) -> None:
    assert int(call("-c", FIND, str(installed), cwd=tmp_path)) == 10


@pytest.mark.process
def test_without_keys_the_container_says_what_it_needs(installed: Path, tmp_path: Path) -> None:
    process = container(installed, tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "listen.public: 0.0.0.0:8000 is reachable from outside, and publishing needs no key" in errors
    assert "set auth.publishers" in errors


@pytest.mark.process
def test_with_keys_it_starts_and_its_health_check_is_green(installed: Path, tmp_path: Path) -> None:
    ops = f"127.0.0.1:{free_port()}"
    more = {**KEYS, "LIVESERVER_NODE__DRAIN_TIMEOUT": "0s"}
    more |= {"LIVESERVER_LISTEN__PUBLIC": "0.0.0.0:0", "LIVESERVER_LISTEN__OPS": ops}
    check = dict(final())["HEALTHCHECK"]
    command = json.loads(check[check.index("CMD ") + 4 :])
    process = container(installed, tmp_path, **more)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            healthy = subprocess.run(
                [sys.executable, *command[1:]], env={"LIVESERVER_LISTEN__OPS": ops}, timeout=60,
                capture_output=True, check=False,
            )  # fmt: skip
            if healthy.returncode == 0:
                break
        assert healthy.returncode == 0, (process.poll(), healthy.stderr)
    finally:
        process.terminate()
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    events = [json.loads(line)["message"] for line in output.splitlines()]
    assert "ready" in events
    assert events[-1] == "drained"
    assert (tmp_path / "liveserver.db").exists()


def test_what_is_copied_is_sent_and_nothing_else() -> None:
    copied = [
        name
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    ]
    assert all(is_sent(name) for name in copied)
    assert is_sent("liveserver/cli/serve.py")
    for name in (
        ".git/config", "data/liveserver.db", "secrets/nodes", "tests/conftest.py", ".venv/pyvenv.cfg",
        "liveserver/__pycache__/x.pyc", "config/deploy/compose.yml",
    ):  # fmt: skip
        assert not is_sent(name), name


def test_the_base_is_pinned_and_every_package_is() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", bases.pop())
    pins = dict(
        line.split("==") for line in (DEPLOY / "constraints.txt").read_text().splitlines() if "==" in line
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *(each for name in IMAGE_EXTRAS for each in extras[name])]
    assert f'".[{",".join(IMAGE_EXTRAS)}]"' in (DEPLOY / "Dockerfile").read_text()
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(pins[requirement.name]), requirement
        for other in closure(requirement, pins):
            assert other in pins, f"{other}, which {requirement.name} needs; make constraints.txt anew"


def closure(requirement: Requirement, pins: dict[str, str]) -> set[str]:
    """What a package needs here, by its metadata, one step at a time.

    What an older version than the pinned one needs, as with the lowest versions, says nothing of that.
    """
    from importlib.metadata import requires

    found: set[str] = set()
    waiting = [requirement]
    while waiting:
        current = waiting.pop()
        if Version(version(current.name)) < Version(pins.get(current.name, "0")):
            continue
        for each in map(Requirement, requires(current.name) or ()):
            extras = [*current.extras, ""]
            is_needed = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
            name = each.name.lower().replace("_", "-")
            if is_needed and name not in found:
                found.add(name)
                waiting.append(each)
    return found
