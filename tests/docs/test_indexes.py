"""Each package's `__init__.py` begins with an index of its files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.test_links import ROOT

PACKAGES = sorted(path.parent for path in (ROOT / "liveserver").glob("*/**/__init__.py"))
_ENTRY = re.compile(r"^(\w+(?:\.py|/))  +\S", re.M)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_index_has_each_file_once(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    summary, _, rest = text.partition("\n\n")
    index = rest.split("\n\n")[0]
    assert "\n" not in summary
    files = {path.name for path in package.glob("*.py") if path.name != "__init__.py"}
    packages = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    named = _ENTRY.findall(index)
    assert len(named) == len(set(named))
    assert set(named) == files | packages
