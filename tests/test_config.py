"""Settings come from three sources, and errors name the setting."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from liveserver.config import Settings, convert, load
from liveserver.errors import ConfigError

CONFIG = Path(__file__).parent.parent / "config"


def write(directory: Path, text: str) -> Path:
    path = directory / "settings.toml"
    path.write_text(text)
    return path


def test_without_anything_there_are_the_defaults() -> None:
    assert load(None, (), {}) == Settings()


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[frontend]\nlease = "1s"\nlinger = "1s"\nheartbeat = "1s"')
    environment = {
        "LIVESERVER_FRONTEND__LINGER": "2s",
        "LIVESERVER_FRONTEND__HEARTBEAT": "2s",
        "LIVESERVER_X": "1",
    }
    frontend = load(path, ["frontend.heartbeat=3s"], environment).frontend
    assert [frontend.lease, frontend.linger, frontend.heartbeat] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("15s", 15), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5", 1.5), ("7", 7)],
)
def test_durations_have_their_unit(text: str, seconds: float) -> None:
    assert load(None, [f"frontend.linger={text}"], {}).frontend.linger == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("64KiB", 65536), ("4MiB", 4 * 1024**2), ("1GiB", 1024**3), ("99", 99)]
)
def test_sizes_have_theirs(text: str, size: int) -> None:
    assert load(None, [f"edge.max_body={text}"], {}).edge.max_body == size


def test_lists_and_texts_are_written_as_in_the_file() -> None:
    settings = load(
        None, ['node.roles=["dispatcher"]', "node.name=a-1", "node.allow_unauthenticated=true"], {}
    )
    assert (settings.node.roles, settings.node.name, settings.node.allow_unauthenticated) == (
        ["dispatcher"],
        "a-1",
        True,
    )


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("frontend.leese=3", "frontend.leese: there is no such setting; did you mean lease?"),
        ("frontend.xyz=3", "frontend.xyz: there is no such setting"),
        ("frontent.lease=3", "frontent: there is no such setting; did you mean frontend?"),
        ("frontend.lease=soon", 'frontend.lease: \'soon\' is not a duration like "20ms", "15s" or "5m"'),
        ("frontend.lease=-1", "frontend.lease: -1 is not a duration"),
        ("edge.max_body=4 tons", "edge.max_body: '4 tons' is not a size like"),
        ("listen.public=8000", "listen.public: 8000 is not an address like 127.0.0.1:8000"),
        ("listen.public=localhost:99999", "listen.public: 'localhost:99999' is not an address"),
        ("node.workers=0", "node.workers: 0 is not a whole number, at least 1"),
        ("lease=3", "--set lease: write it as section.name=value"),
        ("frontend.lease", "--set frontend.lease: write it as section.name=value"),
        ("node.roles=[]", "node.roles: is empty; name at least one of"),
        ("node.workers=2", 'node.workers: more than one needs bus.kind = "redis"'),
        ('node.roles=["frontend"]', "frontend.dispatchers: is empty"),
        ('node.roles=["backend"]', "backend.dispatchers: is empty"),
        ('backend.dispatchers=["dc1-di1:8111"]', "backend.dispatchers: 'dc1-di1:8111' is not a URL"),
        ("backend.batch_events=1001", "backend.batch_events: is over dispatcher.max_events"),
        ("listen.public=0.0.0.0:80", "listen.public: 0.0.0.0:80 is reachable from outside"),
        ("frontend.retry_min=9s", "frontend.retry_min: is over frontend.retry_max"),
        ("frontend.lease=1h", "frontend.lease: is over dispatcher.max_lease"),
        ("relay.retry_min=9s", "relay.retry_min: is over relay.retry_max"),
        ("peers.dc2=redis://host", "write it as section.name=value, peers.dc2.url=redis://… for example"),
        ("peers.dc2.url=redis://host", 'peers: need bus.kind = "redis"'),
        ("peers.dc1.url=redis://host", "peers.dc1: is this datacenter itself"),
        ("peers.dc2.url=", "peers.dc2.url: '' is not a text in quotes, and not empty"),
        ("peers.DC2.url=redis://host", "peers: the name 'DC2' is not 1 to 16 of a-z 0-9"),
    ],
)
def test_invalid_settings_are_refused_by_name(override: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, [override], {})


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["peers.dc2.url=host:6379/0"], "peers.dc2.url: 'host:6379/0' is not a URL like redis://"),
        (["peers.dc2.url=redis://h", 'node.roles=["frontend"]', "frontend.dispatchers=[\"http://d\"]"],
         "peers: are for dispatchers only"),
        ([f"peers.datacenter{n}.url=redis://h" for n in range(5)], "peers: are so many that a cursor"),
    ],
)  # fmt: skip
def test_invalid_peers_are_refused(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, ["bus.kind=redis", *overrides], {})


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


def test_a_file_that_is_missing_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml", (), {})
    with pytest.raises(ConfigError, match=r"settings\.toml: is not TOML: .*line 1"):
        load(write(tmp_path, "lease =\n"), (), {})


@pytest.mark.parametrize("name", ["all-in-one", "frontend", "dispatcher"])
def test_shipped_files_show_the_real_defaults(name: str, tmp_path: Path) -> None:
    text = (CONFIG / f"{name}.toml").read_text()
    uncommented = re.sub(r"(?m)^# ([a-z_]+ = )", r"\1", text)
    assert uncommented != text
    without_name = re.sub(r"(?m)^name = .*$", "", uncommented)
    assert load(write(tmp_path, without_name), (), {}) == load(CONFIG / f"{name}.toml", (), {})


def test_everything_in_one_is_what_run_does_without_a_file() -> None:
    assert load(CONFIG / "all-in-one.toml", (), {}) == Settings()


def test_what_is_commented_out_is_the_default() -> None:
    """So that a line means the same with and without its `#`; but for names, which are examples."""
    defaults, section, seen = Settings(), "", 0
    for file in sorted(CONFIG.glob("*.toml")):
        for line in file.read_text().splitlines():
            if found := re.match(r"\[([a-z]+)\]", line):
                section = found[1]
            found = re.match(r"# ([a-z_0-9]+) = (.+)", line)
            if found is None or not hasattr(defaults, section) or (section, found[1]) == ("node", "name"):
                continue
            value = tomllib.loads(f"value = {found[2]}")["value"]
            written = getattr(convert({section: {found[1]: value}}, Settings), section)
            assert getattr(written, found[1]) == getattr(getattr(defaults, section), found[1]), (file, line)
            seen += 1
    assert seen > 100
