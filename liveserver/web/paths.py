"""Users and ids as parts of paths: any text, with slashes at any place and line breaks.

Werkzeug's own rules would answer such names by a redirect to another name, or by 404: a user with such a name
could not be banned.
"""

from __future__ import annotations

from quart_trio import QuartTrio
from werkzeug.routing import PathConverter


class AnyPath(PathConverter):
    """`<path:…>`: one character or more, of any kind."""

    part_isolating = False  # slashes are part of it
    regex = "(?s:.+?)"


def install(app: QuartTrio) -> None:
    """Have `app` match any name; before its routes are added."""
    app.url_map.converters["path"] = AnyPath
    app.url_map.merge_slashes = False
