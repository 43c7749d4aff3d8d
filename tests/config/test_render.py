"""Settings as TOML: what is in force, and all that there are with what they mean."""

from __future__ import annotations

import re
from pathlib import Path

from liveserver import config
from liveserver.config import Settings, load
from liveserver.config.render import WIDTH, render, render_full
from tests.auth.harness import KEY, NODES, SECRET, pem, rsa_key


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


TOKENS = ("auth.viewers=token", f"auth.secret={SECRET}")


NODES_SECRET = f"auth.nodes_secret={NODES}"


SITE = f"auth.publishers.site.key={KEY}"


def test_check_prints_no_secret(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(pem(rsa_key()))
    settings = load(None, [*TOKENS, SITE, NODES_SECRET, f"auth.public_key_file={tmp_path / 'key.pem'}"], {})
    printed = render(settings)
    assert "# secret is set, and not shown" in printed
    assert f'public_key_file = "{tmp_path / "key.pem"}"' in printed
    for text in (printed, repr(settings), str(settings)):
        assert not any(secret in text for secret in (SECRET, KEY, NODES))


def test_what_has_no_value_or_is_secret_is_a_remark() -> None:
    settings = load(None, ["edge.max_body=7MiB", "bus.kind=redis", "peers.dc2.url=redis://u:pa55@h/0"], {})
    lines = render(settings).splitlines()
    assert lines[0] == "[node]"
    assert "# name is made up at the start" in lines
    assert "# secret_file is not set" in lines
    assert '# default: "memory"' in next(line for line in lines if line.startswith('kind = "redis"'))
    assert any(line.startswith('dc2 = { url = "redis://u:…@h/0"') for line in lines)


def test_long_meanings_are_wrapped_and_have_no_markup() -> None:
    lines = render_full(Settings()).splitlines()
    comments = [line for line in lines if line.startswith("# ") and " = " not in line]
    assert max(map(len, comments)) <= max(WIDTH, max(len(line) for line in comments if "`" in line))
    assert "# token: watching, liking and commenting need a JWT" in lines


def test_settings_without_a_default_say_what_they_expect() -> None:
    lines = render_full(Settings()).splitlines()
    after = lines[lines.index("# [peers.NAME]") :]
    assert "# url = …  # a text in quotes, and not empty; not set" in after
