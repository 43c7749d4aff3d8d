"""Credentials of a request, in every form; other input is not accepted as credentials."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.auth.credentials import (
    Credentials,
    CredentialSource,
    basic,
    bearer,
    extract_credentials,
    is_our_page,
)
from liveserver.auth.grant import matches
from liveserver.errors import Unauthorized

TEXT = st.text("abcXYZ019._~+/-", min_size=1).map(str.encode)
NAMES = st.text("abcA9._-", min_size=1, max_size=12)


@given(TEXT, st.sampled_from([b"Bearer ", b"bearer ", b"BEARER   "]), st.sampled_from([b"", b" "]))
def test_a_bearer_is_found(text: bytes, scheme: bytes, end: bytes) -> None:
    assert bearer({b"authorization": scheme + text + end}) == text.decode()


@given(st.binary(max_size=60))
def test_whatever_stands_there_is_a_token_or_a_clear_no(value: bytes) -> None:
    with suppress(Unauthorized):
        found = bearer({b"authorization": value})
        assert found is not None
        assert found.encode() in value
        assert value.strip().lower().startswith(b"bearer ")


@pytest.mark.parametrize(
    "value", [b"", b"Bearer", b"Bearer a b", b"Bearer a, Bearer b", b"Basic YTpi", b"Bearer \xff", b"Token a"]
)
def test_others_are_refused(value: bytes) -> None:
    with pytest.raises(Unauthorized):
        bearer({b"authorization": value})


def test_the_header_wins_over_the_query_and_that_over_the_cookie() -> None:
    headers = {b"authorization": b"Bearer one", b"cookie": b"a=x; t=three; t=four"}
    assert extract_credentials(headers, "two", "t") == Credentials("one", CredentialSource.HEADER)
    del headers[b"authorization"]
    assert extract_credentials(headers, "two", "t") == Credentials("two", CredentialSource.QUERY)
    assert extract_credentials(headers, None, "t") == Credentials("three", CredentialSource.COOKIE)
    assert extract_credentials(headers, None, "") is None
    assert extract_credentials(headers, None, "other") is None
    with pytest.raises(Unauthorized):
        extract_credentials({}, "two words")


@given(st.binary(max_size=80))
def test_any_cookie_header_is_taken(value: bytes) -> None:
    found = extract_credentials({b"cookie": value}, None, "t")
    assert found is None or found.text.encode() in value


def test_a_cookie_counts_on_our_own_pages_and_on_allowed_ones() -> None:
    def ask(origin: bytes, *allowed: str) -> Credentials | None:
        headers = {b"cookie": b't="x.y.z"', b"host": b"live.example:8000", b"origin": origin}
        return extract_credentials(headers, None, "t", allowed)

    assert ask(b"https://live.example:8000") == Credentials("x.y.z", CredentialSource.COOKIE)
    assert ask(b"https://site.example", "https://site.example") is not None
    for other in (b"https://live.example", b"null", b"https://evil.example"):
        with pytest.raises(Unauthorized, match="cookies are only accepted"):
            ask(other, "*", "https://site.example")
    assert is_our_page({}, ())


def test_credentials_do_not_appear_in_their_repr() -> None:
    assert "secret" not in repr(Credentials("secret", CredentialSource.HEADER))


def test_a_password_prompt_is_understood() -> None:
    assert basic({b"authorization": b"Basic b3BzOmtleQ=="}) == b"b3BzOmtleQ=="
    assert basic({b"authorization": b"Bearer x"}) is None


@given(st.lists(NAMES), NAMES)
def test_patterns_match_as_they_say(patterns: list[str], video: str) -> None:
    assert matches(tuple(patterns), video) == (video in patterns)
    begun = tuple(f"{pattern}*" for pattern in patterns)
    assert matches(begun, video) == any(video[: len(pattern)] == pattern for pattern in patterns)
    assert matches(("*",), video)
    assert not matches((), video)


def test_credentials_cannot_be_changed_and_do_not_show_their_secret() -> None:
    found = Credentials("hunter2", CredentialSource.HEADER)
    assert "hunter2" not in repr(found)
    with pytest.raises(AttributeError):
        found.text = "other"  # type: ignore[misc]
    assert hash(found) == hash(Credentials("hunter2", CredentialSource.HEADER))
