"""OpenAPI 3.1 as 3.0.3, for code generators that do not read 3.1.

3.1 uses JSON Schema as it is, 3.0 a dialect of its own (OpenAPI 3.0.3, "Schema Object"). What our documents
use of the difference is converted here; `tests/web/openapi/test_downgrade.py` validates the result.
"""

from __future__ import annotations

from typing import Any

from liveserver.web.openapi.components import Json

VERSION = "3.0.3"
_WITHOUT_MEANING = ("propertyNames",)  # 3.0 cannot say it, and servers check it anyway


def to_3_0(document: Json) -> Json:
    """Return the document in OpenAPI 3.0.3. The given one is not changed."""
    converted: Json = _convert(document)
    converted["openapi"] = VERSION
    converted["info"]["license"] = {"name": document["info"]["license"]["name"]}
    return converted


def _convert(value: Any) -> Any:
    if isinstance(value, list):
        return [_convert(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: _convert(each) for name, each in value.items() if name not in _WITHOUT_MEANING}
    if made.get("required") == []:
        del made["required"]
    kinds = made.get("type")
    if isinstance(kinds, list):
        [made["type"]] = [kind for kind in kinds if kind != "null"]
        made["nullable"] = True
    choices = made.get("enum")
    if isinstance(choices, list):
        made.setdefault("type", "string")
        if None in choices:
            made["nullable"] = True
    if isinstance(made.get("const"), str):
        made["type"], made["enum"] = "string", [made.pop("const")]
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(bound), int | float) and not isinstance(made[bound], bool):
            made[limit], made[bound] = made[bound], True
    return made
