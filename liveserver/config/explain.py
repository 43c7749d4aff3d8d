"""Error messages for values: what is expected, or which values are permitted."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from liveserver.config.sections import Settings
from liveserver.config.values import Datacenter, HookKind, Name, Videos
from liveserver.config.writing import without_password
from liveserver.units import Address, Duration, Secret, Size, quantity

_UNKNOWN = re.compile("Object contains unknown field `(.+)`")
_MISSING = re.compile("Object missing required field `(.+)`")
_KINDS: dict[Any, str] = {
    Duration: 'a duration like "20ms", "15s" or "5m"',
    Size: 'a size like "64KiB" or "4MiB"',
    Address: 'an address like "127.0.0.1:8000"',
    Secret: "a text in quotes, and not empty",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    Name: "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
    Datacenter: "1 to 16 of a-z 0-9",
    HookKind: 'a kind of message like "video.occupied", "comment.*" or "*"',
    Videos: 'a video, a prefix like "concert-*", or "*"',
}


def expected(hint: Any) -> str:
    """Describe the values that a setting may have."""
    if hint in _KINDS:
        return _KINDS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        plain, *notes = arguments
        words = expected(plain)
        for note in notes:
            if isinstance(note, msgspec.Meta) and note.description:
                return note.description
            if isinstance(note, msgspec.Meta):
                words += f", at least {note.ge:,}" if note.ge is not None else ""
                words += f", at most {note.le:,}" if note.le is not None else ""
                words += f", more than {note.gt:,}" if note.gt is not None else ""
                words += ", and not empty" if note.min_length else ""
        return words
    if origin in (UnionType, Union):
        return " or ".join(expected(each) for each in arguments if each is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(
            f'"{each}"' if isinstance(each, str) else str(each) for each in arguments
        )
    if origin in (list, tuple, set, frozenset):
        return f"a list, each of it {expected(arguments[0])}"
    return "a table of settings"


def explain(tree: Any, kind: Any, error: msgspec.ValidationError) -> tuple[str, str]:
    """Return the name of the setting that is wrong in `tree`, and what to write instead."""
    found = _search(tree, kind, "")
    if found is not None:
        return found
    message, _, where = str(error).partition(" - at `$")
    return where.strip("`.") or "configuration", message[:1].lower() + message[1:]


def _search(value: Any, hint: Any, where: str) -> tuple[str, str] | None:
    """Return the first setting under `where` whose value does not have its type, with the message."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _search_section(value, hint, where)
    if origin is dict:
        return _search_table(value, arguments, where)
    if origin is list and isinstance(value, list):
        for index, each in enumerate(value):
            if found := _search(each, arguments[0], f"{where}[{index}]"):
                return found
        return None
    try:
        msgspec.convert(value, hint, dec_hook=quantity)
    except msgspec.ValidationError as error:
        own = error.__cause__
        if isinstance(own, ValueError):
            return where, str(own)  # of `units.quantity`, which is more precise
        shown = "the value" if _may_be_secret(hint) else _show(value)
        return where, f"{shown} is not {expected(hint)}"
    return None


def _search_section(value: Any, section: type[msgspec.Struct], where: str) -> tuple[str, str] | None:
    if not isinstance(value, Mapping):
        return where or "configuration", f"is a section; write [{where}] and its settings below"
    hints = get_type_hints(section, include_extras=True)
    for name, each in value.items():
        full = f"{where}.{name}".strip(".")
        if name not in section.__struct_fields__:
            likely = difflib.get_close_matches(name, section.__struct_fields__, n=1) or _elsewhere(name)
            return full, f"there is no such setting{f'; did you mean {likely[0]}?' if likely else ''}"
        if found := _search(each, hints[name], full):
            return found
    for field in msgspec.structs.fields(section):
        if field.required and field.name not in value:
            return f"{where}.{field.name}".strip("."), "is missing; it has no default"
    return None


def _search_table(value: Any, arguments: tuple[Any, ...], where: str) -> tuple[str, str] | None:
    if not isinstance(value, Mapping):
        return where, f"is a table; write [{where}.NAME]"
    for name, each in value.items():
        if found := _search(name, arguments[0], where):
            return where, f"the name {found[1]}"
        if found := _search(each, arguments[1], f"{where}.{name}"):
            return found
    return None


def _elsewhere(name: str) -> list[str]:
    """Return the setting of this name in another section, if there is exactly one."""
    settings = Settings()
    there = [
        f"{section}.{name}"
        for section in settings.__struct_fields__
        if name in getattr(getattr(settings, section), "__struct_fields__", ())
    ]
    return there if len(there) == 1 else []


def _may_be_secret(hint: Any) -> bool:
    return hint is Secret or Secret in get_args(hint)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = without_password(repr(value))
    return text if len(text) <= 80 else f"{text[:80]}…"
