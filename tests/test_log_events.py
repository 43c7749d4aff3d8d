"""Log events are stable names with fields, so that they can be searched for and alerted on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

LIVESERVER = Path(__file__).parents[1] / "liveserver"
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def test_every_event_is_a_literal_in_snake_case() -> None:
    events: dict[str, object] = {}
    for path in sorted(LIVESERVER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr=attr), args=[first, *others]):
                    if attr in METHODS:
                        where = f"{path.relative_to(LIVESERVER)}:{node.lineno}"
                        events[where] = first.value if isinstance(first, ast.Constant) else None
                        assert not others, f"{where}: fields have names"
    assert len(events) > 20
    assert {where: event for where, event in events.items() if not EVENT.fullmatch(str(event))} == {}
