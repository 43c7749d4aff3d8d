"""What docs/ tells a new user to type works as it stands: keys, tokens, TLS, hooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from liveserver import config
from liveserver.auth import tokens
from liveserver.auth.keys import Key
from liveserver.cluster.redis_server import free_port
from liveserver.config.certificates import client_context
from liveserver.hooks.webhook import read_keys
from tests.cli.harness import call
from tests.processes import NodeProcess, running

DOCS = Path("docs").absolute()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)


Liveserver = Callable[..., str]


@pytest.fixture
def liveserver(capsys: pytest.CaptureFixture[str]) -> Liveserver:
    """Runs a command that succeeds; returns its output."""

    def run(*arguments: str) -> str:
        code, out, error = call(capsys, *arguments)
        assert code == 0, error
        return out

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_keys_and_the_settings_of_authentication_are_in_order(here: Path, liveserver: Liveserver) -> None:
    """The first block of the page, with its files made as it says; and a token as it makes one."""
    text = blocks("authentication.md", "toml")[0]
    for name in re.findall(r'_file = "([\w.]+)"', text):
        (here / name).write_text(liveserver("token", "--key"))
    (here / "liveserver.toml").write_text(text)
    liveserver("check", "--offline", "--config", "liveserver.toml")
    page = (DOCS / "authentication.md").read_text()
    command = re.search(r"`liveserver (token --video [^`]*viewers\.secret)`", page)
    assert command is not None
    token = liveserver(*command[1].replace("'", "").split()).strip()
    claims = tokens.verify(token, [Key("HS256", (here / "viewers.secret").read_bytes().strip())])
    assert (claims.sub, claims.videos) == ("ada", ["concert-*"])


def make_certificate(text: str) -> None:
    made = text.replace("\\\n", " ").splitlines()[0]
    subprocess.run(made, shell=True, check=True, capture_output=True)


def test_the_certificate_is_made_and_accepted(here: Path, liveserver: Liveserver) -> None:
    text = next(block for block in blocks("deployment.md", "sh") if "openssl req" in block)
    make_certificate(text)
    run = next(line for line in text.replace("\\\n", " ").splitlines() if line.startswith("liveserver run"))
    sets = ["listen.public=127.0.0.1:0", *re.findall(r"--set (\S+)", run)]
    liveserver("check", "--offline", *(word for each in sets for word in ("--set", each)))
    client_context("cert.pem")


@pytest.mark.process
async def test_top_with_a_key_and_watch_over_tls_show_a_node(here: Path, liveserver: Liveserver) -> None:
    (here / "ops.key").write_text(liveserver("token", "--key") + liveserver("token", "--key"))
    text = next(block for block in blocks("deployment.md", "sh") if "openssl req" in block)
    make_certificate(text)
    port = free_port()
    watch = text.splitlines()[-1].replace("8443", str(port))
    top = next(block for block in blocks("monitoring.md", "sh") if "liveserver top" in block)
    (here / "liveserver").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m liveserver "$@"\n')
    (here / "liveserver").chmod(0o755)
    environment = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "PYTHONPATH": str(DOCS.parent)}
    node = NodeProcess(
        "n", "frontend", "", 'node.roles=["frontend","dispatcher"]', "bus.kind=memory",
        f"listen.tls=127.0.0.1:{port}", f"tls.certificate={here}/cert.pem", f"tls.key={here}/key.pem",
        f"auth.ops_key_file={here}/ops.key",
    )  # fmt: skip
    with trio.fail_after(150):
        async with running(node):
            shown = await trio.run_process(
                top.replace("127.0.0.1:9000", f"127.0.0.1:{node.ops_port}").replace("top ", "top --once "),
                shell=True, env=environment, capture_stdout=True,
            )  # fmt: skip
            assert re.search(r"\bn +fr\+di\b", shown.stdout.decode())
            for command, words in (
                (f"{watch} --cursor earliest --json", b'"node":"n"'),
                (watch.partition(" ")[2], b"the certificate is not trusted: self"),
            ):
                watching = await trio.lowlevel.open_process(
                    f"exec env {command}", shell=True, env=environment,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )  # fmt: skip
                assert watching.stdout is not None
                said = b""
                while words not in said:
                    more = await watching.stdout.receive_some()
                    assert more, said
                    said += more
                watching.terminate()
                await watching.wait()
                await watching.stdout.aclose()


def test_the_endpoints_of_hooks_and_their_secret_are_in_order(here: Path, liveserver: Liveserver) -> None:
    (here / "hooks.secret").write_text(liveserver("hooks", "secret"))
    text = blocks("hooks.md", "toml")[0].replace("/etc/liveserver/hooks.secret", "hooks.secret")
    (here / "liveserver.toml").write_text(text)
    settings = config.load(here / "liveserver.toml", (), {})
    assert read_keys("hooks.endpoints.site", settings.hooks.endpoints["site"])
    liveserver("check", "--offline", "--config", "liveserver.toml")


def test_the_settings_of_traces_are_in_order(here: Path, liveserver: Liveserver) -> None:
    (text,) = [block for block in blocks("monitoring.md", "toml") if "[tracing]" in block]
    (here / "liveserver.toml").write_text(text)
    liveserver("check", "--offline", "--config", "liveserver.toml")
