"""What docs/ tells a new user to type works as it stands: keys, tokens, TLS, hooks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from liveserver import config
from liveserver.auth import tokens
from liveserver.auth.keys import Key
from liveserver.config.certificates import client_context
from liveserver.hooks.webhook import read_keys
from tests.cli.harness import call

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


def test_the_certificate_is_made_and_accepted(here: Path, liveserver: Liveserver) -> None:
    text = next(block for block in blocks("deployment.md", "sh") if "openssl req" in block)
    made = text.replace("\\\n", " ").splitlines()[0]
    subprocess.run(made, shell=True, check=True, capture_output=True)
    run = next(line for line in text.replace("\\\n", " ").splitlines() if line.startswith("liveserver run"))
    sets = ["listen.public=127.0.0.1:0", *re.findall(r"--set (\S+)", run)]
    liveserver("check", "--offline", *(word for each in sets for word in ("--set", each)))
    client_context("cert.pem")


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
