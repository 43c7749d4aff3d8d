"""The parameters of a query: exactly those that are known."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from liveserver.edge.query import parse_limit
from liveserver.errors import BadRequest
from tests.edge.harness import request


def test_arguments() -> None:
    asked = request(b"/?cursor=a%7Eb&replay=")
    assert asked.arguments(("cursor", "replay", "wait")) == {"cursor": "a~b", "replay": ""}
    assert request(b"/").arguments(()) == {}
    with pytest.raises(BadRequest, match=r"'replay'.*known here: cursor"):
        asked.arguments(("cursor",))
    with pytest.raises(BadRequest, match="none is known here"):
        asked.arguments(())


@pytest.mark.parametrize("query", [b"a", b"a=1&", b"&a=1", b"a=1&a=2", b"=", b"&".join([b"a=1"] * 17)])
def test_arguments_that_are_malformed(query: bytes) -> None:
    with pytest.raises(BadRequest):
        request(b"/?" + query).arguments(("a",))


@pytest.mark.parametrize("query", [b"17", b"a=%41&17", b"17&a=A", b"a=A&17&18"])
def test_a_bare_number_that_bypasses_caches_is_ignored(query: bytes) -> None:
    assert request(b"/?" + query).arguments(("a",)) == ({"a": "A"} if b"a" in query else {})


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("100", 100), ("007", 7), ("000000042", 42)])
def test_the_limit_of_a_page(text: str, number: int) -> None:
    assert parse_limit(text, 100) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "+1", "1.0", "1e1", " 1", "1\n", "\u0663", "101", "000000001" + "9" * 12, "1" * 5_000],
)
def test_a_limit_out_of_bounds_is_refused_however_long(text: str) -> None:
    with pytest.raises(BadRequest, match="from 1 to 100"):
        parse_limit(text, 100)


@given(st.dictionaries(st.sampled_from(["cursor", "wait", "ü", "&="]), st.text()))
def test_arguments_arrive_as_they_were_written(arguments: dict[str, str]) -> None:
    asked = request(b"/?" + urlencode(arguments, errors="replace").encode())
    known = {name: value.encode("utf-8", "replace").decode() for name, value in arguments.items()}
    assert asked.arguments(tuple(arguments)) == known


@given(st.text("ab=&;~-_.%41+", min_size=1, max_size=24))
def test_plain_and_escaped_queries_are_parsed_alike(query: str) -> None:
    assume(not any(part.isdecimal() for part in query.split("&")))
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        pairs = []
    names = [name for name, _ in pairs]
    if re.search("%(?!41)", query):
        with pytest.raises(BadRequest):
            request(b"/?" + query.encode())
        return
    asked = request(b"/?" + query.encode())
    if pairs and len(set(names)) == len(names) <= 16:
        assert asked.arguments(names) == dict(pairs)
    else:
        with pytest.raises(BadRequest):
            asked.arguments(names)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=60))
def test_whatever_the_query_arguments_are_a_dictionary_or_a_bad_request(query: str) -> None:
    with suppress(BadRequest):
        asked = request(b"/?" + query.encode())
        assert set(asked.arguments(("a", "b"))) <= {"a", "b"}
