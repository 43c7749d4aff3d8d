"""The server's log needs no rich."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import liveserver.node.lean, sys
import structlog.dev
assert "rich.console" not in sys.modules and structlog.dev.rich is None
import rich.console
"""


@pytest.mark.process
def test_structlog_is_imported_without_it_and_others_may_import_it() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], timeout=120, check=True)
