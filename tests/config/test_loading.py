"""Settings come from three sources, and secrets are kept off a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveserver.config import Settings, load, move_secrets
from liveserver.errors import ConfigError


@pytest.mark.parametrize(
    "secret",
    [
        "auth.secret=0123456789012345678901234567890123",
        "auth.nodes_secret={not-a-table-but-a-secret-of-32-letters}",
        "auth.ops_key=k",
        "auth.publishers.site.key=k",
        'auth.publishers={ Site = { key = "k" } }',
        "bus.url=redis://user:pa55word@host/0",
        "backend.database=postgresql://me:pa55word@host/likes",
        "backend.database=postgresql://host/likes?password=pa55word",
        "peers.dc2.url=rediss://:pa55word@host/0",
    ],
)
def test_secret_overrides_move_to_the_environment(secret: str) -> None:
    more = ["bus.kind=redis", "node.drain_timeout=1s"]
    plain, environment = move_secrets([*more, secret])
    assert plain == more
    assert len(environment) == 1
    assert load(None, plain, environment) == load(None, [*more, secret], {})


@pytest.mark.parametrize(
    "override",
    ["auth.secret_file=a", "auth.viewers=token", "bus.url=redis://host/0", "auth.publishers.Site.key=k"],
)
def test_other_overrides_stay_on_the_command_line(override: str) -> None:
    assert move_secrets([override]) == ([override], {})


def write(directory: Path, text: str) -> Path:
    path = directory / "settings.toml"
    path.write_text(text)
    return path


def test_settings_without_any_source_are_the_defaults() -> None:
    assert load(None, (), {}) == Settings()


def test_flags_override_the_environment_and_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[frontend]\nlease = "1s"\nlinger = "1s"\nheartbeat = "1s"')
    environment = {
        "LIVESERVER_FRONTEND__LINGER": "2s",
        "LIVESERVER_FRONTEND__HEARTBEAT": "2s",
        "LIVESERVER_X": "1",
    }
    frontend = load(path, ["frontend.heartbeat=3s"], environment).frontend
    assert [frontend.lease, frontend.linger, frontend.heartbeat] == [1.0, 2.0, 3.0]


def test_peers_come_from_all_three_sources(tmp_path: Path) -> None:
    path = write(
        tmp_path, '[bus]\nkind = "redis"\n[peers.dc2]\nurl = "redis://a"\n[peers.dc3]\nurl = "redis://b"\n'
    )
    settings = load(
        path, ["peers.dc4.url=redis://d"], {"LIVESERVER_PEERS__DC3__URL": "redis://user:secret@c:6379/0"}
    )
    assert {name: peer.url for name, peer in settings.peers.items()} == {
        "dc2": "redis://a", "dc3": "redis://user:secret@c:6379/0", "dc4": "redis://d",
    }  # fmt: skip


def test_a_missing_or_malformed_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml", (), {})
    with pytest.raises(ConfigError, match=r"settings\.toml: is not TOML: .*line 1"):
        load(write(tmp_path, "lease =\n"), (), {})
    for text in ("a = " + "[" * 5_000, "a = " + "1" * 5_000, "[" * 5_000):
        with pytest.raises(ConfigError, match=r"settings\.toml: is not TOML: "):
            load(write(tmp_path, text), (), {})
