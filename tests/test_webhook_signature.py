"""Signatures, by the specification's example and by the library that receivers use."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some
from standardwebhooks import Webhook, WebhookVerificationError

from liveserver.webhook_signature import decode_secret, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


def key(text: str) -> bytes:
    found = decode_secret(text)
    assert found is not None
    return found


def test_the_specification_s_example_is_signed_as_it_says() -> None:
    headers = signed_headers(
        [key(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(some.text(max_size=100))
def test_receivers_accept_each_of_two_secrets_and_no_other(text: str) -> None:
    body = f'{{"text":"{text.encode("unicode_escape").hex()}"}}'.encode()
    headers = signed_headers([key(SECRET), key(OTHER)], "msg_1", int(time.time()), body)
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"x" * 24).decode()).verify(body, headers)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_not base64!",
        f"whsec_{base64.b64encode(bytes(23)).decode()}",
        f"whsec_{base64.b64encode(bytes(65)).decode()}",
        "whsec_ü",
    ],
)
def test_malformed_secrets_are_refused(text: str) -> None:
    assert decode_secret(text) is None


def test_a_secret_may_come_without_padding() -> None:
    assert decode_secret(OTHER.rstrip("=")) == bytes(range(32))
