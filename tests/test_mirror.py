"""The tree of tests is that of the server: `liveserver/x/y.py` is covered by `tests/x/test_y.py`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Modules that only declare: there is nothing in them that could do the wrong thing.
DECLARATIONS = {
    "bus/interface.py": "what a bus does, as protocols; the contract tests hold each implementation to it",
    "cli/rows.py": "the fields of a row",
    "client/connection.py": "what sources need of a WebSocket, as a protocol",
    "config/sections.py": "every setting with its type and default; what is refused is in the checks",
    "edge/server_interface.py": "what connections need of their server, as protocols",
    "edge/statistics.py": "the fields of the statistics, described for /metrics",
    "frontend/delivery/scheduler.py": "the fan-out as audiences use it, as a protocol",
    "web/openapi/recording.py": "the operation that reads recordings, as data",
    "role.py": "what a role consists of",
}


def modules() -> list[Path]:
    """Every module, relative to the package, but for the packages' own."""
    root = ROOT / "liveserver"
    return [path.relative_to(root) for path in root.rglob("*.py") if not path.name.startswith("__")]


def test_modules_have_their_test_modules() -> None:
    without = sorted(
        module.as_posix()
        for module in modules()
        if not (ROOT / "tests" / module.with_name(f"test_{module.name}")).exists()
        and module.as_posix() not in DECLARATIONS
    )
    assert without == []


def test_modules_without_tests_have_no_code() -> None:
    assert set(DECLARATIONS) <= {module.as_posix() for module in modules()}
    assert {name: statements(name) for name in DECLARATIONS if statements(name)} == {}


def statements(name: str) -> list[int]:
    """The lines of a module's functions on which something is done; storing an argument is nothing."""
    tree = ast.parse((ROOT / "liveserver" / name).read_text())
    bodies = [
        node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        statement.lineno
        for body in bodies
        for statement in body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        and not re.fullmatch(r"super\(\).__init__\(\w+\)|self\.(\w+) = \1", ast.unparse(statement))
    ]
