"""What is imported early is what there is."""

from __future__ import annotations

from importlib.util import find_spec
from typing import get_args

import pytest

from liveserver.config import RoleName, load
from liveserver.node.preload import MODULES, preload


@pytest.mark.parametrize("module", sorted({module for modules in MODULES.values() for module in modules}))
def test_each_module_exists(module: str) -> None:
    assert find_spec(module)


def test_modules_are_those_of_the_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr("importlib.import_module", imported.append)
    preload(load(None, [], {}))
    assert imported == [*MODULES[""], *MODULES["dispatcher"], *MODULES["backend"]]


def test_roles_are_those_of_the_configuration() -> None:
    assert set(MODULES) - {""} <= set(get_args(RoleName))
