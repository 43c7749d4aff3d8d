"""Rejects JSON that common parsers would read differently (I-JSON, RFC 7493). No I/O.

msgspec has checked syntax, UTF-8 and surrogates. It accepts unparsed, while other parsers reject or
interpret differently: numbers beyond a double or with thousands of digits, and duplicate names in an object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from liveserver.errors import BadRequest
from liveserver.malformed import explain_decode_error

MAX_DIGITS = 128  # of a number: the strictest parsers take 1,000, and a double needs 309 at most

# Line ends beyond ASCII of `str.splitlines` and its equivalents in other languages. In valid JSON they occur
# in strings only, where an escape is equivalent.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_LONG_NUMBER = re.compile(rb"[0-9.]{%d}" % (MAX_DIGITS + 1))
_decode = msgspec.json.Decoder().decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def escape_line_ends(text: bytes) -> bytes:
    """Return the JSON with non-ASCII line ends escaped."""
    for character, escape in _LINE_ENDS:
        if character in text:
            text = text.replace(character, escape)
    return text


def check_value(raw: bytes) -> bool:
    """Check the numbers of a JSON value; return whether it may have duplicate names.

    Raises `BadRequest`.
    """
    try:
        value = _decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"data is not interoperable JSON: {explain_decode_error(error)}") from None
    if len(raw) > MAX_DIGITS and _LONG_NUMBER.search(raw) and _LONG_NUMBER.search(_STRING.sub(b"", raw)):
        raise BadRequest(f"a number has at most {MAX_DIGITS} digits")
    colons = raw.count(b":")  # as many as there are names, or more
    return colons > 1 and not (type(value) is dict and len(value) == colons)


def documents(body: bytes, kind: str) -> Iterator[bytes]:
    """Yield the JSON texts of a decoded body: an object, an array's elements, or lines."""
    if kind == "application/x-ndjson":
        yield from filter(bytes.strip, body.split(b"\n"))
    elif body.lstrip()[:1] == b"[":
        yield from map(bytes, _split(body))
    else:
        yield body


def check_names(document: bytes) -> None:
    """Raise `BadRequest` if an object has duplicate names."""
    try:
        _unique.decode(document.decode())
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply") from None


def _members(pairs: list[tuple[str, object]]) -> int:
    """Raise `BadRequest` if there are duplicate names."""
    if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"an object has two members named {twice[:40]!r}")
    return 0


# Numbers are checked elsewhere, and not converted to integers, which takes quadratic time.
_unique = json.JSONDecoder(object_pairs_hook=_members, parse_int=len)
