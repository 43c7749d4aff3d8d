"""The package liveserver-client as it would be published, outside the checkout; and its examples."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import liveserver
from liveserver.client.items import CONTROL_WORDS
from liveserver.event import CONTROL_WORDS as SERVER_WORDS
from liveserver.testing import Server, running_server

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "liveserver" / "client"
PACKAGE = ROOT / "clients" / "python"
EXAMPLES = PACKAGE / "examples"

# What the server needs and the client does not: as if it were not installed.
WITHOUT = ("liveserver", "trio", "trio_websocket", "quart", "hypercorn", "redis", "httptools", "sqlalchemy")

CALLS = {
    "flask_app.py": """
from flask_app import app
answer = app.test_client().post("/videos/flask/goal", json={"score": "1:0"})
assert answer.get_json() == {"accepted": 1}, answer.data
""",
    "fastapi_app.py": """
from fastapi.testclient import TestClient
from fastapi_app import app
with TestClient(app) as client:
    answer = client.post("/videos/fastapi/goal", json={"score": "1:0"})
assert answer.json() == {"accepted": 1}, answer.text
""",
    "django_app.py": """
import django_app, django
django.setup()
from django.test import Client
answer = Client().post("/videos/django/goal", {"score": "1:0"}, content_type="application/json")
assert answer.json() == {"accepted": 1}, answer.content
""",
    "celery_app.py": """
from celery_app import goal
assert [goal.apply(("celery", {"score": "1:0"}), task_id="t1").get() for _ in range(2)] == [1, 1]
from liveserver_client import Publisher
import os
with Publisher(os.environ["LIVESERVER_DISPATCHERS"]) as publisher:
    assert publisher.publish("celery", [{"id": "t1", "type": "goal"}]).duplicates == 1
""",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    where = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", str(where), str(PACKAGE)],
        capture_output=True, text=True, timeout=270, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = where.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """Unpack the wheel, as an installer does."""
    where = wheel.parent / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(where)
    return where


def run(program: str, installed: Path, *arguments: str, **environment: str) -> str:
    """Run a Python program far from the checkout, with the installed package; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=installed,
        env=os.environ | {"PYTHONPATH": f"{installed}:{EXAMPLES}"} | environment,
        capture_output=True, text=True, timeout=270, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_the_same_files_and_version(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name for name in archive.namelist() if name.startswith("liveserver_client/")}
    assert names == {path.name for path in SOURCE.iterdir() if path.is_file()}
    assert f"-{liveserver.__version__}-" in wheel.name


def test_the_client_imports_nothing_of_the_server() -> None:
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not (node.module or "").startswith("liveserver"), path
            elif isinstance(node, ast.Import):
                assert not any(name.name.startswith("liveserver") for name in node.names), path
    assert CONTROL_WORDS == SERVER_WORDS


@pytest.mark.parametrize("transport", ["sse", "poll", "ws"])
def test_it_watches_under_asyncio_without_what_the_server_needs(
    installed: Path, server: Server, transport: str
) -> None:
    program = f"""
import asyncio, sys
sys.modules.update(dict.fromkeys({WITHOUT!r}))
from liveserver_client import Event, Ready, publish, watch

async def main(url, transport):
    async with asyncio.timeout(60), watch(url, "alone-" + transport, transport=transport) as items:
        async for item in items:
            if isinstance(item, Ready):
                await publish(url, "alone-" + transport, [{{"type": "wave", "id": "w1"}}])
            if isinstance(item, Event):
                print(item.id)
                return

asyncio.run(main(*sys.argv[1:]))
"""
    assert run(program, installed, server.url, transport) == "w1\n"


@pytest.mark.parametrize("example", sorted(CALLS))
def test_an_example_publishes(installed: Path, server: Server, example: str) -> None:
    run(CALLS[example], installed, LIVESERVER_DISPATCHERS=server.url)


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*CALLS, "asyncio_watch.py"}


def test_the_watching_example_prints_events(installed: Path, server: Server) -> None:
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / "asyncio_watch.py"), server.url, "watched"],
        env=os.environ | {"PYTHONPATH": str(installed)}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        run(
            "import sys; from liveserver_client import Publisher\n"
            "with Publisher(sys.argv[1]) as p: p.publish('watched', [{'type': 'wave', 'id': 'w1'}])",
            installed, server.url,
        )  # fmt: skip
        assert process.stdout.readline() == "w1 wave \n"
        process.kill()
