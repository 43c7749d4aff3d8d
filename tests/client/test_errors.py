"""Which answers are final, which are not for now, and for how long a client waits."""

from __future__ import annotations

import ssl

import httpx
import pytest

from liveserver.client.errors import (
    MAX_WAIT,
    ClientError,
    Refused,
    TemporaryError,
    bounded,
    expect_success,
    failure,
    full_jitter,
    unsuccessful,
)


@pytest.mark.parametrize("status", [500, 502, 503, 599, 408, 421, 425, 429])
def test_these_may_succeed_later(status: int) -> None:
    error = unsuccessful("http://a", status, b'{"detail":"busy"}', "", 7.0)
    assert isinstance(error, TemporaryError)
    assert not isinstance(error, ClientError), "it never leaves the client"
    assert (error.reason, error.retry_after) == (f"{status}: busy", 7.0)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 413, 422, 431])
def test_these_are_final(status: int) -> None:
    error = unsuccessful("http://a/x", status, b'{"title":"No"}', "")
    assert isinstance(error, Refused)
    assert (str(error), error.status) == (f"http://a/x: {status}: No", status)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"detail":"more","title":"less"}', "more"),
        (b'{"detail":"","title":"less"}', "less"),
        (b"", "otherwise"),
        (b"<html>", "otherwise"),
        (b"[1]", "otherwise"),
        (b'{"detail":7}', "otherwise"),
        (b'{"detail":"\xff"}', "otherwise"),
        (b'{"x":' + b"[" * 100_000, "otherwise"),
    ],
)
def test_the_reason_is_what_the_server_says_whatever_its_form(body: bytes, text: str) -> None:
    assert str(unsuccessful("http://a", 400, body, "otherwise")) == f"http://a: 400: {text}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        ("9" * 400, MAX_WAIT),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("\u0663", None),
    ],
)
async def test_retry_after_is_whole_seconds_within_bounds(header: str, seconds: float | None) -> None:
    response = httpx.Response(
        503, headers=[(b"retry-after", header.encode())], request=httpx.Request("GET", "http://a/x")
    )
    with pytest.raises(TemporaryError) as raised:
        await expect_success(response)
    assert raised.value.retry_after == seconds


async def test_every_2xx_is_a_success() -> None:
    for status in (200, 201, 202, 204):
        await expect_success(httpx.Response(status, request=httpx.Request("GET", "http://a")))


def test_waits_are_within_bounds() -> None:
    assert [bounded(each) for each in (-1.0, 0.0, 7.5, MAX_WAIT + 1, float("inf"))] == [
        0.0, 0.0, 7.5, MAX_WAIT, MAX_WAIT,
    ]  # fmt: skip


@pytest.mark.parametrize(("failures", "most"), [(0, 1.0), (1, 2.0), (3, 8.0), (4, 10.0), (10_000, 10.0)])
def test_pauses_double_up_to_a_bound(failures: int, most: float) -> None:
    found = [full_jitter(failures, 1.0, 10.0) for _ in range(400)]
    assert 0 <= min(found) < 0.1 * most
    assert 0.9 * most < max(found) <= most


def test_the_fault_of_tls_is_said_whatever_it_caused() -> None:
    def raised(cause: Exception) -> Exception:
        try:
            try:
                raise cause
            except Exception as inner:
                raise httpx.ConnectError("") from inner
        except httpx.ConnectError as error:
            return error

    distrust = ssl.SSLCertVerificationError(1, "certificate verify failed")
    distrust.verify_message = "self-signed certificate"
    assert failure(raised(distrust)).reason == "the certificate is not trusted: self-signed certificate"
    assert failure(raised(ssl.SSLError(1, "[SSL] nonsense"))).reason == "TLS failed: SSLError"
    assert failure(httpx.ConnectError("")).reason == "ConnectError"
    assert failure(raised(OSError("refused"))).reason == "ConnectError"
    assert failure(OSError("refused")).reason == "refused"
