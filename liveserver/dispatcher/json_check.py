"""JSON that every common parser reads back as the same value (I-JSON, RFC 7493): no I/O.

msgspec has checked the syntax, UTF-8 and surrogates. What it lets pass unparsed and others refuse, or read in
two ways: numbers beyond a double or of thousands of digits, and names that come twice in one object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from liveserver.errors import BadRequest

MAX_DIGITS = 128  # of a number: the strictest parsers take 1,000, and a double needs 309 at most

# What `str.splitlines` and its like in other languages take for the end of a line, beyond ASCII. Valid JSON
# has these within strings only, where an escape means the same.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_LONG_NUMBER = re.compile(rb"[0-9.]{%d}" % (MAX_DIGITS + 1))
_decode = msgspec.json.Decoder().decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def escape_line_ends(text: bytes) -> bytes:
    """Return the JSON with its characters beyond ASCII that may end a line escaped."""
    for character, escape in _LINE_ENDS:
        if character in text:
            text = text.replace(character, escape)
    return text


def check_value(raw: bytes) -> bool:
    """Check the numbers of a JSON value; return whether some of its names may be the same.

    Raises `BadRequest`.
    """
    try:
        value = _decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"data is not readable everywhere: {error}") from None
    if len(raw) > MAX_DIGITS and _LONG_NUMBER.search(raw) and _LONG_NUMBER.search(_STRING.sub(b"", raw)):
        raise BadRequest(f"a number has at most {MAX_DIGITS} digits")
    colons = raw.count(b":")  # as many as there are names, or more
    return colons > 1 and not (type(value) is dict and len(value) == colons)


def documents(body: bytes, kind: str) -> Iterator[bytes]:
    """The JSON texts in a body that was decoded before: an object, an array's elements, or lines."""
    if kind == "application/x-ndjson":
        yield from filter(bytes.strip, body.split(b"\n"))
    elif body.lstrip()[:1] == b"[":
        yield from map(bytes, _split(body))
    else:
        yield body


def check_names(document: bytes) -> None:
    """Raises `BadRequest` when an object has two members of one name."""
    try:
        _unique.decode(document.decode())
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply") from None


def _members(pairs: list[tuple[str, object]]) -> int:
    """Raises `BadRequest` for a name that comes twice."""
    if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"an object has two members named {twice[:40]!r}")
    return 0


# Numbers are checked elsewhere, and not made into integers: that takes time that grows with their square.
_unique = json.JSONDecoder(object_pairs_hook=_members, parse_int=len)
