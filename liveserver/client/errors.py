"""Exceptions of the client, and the wait before the next attempt.

ClientError
├── Refused          the server does not allow it, and will not: 400, 401, 403, 404 …
├── Unreachable      no server answered within the given time
└── ProtocolError    the answer is not one that a liveserver sends
"""

from __future__ import annotations

import random
import ssl

import httpx
import msgspec

# Status codes that mean "not now" (RFC 9110 §15, RFC 6585, RFC 8470); every other 4xx means "never".
_NOT_NOW = frozenset({408, 421, 425, 429})


MAX_WAIT = 300.0  # seconds, even if a server asks for more

# What decoding JSON of a server may raise.
MALFORMED_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ClientError(Exception):
    """The base class of the client's exceptions."""


class Refused(ClientError):  # named for what happened, as in liveserver.errors
    """The server refuses the request; repeating it does not help. `status` is the HTTP status."""

    def __init__(self, url: str, status: int, detail: str) -> None:
        super().__init__(f"{url}: {status}: {detail}")
        self.status = status


class Unreachable(ClientError):
    """No server answered in time; the request may have taken effect. The same ids may be sent again, and the
    same like or comment with `idempotency_key`.
    """

    idempotency_key: str | None = None


class ProtocolError(ClientError):
    """The answer is not a liveserver's: the URL may be wrong."""


class TemporaryError(Exception):  # never leaves the client
    """This attempt failed; the next one may succeed. `retry_after`: the server's, in seconds, or None."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def failure(error: BaseException) -> TemporaryError:
    """Describe why a connection failed; name a TLS error if that is the cause, which libraries hide."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TemporaryError(
                f"the certificate is not trusted: {getattr(cause, 'verify_message', cause)}"
            )
        if isinstance(cause, ssl.SSLError):
            return TemporaryError(f"TLS failed: {getattr(cause, 'reason', None) or type(cause).__name__}")
        cause = cause.__cause__ or cause.__context__
    return TemporaryError(str(error) or type(error).__name__)


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


async def expect_success(response: httpx.Response) -> None:
    """Raise `Refused` or `TemporaryError` with the server's reason unless the status is 2xx."""
    if response.is_success:
        return
    await response.aread()
    after = response.headers.get("retry-after", "")
    raise unsuccessful(
        str(response.url),
        response.status_code,
        response.content,
        response.reason_phrase,
        bounded(float(after)) if after.isascii() and after.isdecimal() else None,
    )


def bounded(seconds: float) -> float:
    """Return the wait that a server asks for, in seconds, limited to 0 to `MAX_WAIT`."""
    return min(max(0.0, seconds), MAX_WAIT)


def unsuccessful(
    url: str, status: int, body: bytes, otherwise: str, retry_after: float | None = None
) -> Refused | TemporaryError:
    """Return the exception for a status; its text is the body's problem detail, else `otherwise`."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except MALFORMED_JSON:
        problem = _Problem()
    detail = problem.detail or problem.title or otherwise
    if status >= 500 or status in _NOT_NOW:
        return TemporaryError(f"{status}: {detail}", retry_after)
    return Refused(url, status, detail)


def full_jitter(failures: int, first: float, most: float) -> float:
    """Return the wait after so many failures in a row: random, up to `first` doubled each time, or `most`.

    Full jitter, so that clients that failed together do not return together (Brooker,
    "Exponential Backoff and Jitter", 2015).
    """
    return random.uniform(0, min(most, first * 2.0 ** min(failures, 32)))
