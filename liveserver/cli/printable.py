"""Makes external text, of viewers and servers, safe for a terminal.

Characters that are not printable by Unicode's categories (controls, escapes, line and paragraph separators,
bidirectional controls, private use, lone surrogates) are replaced or escaped.
"""

from __future__ import annotations

import re

_NOT_ASCII_PRINTABLE = re.compile(r"[^ -~]")
_JSON_SPACE = re.compile(r"[\t\r\n]")


def printable(text: str) -> str:
    """Replace each character that is not printable by U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def printable_json(text: str) -> str:
    """Escape characters of a JSON text that are not printable; its value does not change."""
    if text.isascii() and text.isprintable():
        return text
    # In valid JSON these occur outside of strings only.
    return _NOT_ASCII_PRINTABLE.sub(_escape, _JSON_SPACE.sub(" ", text))


def _escape(found: re.Match[str]) -> str:
    letter = found[0]
    if letter.isprintable():
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in range(0, len(units), 2))
