"""The commands that start servers, and those that check and print a configuration."""

from __future__ import annotations

import gc
import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest

from liveserver import config
from liveserver.cli import main
from liveserver.config.render import render, render_full
from tests.cli.harness import call


def test_check_says_where_the_wrong_value_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[frontend]\nlease = "soon"\n')
    assert f"{path}: frontend.lease: 'soon'" in call(capsys, "check", "--config", str(path))[2]
    monkeypatch.setenv("LIVESERVER_FRONTEND__LEASE", "later")
    assert (
        "environment variable LIVESERVER_FRONTEND__LEASE: frontend.lease: 'later'" in call(capsys, "check")[2]
    )


def test_check_prints_what_run_would_read_back_to_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "check", "--role", "dispatcher", "--set", "edge.max_body=7MiB")
    assert code == 0
    assert "is right" in err
    assert 'roles = ["dispatcher"]' in out
    assert [line.split() for line in out.splitlines() if "max_body " in line] == [
        ["max_body", "=", '"7MiB"', "#", "default:", '"4MiB"']
    ]
    assert config.convert(tomllib.loads(out), config.Settings) == config.load(
        None, ['node.roles=["dispatcher"]', "edge.max_body=7MiB"], {}
    )


def test_check_knows_a_cluster_too(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[2] / "config" / "cluster.toml"
    code, out, _ = call(capsys, "check", "--config", str(path))
    assert code == 0
    assert "dc1-fe1" in out


def test_all_the_roles_are_those_that_run_plays_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "check", "--role", "all")[1] == render(config.Settings()) + "\n"


def test_a_wrong_secret_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "check", "--set", "auth.secret=")
    assert code == 2
    assert "auth.secret=…" in err


@pytest.mark.parametrize(
    "setting",
    [
        "bus.url=redis://u:hunter2@localhost:6379/0",
        "bus.url=redis://u:hun@ter2:hunter2@localhost:6379/0",
        "bus.url=redis+sentinel://:x@localhost/mymaster?sentinel_password=hunter2",
        "bus.url=redis://u:hunter2@localhost:port/0",
        "bus.urll=redis://u:hunter2@localhost/0",
        "bus.timeout=redis://u:hunter2@localhost/0",
        "backend.database=postgresql://u:hunter2@localhost/x",
        "backend.databas=postgresql://u:hunter2@localhost/x",
    ],
)
def test_no_password_of_a_url_is_printed(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = call(capsys, "check", "--set", "bus.kind=redis", "--set", setting)
    assert out + err
    assert "hunter2" not in out + err


def test_config_prints_what_is_in_force_or_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "config", "--full")
    assert (code, out) == (0, render_full(config.Settings()) + "\n")
    assert call(capsys, "config")[1].startswith("[node]\n")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_garbage_is_collected_once_it_runs(workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []

    async def supervise(*_: object) -> None:
        found.append(gc.isenabled())

    async def serve(*_: object, **__: object) -> None:
        found.append(gc.isenabled())  # `node.run` enables it when all is open

    monkeypatch.setattr("liveserver.cluster.workers.run", supervise)
    monkeypatch.setattr("liveserver.node.run", serve)
    monkeypatch.setattr("liveserver.cluster.fork_server.start", lambda *_: nullcontext())
    with pytest.raises(SystemExit) as ended:
        main(["run", "--workers", workers, "--set", "bus.kind=redis"])
    assert not ended.value.code
    assert gc.isenabled()
    assert found == [workers == "2"]
