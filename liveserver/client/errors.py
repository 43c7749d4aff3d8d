"""What can go wrong between a client and a server, and how long to wait before trying again.

ClientError
├── Refused          the server does not allow it, and will not: 400, 401, 403, 404 …
├── Unreachable      no server answered within the given time
└── ProtocolError    the answer is not one that a liveserver sends
"""

from __future__ import annotations

import random

import httpx
import msgspec

# Status codes that mean "not now" (RFC 9110 §15, RFC 6585, RFC 8470); every other 4xx means "never".
_NOT_NOW = frozenset({408, 421, 425, 429})


LONGEST_WAIT = 300.0  # seconds, whatever a server asks for


class ClientError(Exception):
    """The base class of what this client raises."""


class Refused(ClientError):  # named for what happened, as in liveserver.errors
    """Asking again would be answered the same. `status` is the HTTP status."""

    def __init__(self, url: str, status: int, detail: str) -> None:
        super().__init__(f"{url}: {status}: {detail}")
        self.status = status


class Unreachable(ClientError):
    """Nobody answered in time; whatever had an id may be sent again with the same id."""


class ProtocolError(ClientError):
    """Not what a liveserver sends: the URL may be another server's."""


class TemporaryError(Exception):  # never leaves the client
    """This attempt failed, the next one may not. `retry_after`: seconds, when the server said so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


async def expect_success(response: httpx.Response) -> None:
    """Return when the status is 2xx; else raise `Refused` or `TemporaryError` with the server's reason."""
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
    """A time to wait that a server has asked for, within reason: 0 to `LONGEST_WAIT`."""
    return min(max(0.0, seconds), LONGEST_WAIT)


def unsuccessful(
    url: str, status: int, body: bytes, otherwise: str, retry_after: float | None = None
) -> Refused | TemporaryError:
    """The exception for an answer with this status, and a problem as its body, or `otherwise` to say."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    detail = problem.detail or problem.title or otherwise
    if status >= 500 or status in _NOT_NOW:
        return TemporaryError(f"{status}: {detail}", retry_after)
    return Refused(url, status, detail)


def full_jitter(failures: int, first: float, most: float) -> float:
    """Seconds to wait after so many failures in a row: anything up to `first` doubled each time, or `most`.

    Spread over the whole span, so that those who failed together do not come back together (Brooker,
    "Exponential Backoff and Jitter", 2015).
    """
    return random.uniform(0, min(most, first * 2.0 ** min(failures, 32)))
