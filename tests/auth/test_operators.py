"""The key of the ops pages: sent as a Bearer token or as a password, and asked for."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from liveserver.auth.operators import OperatorKeys, OperatorsOnly
from tests.auth.harness import auth

ONE, TWO = "the-operators-first-key", "the-operators-second-key"


def basic(text: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Basic " + base64.b64encode(text.encode())}


def bearer(text: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {text}".encode()}


@pytest.fixture
def keys(tmp_path: Any) -> OperatorKeys:
    (file := tmp_path / "ops").write_text(f"{ONE}\n{TWO}\n")
    return OperatorKeys(auth(ops_key_file=str(file)))


@pytest.mark.parametrize(
    "headers",
    [bearer(ONE), bearer(TWO), basic(f"ops:{ONE}"), basic(f":{TWO}"), basic(f"someone:{ONE}")],
)
def test_each_key_is_enough_in_either_form(keys: OperatorKeys, headers: dict[bytes, bytes]) -> None:
    keys.check(headers)
    assert keys.has_key(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(ONE + "x"),
        bearer(""),
        bearer(f"{ONE} {TWO}"),
        basic(ONE),  # a user without a password
        basic(f"{ONE}:"),
        basic(f"ops:{ONE}:"),
        {b"authorization": b"Basic !!!"},
        {b"authorization": b"Basic"},
        {b"authorization": b"Digest " + ONE.encode()},
        {b"authorization": b"\xff\xfe"},
    ],
)
def test_anything_else_is_asked_for_the_key_by_the_browser(
    keys: OperatorKeys, headers: dict[bytes, bytes]
) -> None:
    assert not keys.has_key(headers)
    with pytest.raises(OperatorsOnly) as refused:
        keys.check(headers)
    assert dict(refused.value.headers)["www-authenticate"].startswith("Basic realm=")
    assert not any(key in str(refused.value) for key in (ONE, TWO))


def test_without_a_configured_key_all_may_but_none_has_it() -> None:
    keys = OperatorKeys(auth())
    keys.check({})
    assert not keys.has_key(bearer(ONE))
    assert not keys.has_key({}), "an empty key is none"
