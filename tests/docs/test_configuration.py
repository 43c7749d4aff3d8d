"""The reference of settings is generated from their definitions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from liveserver.config import sections

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_configuration", DOCS / "generate_configuration.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator: ModuleType) -> None:
    text = (DOCS / "configuration.md").read_text()
    assert generator.page(text) == text, "run: python docs/generate_configuration.py"


def test_every_setting_stands_on_the_page_with_its_meaning() -> None:
    text = (DOCS / "configuration.md").read_text()
    for section, kind in sections.Settings.__annotations__.items():
        struct = getattr(sections, str(kind), None)
        if struct is None:
            assert f"## `[{section}.NAME]`" in text
            continue
        chapter = text.split(f"## `[{section}]`\n", 1)[1].split("\n## ", 1)[0]
        for name in struct.__struct_fields__:
            if (section, name) in {("auth", "publishers"), ("hooks", "endpoints")}:
                assert f"## `[{section}.{name}.NAME]`" in text
                continue
            row = next(line for line in chapter.splitlines() if line.startswith(f"| `{name}` |"))
            assert len(row.split(" | ")) == 4
            assert len(row.split(" | ")[3].strip(" |")) > 3


def test_check_fails_for_a_page_that_is_not(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "configuration.md"
    page.write_text((DOCS / "configuration.md").read_text().replace("| `lease` |", "| `leese` |"))
    monkeypatch.setattr(generator, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["generate_configuration.py", "--check"])
    with pytest.raises(SystemExit, match="out of date"):
        generator.main()


def test_a_setting_without_a_meaning_is_refused(generator: ModuleType) -> None:
    class Silent(msgspec.Struct):
        """A section."""

        quiet: int = 1

    with pytest.raises(SystemExit, match=r"Silent\.quiet has no comment"):
        list(generator.rows(Silent))


def test_comments_above_and_beside_are_the_meaning(generator: ModuleType) -> None:
    assert "`skip` sends `gap`" in generator.comments(sections.FrontendSettings)["slow_policy"]
    assert "needs `bus.kind" in generator.comments(sections.NodeSettings)["workers"]
