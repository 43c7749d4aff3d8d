"""The errors that are raised on purpose. Their messages say what to do.

    LiveserverError
    ├── ConfigError             the configuration is wrong: what, where, what to do instead
    ├── Problem                 sent to the client, as RFC 9457 problem+json
    │   ├── BadRequest 400      Unauthorized 401    Forbidden 403       NotFound 404
    │   ├── MethodNotAllowed 405  RequestTimeout 408  Conflict 409      TooLarge 413
    │   ├── WrongType 415       Misdirected 421     UpgradeRequired 426 HeadersTooLarge 431
    │   └── Retryable           try again after `retry_after` seconds
    │       └── TooMany 429         Unavailable 503
    ├── BusError                the bus did not answer in time; try again
    │   └── BusRefused          the bus does not allow a command that is needed
    └── DispatcherError         no dispatcher answered; try again

A `Problem` concerns a request; `BusError` and `DispatcherError` concern the services that a node depends
on, and reach clients only as `Unavailable`.
"""

from __future__ import annotations

import msgspec


class LiveserverError(Exception):
    """The base class of all errors that are raised on purpose."""


class ConfigError(LiveserverError):
    """An invalid configuration.

    `where` is the setting's full name, such as `frontend.lease`; the message says what is wrong with it and
    what to write instead.
    """

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where


class BusError(LiveserverError):
    """The bus did not answer: the outcome of the call is unknown. Retry with the same ids."""


class BusRefused(BusError):
    """The bus does not allow a command that is needed: retrying does not help until that is changed."""


class DispatcherError(LiveserverError):
    """None of the configured dispatchers answered."""


class Problem(LiveserverError):
    """An answer other than success, as `application/problem+json` (RFC 9457).

    `detail` says what to do about it. It is sent to the client: no secrets, no paths, no traces.
    `request_id` is the request's id in the log.
    """

    status = 500
    title = "Internal Server Error"
    headers: tuple[tuple[str, str], ...] = ()
    request_id = ""
    reason = ""  # one word for programs, where there are several reasons for one status
    until: int | None = None  # when it is over, in milliseconds since the epoch

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def all_headers(self) -> tuple[tuple[str, str], ...]:
        """Return the response's headers, except those of its content."""
        return (*self.headers, ("x-request-id", self.request_id)) if self.request_id else self.headers

    def body(self) -> bytes:
        """Return the problem document, as UTF-8 JSON."""
        document: dict[str, str | int] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.reason:
            document["reason"] = self.reason
        if self.until is not None:
            document["until"] = self.until
        if self.request_id:
            document["request_id"] = self.request_id
        return msgspec.json.encode(document)


class BadRequest(Problem):
    """A malformed request: repeating it gives the same answer."""

    status = 400
    title = "Bad Request"


class Unauthorized(Problem):
    """The credentials are missing or invalid (RFC 6750)."""

    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str, *, is_invalid: bool = True) -> None:
        super().__init__(detail)
        error = ', error="invalid_token"' if is_invalid else ""
        self.headers = (("www-authenticate", f'Bearer realm="liveserver"{error}'),)


class Forbidden(Problem):
    """The credentials are valid, but do not permit the request."""

    status = 403
    title = "Forbidden"

    def __init__(
        self, detail: str, reason: str = "", until: int | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.until = until
        if retry_after is not None:
            self.headers = _retry_after(retry_after)


class NotFound(Problem):
    """There is no such route."""

    status = 404
    title = "Not Found"


class MethodNotAllowed(Problem):
    """The route exists, for other methods; `Allow` names them."""

    status = 405
    title = "Method Not Allowed"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed here; use {allowed}")
        self.headers = (("allow", allowed),)


class Conflict(Problem):
    """The request conflicts with the present state; `detail` says why."""

    status = 409
    title = "Conflict"


class RequestTimeout(Problem):
    """The request did not arrive in time."""

    status = 408
    title = "Request Timeout"


class TooLarge(Problem):
    """The body is over the limit."""

    status = 413
    title = "Content Too Large"


class WrongType(Problem):
    """The route does not accept the body's media type."""

    status = 415
    title = "Unsupported Media Type"


class Misdirected(Problem):
    """This server does not serve the request's host."""

    status = 421
    title = "Misdirected Request"


class UpgradeRequired(Problem):
    """The route speaks another protocol; `headers` name it."""

    status = 426
    title = "Upgrade Required"

    def __init__(self, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.headers = headers


class Retryable(Problem):
    """A problem that may pass: `Retry-After` says after how many seconds to try again."""

    def __init__(self, detail: str, retry_after: int = 1, reason: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after
        self.headers = _retry_after(retry_after)


class TooMany(Retryable):
    """A rate or concurrency limit is exceeded."""

    status = 429
    title = "Too Many Requests"


class HeadersTooLarge(Problem):
    """The request's line and headers are over the limit."""

    status = 431
    title = "Request Header Fields Too Large"


class Unavailable(Retryable):
    """The server cannot answer now. Requests with ids may be repeated with the same ids."""

    status = 503
    title = "Service Unavailable"


def _retry_after(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("retry-after", str(seconds)),)


def connection_fault(error: BaseException) -> str:
    """Describe why a connection failed; name a TLS error if that is the cause, which libraries hide."""
    import ssl  # not needed by commands that connect to nothing

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted: {getattr(cause, 'verify_message', cause)}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {getattr(cause, 'reason', None) or type(cause).__name__}"
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
