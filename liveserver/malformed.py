"""Describes why a JSON body was not accepted, in the interface's own words: the field, and what it may be."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

_NAMES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
}
_MALFORMED = "JSON is malformed: "
_TRUNCATED_TEXT = "Input data was truncated"
_TRUNCATED = "it ends within a value, or has half of a surrogate pair"
_AT = re.compile(r"^(.*?)(?: - at (`key` in )?`\$?(.*)`)?$", re.DOTALL)
_TYPE = re.compile(r"^Expected `([a-z| ]+)`(?:, got `([a-z]+)`)?")
_BOUND = re.compile(r"^Expected `[a-z| ]+` (?:of length )?(>=|<=|>|<) (\S+)$")
_FORM = re.compile(r"^Expected `[a-z| ]+` matching regex '(.*)'$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(.*)`$", re.DOTALL)
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def explain_decode_error(error: Exception, kind: Any = None) -> str:
    """Return what is wrong with a body that msgspec did not decode as `kind`.

    Takes what decoding raises: `msgspec.DecodeError`, `UnicodeDecodeError`, `RecursionError`.
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return f"it is not JSON: {_TRUNCATED if text == _TRUNCATED_TEXT else text.removeprefix(_MALFORMED)}"
    found = _AT.match(text)
    what, is_key, path = found.groups() if found else (text, None, None)
    path = (path or "").lstrip(".")[:80]
    if unknown := _UNKNOWN.match(what):
        return f"there is no field {_join(path, unknown[1][:40])!r}"
    if missing := _MISSING.match(what):
        return f"the field {_join(path, missing[1])!r} is missing"
    field = f"a name in {path!r}" if is_key else repr(path) if path else "it"
    return f"{field} must be {_allowed(what, path, kind)}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _allowed(what: str, path: str, kind: Any) -> str:
    """Return what a value must be, according to msgspec's message or, for words, the field's type."""
    if what == "Number out of range":
        return "a number in the range of a 64-bit float"
    if what.startswith("Invalid enum value"):
        return _words(path, kind)
    if form := _FORM.match(what):
        return f"a string of the form {form[1]}"
    named = _TYPE.match(what)
    names = named[1].split(" | ") if named else []
    expected = " or ".join(_NAMES.get(name, name) for name in names) or "a valid value"
    if bound := _BOUND.match(what):
        units = {"str": " characters", "array": " elements", "object": " fields"}.get(names[0], "")
        if units:
            return f"{expected} of {_BOUNDS[bound[1]]} {bound[2]}{units}"
        return f"{expected}, {_BOUNDS[bound[1]]} {bound[2]}"
    if named and named[2]:
        return f"{expected}, not {_NAMES.get(named[2], named[2])}"
    return expected


def _words(path: str, kind: Any) -> str:
    """Return the words that a field of a struct may have."""
    hints = get_type_hints(kind, include_extras=True) if isinstance(kind, type) else {}
    hint = hints.get(path)
    for each in (hint, *get_args(hint)):
        if get_origin(each) is Literal:
            return "one of " + ", ".join(f'"{word}"' for word in get_args(each))
    return "one of the words of the documentation"
