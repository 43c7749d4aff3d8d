"""Headers that concern authentication, as the edge has them."""

from __future__ import annotations

from werkzeug.datastructures import Headers

from liveserver.web.auth_headers import auth_headers


def test_only_these_headers_and_by_lower_case_names() -> None:
    headers = Headers([("Authorization", "Bearer x"), ("X-Forwarded-For", "é"), ("Accept", "*/*")])
    assert auth_headers(headers) == {b"authorization": b"Bearer x", b"x-forwarded-for": b"\xe9"}


def test_characters_beyond_latin_1_do_no_harm() -> None:
    assert auth_headers(Headers([("Cookie", "a=\u2028")])) == {b"cookie": b"a=?"}
