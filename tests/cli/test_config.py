"""`liveserver config`: a file that is read back to the same, with every setting and what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from liveserver import config
from liveserver.cluster import topology
from liveserver.config.render import render_full
from tests.test_cli import call


def test_full_has_every_setting_with_its_default_and_meaning(tmp_path: Path) -> None:
    text = render_full(config.Settings())
    assert config.load(None, (), {}) == config.Settings()
    (tmp_path / "all.toml").write_text(text)
    assert config.load(tmp_path / "all.toml", (), {}) == config.Settings()
    for section in config.Settings.__struct_fields__:
        for name in getattr(getattr(config.Settings(), section), "__struct_fields__", ()):
            assert re.search(rf"^# .+\n(?:# .+\n)*?# {name} = ", text, re.M), (section, name)
    sections = [
        each for each in text.split("\n\n") if ".NAME]" not in each
    ]  # those have no defaults of their own
    uncommented = re.sub(r"(?m)^# ([a-z0-9_]+ = (?!…))", r"\1", "\n\n".join(sections))
    (tmp_path / "all.toml").write_text(re.sub(r"(?m)^name = .*$", "", uncommented))
    assert config.load(tmp_path / "all.toml", (), {}) == config.Settings()


def test_full_has_the_settings_of_named_tables_too() -> None:
    text = render_full(config.Settings())
    for table in ("[peers.NAME]", "[auth.publishers.NAME]", "[hooks.endpoints.NAME]"):
        assert f"# {table}" in text.splitlines()
    after = text[text.index("# [auth.publishers.NAME]") :]
    assert re.search(r"^# .+\n# scopes = \[\"publish\"\]", after, re.M)


def test_changed_settings_are_active_lines_and_secrets_are_hidden(tmp_path: Path) -> None:
    overrides = [
        "edge.max_body=7MiB", "auth.ops_key=a-secret-key", "auth.publishers.site.key=another-secret",
        "bus.kind=redis", "peers.dc2.url=redis://me:pa55word@host/0",
    ]  # fmt: skip
    text = render_full(config.load(None, overrides, {}))
    assert 'max_body = "7MiB"  # default: "4MiB"' in text.splitlines()
    assert "[auth.publishers.site]" in text or "site" in text
    assert not any(secret in text for secret in ("a-secret-key", "another-secret", "pa55word"))


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "config", "--full")
    assert (code, out) == (0, render_full(config.Settings()) + "\n")
    assert call(capsys, "config")[1].startswith("[node]\n")


def test_the_package_brings_the_clusters_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert topology.find(topology.DEFAULT) == topology.DEFAULT
    monkeypatch.chdir(tmp_path)
    found = topology.find(topology.DEFAULT)
    assert found == topology.SHIPPED
    assert topology.load(found).nodes[0].name == "dc1-fe1"
    assert topology.find(Path("mine.toml")) == Path("mine.toml")
