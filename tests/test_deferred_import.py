"""Modules that are imported when they are first needed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from liveserver.deferred_import import import_in_thread


async def test_a_module_is_imported_once_and_by_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_module.py").write_text("import threading\nby = threading.get_ident()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = await import_in_thread("late_module")
    assert module is sys.modules.pop("late_module")
    assert module.by != threading.get_ident()


async def test_an_imported_module_is_returned_as_it_is() -> None:
    assert await import_in_thread("threading") is threading
