"""The tree of tests is that of the server: `liveserver/x/y.py` is covered by `tests/x/test_y.py`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent

# Modules that only the tests of what uses them cover. To be lowered with each that gets its own.
MOST_WITHOUT = 98


def test_modules_have_their_test_modules() -> None:
    root = ROOT / "liveserver"
    modules = [path.relative_to(root) for path in root.rglob("*.py") if not path.name.startswith("__")]
    without = sorted(
        module.as_posix()
        for module in modules
        if not (ROOT / "tests" / module.with_name(f"test_{module.name}")).exists()
    )
    assert len(without) <= MOST_WITHOUT, without
