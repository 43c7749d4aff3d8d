"""The recipes for publishing, run as they stand against a node; all Python on the pages at least compiles."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from liveserver.config import Settings
from liveserver.config.loading import convert, read_toml
from tests.docs.test_links import ROOT
from tests.processes import NodeProcess, running

RECIPES = (ROOT / "docs" / "recipes.md").read_text()
PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)


def recipe(kind: str, words: str) -> str:
    [found] = [text for text in blocks(RECIPES, kind) if words in text]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles_and_settings_are_settings(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page.read_text(), "python")):
        compile(text, f"{page.name} {number}", "exec")
    for text in blocks(page.read_text(), "toml"):
        file = tmp_path / "settings.toml"
        file.write_text(text)
        convert(read_toml(file), Settings)


@pytest.fixture
async def node() -> AsyncIterator[NodeProcess]:
    node = NodeProcess("recipes", 'frontend","dispatcher', "redis://127.0.0.1:1/0", "bus.kind=memory")
    async with running(node):
        yield node


async def run(command: list[str], folder: Path, node: NodeProcess) -> None:
    """The program, which publishes one event to the video "v"; then whether it is there."""
    environment = os.environ | {"LIVESERVER_URL": node.url, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    with trio.fail_after(120):
        ran = await trio.run_process(
            command, cwd=folder, env=environment, capture_stdout=True, capture_stderr=True, check=False
        )
    assert ran.returncode == 0, ran.stderr.decode()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        page = (await client.get(f"{node.url}/v1/videos/v/poll?replay=10")).json()
    [event] = page["events"]
    assert (event["type"], event["user"], event["data"]) == ("reaction", "ada", {"reaction": "wow"})


@pytest.mark.process
async def test_python(node: NodeProcess, tmp_path: Path) -> None:
    (tmp_path / "live.py").write_text(recipe("python", "# live.py"))
    program = "import live; live.publish('v', 'reaction', {'reaction': 'wow'}, 'ada')"
    await run([sys.executable, "-c", program], tmp_path, node)


@pytest.mark.process
async def test_flask(node: NodeProcess, tmp_path: Path) -> None:
    (tmp_path / "live.py").write_text(recipe("python", "# live.py"))
    (tmp_path / "site_app.py").write_text(recipe("python", "from flask"))
    program = (
        "from site_app import app; form = {'reaction': 'wow', 'user': 'ada'};"
        "assert app.test_client().post('/videos/v/reactions', data=form).status_code == 202"
    )
    await run([sys.executable, "-c", program], tmp_path, node)


@pytest.mark.process
async def test_node(node: NodeProcess, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("there is no Node here")
    (tmp_path / "live.mjs").write_text(recipe("js", "// live.mjs"))
    (tmp_path / "main.mjs").write_text(
        'import { publish } from "./live.mjs"; await publish("v", "reaction", { reaction: "wow" }, "ada");'
    )
    await run(["node", "main.mjs"], tmp_path, node)


@pytest.mark.process
@pytest.mark.slow
async def test_go(node: NodeProcess, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("there is no Go here")
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "live.go").write_text(recipe("go", "package live"))
    (tmp_path / "go.mod").write_text("module example.com/site\n\ngo 1.19\n")
    event = f"live.Event{{Type: {json.dumps('reaction')}, User: {json.dumps('ada')}, Data: data}}"
    (tmp_path / "main.go").write_text(
        'package main\n\nimport (\n\t"context"\n\n\t"example.com/site/live"\n)\n\n'
        'func main() {\n\tdata := map[string]string{"reaction": "wow"}\n'
        f'\tif err := live.Publish(context.Background(), "v", {event}); err != nil {{\n'
        "\t\tpanic(err)\n\t}\n}\n"
    )
    await run(["go", "run", "."], tmp_path, node)
