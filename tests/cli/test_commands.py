"""What a person types, and what comes back: one line when it is wrong, and the right exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from liveserver import __version__
from liveserver.cli import main
from tests.cli.harness import call

COMMANDS = ("run", "cluster", "publish", "watch", "top", "token", "check")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert f"Example:\n    liveserver {command} " in out
    assert "--until-eof" not in out


def test_without_a_command_there_is_help_and_a_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys)
    assert code == 0
    assert "Begin with: liveserver run" in out
    assert all(command in out for command in COMMANDS)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version") == (0, f"liveserver {__version__}\n", "")


def test_help_is_quick_for_it_imports_nothing_slow() -> None:
    slow = ["trio", "httpx", "redis", "hypercorn", "quart"]
    script = f"import liveserver.cli, sys; print([name for name in {slow} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["walk"], "liveserver: No such command 'walk'; liveserver --help shows how"),
        (["run", "--now"], "liveserver run: No such option: --now"),
        (["run", "--workers", "many"], "liveserver run: Invalid value for '--workers'"),
        (["watch"], "liveserver watch: Missing argument 'URL'"),
        (["watch", "127.0.0.1:8000", "v1"], "is not like http://127.0.0.1:8000"),
        (["publish", "http://127.0.0.1:1", "v1", "--data", "{heart}"], "is not JSON"),
        (["publish", "http://127.0.0.1:1", "v1", "--data", "[" * 5_000], "--data: it is"),
        (["publish", "http://127.0.0.1:1", "v1", "--data", "1e999"], "range of a 64-bit float"),
        (["publish", "http://127.0.0.1:1", "v1", "--data", '"\\ud800"'], "half of a surrogate pair"),
        (["check", "--set", "edge.allow_hosts=" + "[" * 3_000], "edge.allow_hosts"),
        (["check", "--set", "edge.backlog=" + "1" * 5_000], "edge.backlog"),
        (["publish", "http://127.0.0.1:1", "v1", "--rate", "0"], "--rate: is events a second, more than 0"),
        (["publish", "http://127.0.0.1:1", "v1", "--count", "0"], "--count: is at least 1"),
        (["check", "--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file"),
        (["run", "--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file"),
        (["cluster", "--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file"),
        (["run", "--set", "frontend.lease=soon"], "--set frontend.lease=soon: frontend.lease: 'soon' is not"),
        (["run", "--role", "cook"], "node.roles[0]: 'cook' is not one of"),
        (["run", "--role", "frontend"], "frontend.dispatchers: is empty"),
        (["run", "--workers", "2"], 'more than one needs bus.kind = "redis"'),
    ],
)
def test_invalid_usage_is_one_line_and_exit_code_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


def test_without_standard_output_a_command_ends_as_it_would_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # closed before the start
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
