"""What can go wrong, told so that whoever reads it knows what to do.

    LiveserverError
    ├── ConfigError             the configuration is wrong: what, where, what to do instead
    ├── Problem                 the client gets it, as RFC 9457 problem+json
    │   ├── BadRequest 400      Unauthorized 401    Forbidden 403       NotFound 404
    │   ├── MethodNotAllowed 405  RequestTimeout 408  Conflict 409      TooLarge 413
    │   ├── WrongType 415       Misdirected 421     UpgradeRequired 426 HeadersTooLarge 431
    │   └── TooMany 429         Unavailable 503     (come back after `retry_after` seconds)
    ├── BusError                the bus did not answer in time, or is gone; try again
    │   └── BusRefused          it does not allow what is needed
    └── DispatcherError         no dispatcher answered this frontend; try again

A `Problem` is the fault of a request; `BusError` and `DispatcherError` are faults of what stands
behind us, and reach a client only as `Unavailable`.
"""

from __future__ import annotations

import msgspec


class LiveserverError(Exception):
    """The root of everything raised on purpose."""


class ConfigError(LiveserverError):
    """A configuration that cannot be run.

    `where` is the setting's full name, `frontend.lease` for example; the message says what is
    wrong with it and what to write instead.
    """

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where


class BusError(LiveserverError):
    """The bus did not answer; nothing is known about what was under way. Retry with the same ids."""


class BusRefused(BusError):
    """The bus does not allow what is needed: trying again does not help until it is set up otherwise."""


class DispatcherError(LiveserverError):
    """None of the configured dispatchers answered."""


class Problem(LiveserverError):
    """An answer other than success, as `application/problem+json` (RFC 9457).

    `detail` says what to do about it. It is shown to the client: no secrets, no paths, no traces.
    `request_id` is what the request is called in the log.
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
        """What the answer has besides its content's own headers."""
        return (*self.headers, ("x-request-id", self.request_id)) if self.request_id else self.headers

    def body(self) -> bytes:
        """The problem document, as UTF-8 JSON."""
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
    """Malformed: sending the same again gives the same answer."""

    status = 400
    title = "Bad Request"


class Unauthorized(Problem):
    """Nobody knows who asks, or what was shown is not valid (RFC 6750): come with something that is."""

    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str, *, is_invalid: bool = True) -> None:
        super().__init__(detail)
        error = ', error="invalid_token"' if is_invalid else ""
        self.headers = (("www-authenticate", f'Bearer realm="liveserver"{error}'),)


class Forbidden(Problem):
    """Understood and refused."""

    status = 403
    title = "Forbidden"

    def __init__(
        self, detail: str, reason: str = "", until: int | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.until = until
        if retry_after is not None:
            self.headers = (("retry-after", str(retry_after)),)


class NotFound(Problem):
    """There is no such route."""

    status = 404
    title = "Not Found"


class MethodNotAllowed(Problem):
    """The route exists, for other methods; `Allow` names them."""

    status = 405
    title = "Method Not Allowed"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not possible here; use {allowed}")
        self.headers = (("allow", allowed),)


class Conflict(Problem):
    """Not possible in the state that this is in; `detail` says what stands in the way."""

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
    """The body's media type is not one this route reads."""

    status = 415
    title = "Unsupported Media Type"


class Misdirected(Problem):
    """The request is for a host that this server does not answer for."""

    status = 421
    title = "Misdirected Request"


class UpgradeRequired(Problem):
    """The route speaks another protocol; `headers` name it."""

    status = 426
    title = "Upgrade Required"

    def __init__(self, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.headers = headers


class TooMany(Problem):
    """More often, or more at once, than is allowed; `Retry-After` says when there is room again."""

    status = 429
    title = "Too Many Requests"

    def __init__(self, detail: str, retry_after: int = 1, reason: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after
        self.headers = (("retry-after", str(retry_after)),)


class HeadersTooLarge(Problem):
    """The request's line and headers are over the limit."""

    status = 431
    title = "Request Header Fields Too Large"


class Unavailable(Problem):
    """Not now; `Retry-After` says when. Whatever had an id may be sent again with the same id."""

    status = 503
    title = "Service Unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.headers = (("retry-after", str(retry_after)),)
