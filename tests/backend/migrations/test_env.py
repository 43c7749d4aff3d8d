"""The versions that Alembic finds are those that the program knows."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from liveserver.backend import migrations
from liveserver.backend.migrations import HEAD, KNOWN


def test_the_versions_form_one_line_that_ends_with_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    assert tuple(each.revision for each in scripts.walk_revisions())[::-1] == KNOWN
