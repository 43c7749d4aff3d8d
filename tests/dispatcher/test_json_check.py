"""JSON that parsers would read differently is refused; what they agree on is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.dispatcher.json_check import (
    MAX_DIGITS,
    check_names,
    check_value,
    documents,
    escape_line_ends,
)
from liveserver.errors import BadRequest


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.lists(st.booleans()))))
def test_ordinary_json_is_accepted(value: dict[str, object]) -> None:
    raw = json.dumps(value).encode()
    check_value(raw)
    check_names(raw)


@pytest.mark.parametrize(
    "raw", [b"1e999", b"[-1e999]", b"1" * (MAX_DIGITS + 1), b"[0." + b"1" * MAX_DIGITS + b"]"]
)
def test_numbers_beyond_a_double_are_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        check_value(raw)


def test_digits_within_a_string_are_not_a_number() -> None:
    assert not check_value(b'"\\"' + b"1" * (MAX_DIGITS + 1) + b'"')


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"a":2}', b'[{"b":{"a":1,"a":1}}]', b'{"a":1,"\\u0061":2}', b'{"":1,"":2}']
)
def test_duplicate_names_are_refused(raw: bytes) -> None:
    assert check_value(raw)  # may have: is to be looked at
    with pytest.raises(BadRequest, match="two members"):
        check_names(raw)


def test_nesting_is_bounded() -> None:
    with pytest.raises(BadRequest, match="nested"):
        check_names(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085"])
def test_line_ends_are_escaped(end: str) -> None:
    raw = json.dumps({"a": f"x{end}y"}, ensure_ascii=False).encode()
    escaped = escape_line_ends(raw)
    assert len(escaped.decode().splitlines()) == 1
    assert json.loads(escaped) == {"a": f"x{end}y"}


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b'{"a":1}', "application/json", [b'{"a":1}']),
        (b' [{"a":1}, 2]', "application/json", [b'{"a":1}', b"2"]),
        (b'{"a":1}\n\n{"b":2}\n', "application/x-ndjson", [b'{"a":1}', b'{"b":2}']),
        (b"[1]\n[2]", "application/x-ndjson", [b"[1]", b"[2]"]),
        (b"", "application/x-ndjson", []),
    ],
)
def test_bodies_are_split_into_documents(body: bytes, kind: str, expected: list[bytes]) -> None:
    assert list(documents(body, kind)) == expected
