"""The files in `config/`: complete, and with the real defaults."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from liveserver.config import Settings, convert, load

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("name", ["all-in-one", "frontend", "dispatcher"])
def test_shipped_files_show_the_real_defaults(name: str, tmp_path: Path) -> None:
    text = (CONFIG / f"{name}.toml").read_text()
    uncommented = re.sub(r"(?m)^# ([a-z_]+ = )", r"\1", text)
    assert uncommented != text
    without_name = re.sub(r"(?m)^name = .*$", "", uncommented)
    path = tmp_path / "settings.toml"
    path.write_text(without_name)
    assert load(path, (), {}) == load(CONFIG / f"{name}.toml", (), {})


def test_the_all_in_one_file_equals_the_defaults() -> None:
    assert load(CONFIG / "all-in-one.toml", (), {}) == Settings()


def test_commented_out_settings_are_the_defaults() -> None:
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
