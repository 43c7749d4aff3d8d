"""Keys and tokens on the command line, checked before they are sent."""

from __future__ import annotations

import typer


def sendable(value: str | None) -> str | None:
    """Return a key or token that an HTTP header can carry; the error does not show it."""
    if value is not None and not (value.isascii() and value.isprintable() and " " not in value):
        raise typer.BadParameter(
            "is one line of ASCII without spaces; of a file with several keys, take one: $(head -n 1 FILE)"
        )
    return value
