"""Errors of JSON bodies name the field and the permitted values, and no type of a library."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from liveserver.malformed import explain_decode_error


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    number: float = 0


class Body(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1, max_length=5)] | None = None
    until: Annotated[int, Meta(ge=0, lt=100)] | None = None
    mode: Literal["open", "slow"] | None = None
    counts: dict[Annotated[str, Meta(pattern="^a")], int] = {}
    names: Annotated[list[str], Meta(max_length=2)] = []
    inner: Inner | None = None
    flag: bool = False


class Required(msgspec.Struct):
    inner: Inner
    name: str


@pytest.mark.parametrize(
    ("kind", "body", "detail"),
    [
        (Body, b'{"text":1}', "'text' must be a string or null, not a whole number"),
        (Body, b'{"text":""}', "'text' must be a string of at least 1 characters"),
        (Body, b'{"text":"abcdef"}', "'text' must be a string of at most 5 characters"),
        (Body, b'{"until":-1}', "'until' must be a whole number, at least 0"),
        (Body, b'{"until":100}', "'until' must be a whole number, at most 99"),
        (Body, b'{"until":"soon"}', "'until' must be a whole number or null, not a string"),
        (Body, b'{"mode":"closed"}', '\'mode\' must be one of "open", "slow"'),
        (Body, b'{"counts":{"b":1}}', "a name in 'counts' must be a string of the form ^a"),
        (Body, b'{"counts":{"a":null}}', "'counts[...]' must be a whole number, not null"),
        (Body, b'{"names":["a","b","c"]}', "'names' must be an array of at most 2 elements"),
        (Body, b'{"names":[true]}', "'names[0]' must be a string, not true or false"),
        (Body, b'{"inner":{"number":"1"}}', "'inner.number' must be a number, not a string"),
        (Body, b'{"inner":{"wrong":1}}', "there is no field 'inner.wrong'"),
        (Body, b'{"flag":0}', "'flag' must be true or false, not a whole number"),
        (Body, b'{"wrong":1}', "there is no field 'wrong'"),
        (Body, b"[]", "it must be an object, not an array"),
        (Required, b'{"inner":{}}', "the field 'name' is missing"),
        (Body, b"{", "it is not JSON: it ends within a value, or has half of a surrogate pair"),
        (
            Body,
            b'{"text":"\\ud800"}',
            "it is not JSON: it ends within a value, or has half of a surrogate pair",
        ),
        (
            Body,
            b'{"inner":{"number":1e999}}',
            "'inner.number' must be a number in the range of a 64-bit float",
        ),
        (Body, b'{"flag" true}', "it is not JSON: expected ':' (byte 8)"),
        (Body, b'{"text":"\xff"}', "it is not UTF-8"),
    ],
)
def test_a_malformed_body_is_explained(kind: Any, body: bytes, detail: str) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as raised:
        msgspec.json.decode(body, type=kind)
    assert explain_decode_error(raised.value, kind) == detail


def test_a_body_that_is_too_deep_is_explained() -> None:
    with pytest.raises(RecursionError) as raised:
        msgspec.json.decode(b"[" * 100_000 + b"]" * 100_000)
    assert explain_decode_error(raised.value) == "it is nested too deeply"
