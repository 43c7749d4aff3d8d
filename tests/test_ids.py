"""Ids that sort, and ids of requests that cannot forge a log."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.ids import IdMaker, request_id

MADE = re.compile(r"[0-9a-f]{16}")


def test_ids_sort_as_they_were_made() -> None:
    new_id = IdMaker()
    made = [new_id(milliseconds) for milliseconds in (1, 1, 2, 1763862000123) for _ in range(20)]
    assert made == sorted(set(made))


@pytest.mark.parametrize("given", [b"abc", b"0", b"req-1.2_3:4+5/6=@7", b"x" * 64])
def test_a_trusted_proxys_id_is_taken(given: bytes) -> None:
    assert request_id(given, trusted=True) == given.decode()
    assert MADE.fullmatch(request_id(given, trusted=False))


@pytest.mark.parametrize(
    "given", [None, b"", b"-a", b"x" * 65, b"a b", b"a\n", b"a\r\nb", b"a\x1b[0m", b"\xe4", b'a"']
)
def test_what_is_malformed_is_not(given: bytes | None) -> None:
    assert MADE.fullmatch(request_id(given, trusted=True))


@given(st.binary(max_size=80))
def test_an_id_is_printable_and_short(given: bytes) -> None:
    made = request_id(given, trusted=True)
    assert made.isascii()
    assert made.isprintable()
    assert 0 < len(made) <= 64
