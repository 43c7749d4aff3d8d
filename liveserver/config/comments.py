"""The description of each setting: the comments of its definition, which the documentation uses, too."""

from __future__ import annotations

import inspect
import io
import re
import tokenize

import msgspec

_FIELD = re.compile(r"    (\w+): ")


def comments(section: type[msgspec.Struct]) -> dict[str, str]:
    """Return each setting's comment: that on the lines above it, and that on its own lines."""
    source = inspect.getsource(section)
    lines = source.splitlines()
    found: dict[str, str] = {}
    notes: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            notes[token.start[0]] = token.string.lstrip("#").strip()
    above: list[str] = []
    current: str | None = None
    for number, line in enumerate(lines, 1):
        note = notes.get(number, "")
        if line.strip().startswith("#"):
            above.append(note)
            continue
        if match := _FIELD.match(line):
            current = match[1]
            found[current] = " ".join([*above, note]).strip()
        elif current is not None and note:
            found[current] = f"{found[current]} {note}".strip()
        above = []
    return found
