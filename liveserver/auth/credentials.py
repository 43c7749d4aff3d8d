"""The credentials of a request: `Authorization: Bearer`, a cookie, or `?token=`. No I/O.

Browsers send a cookie whichever page makes the request. So a cookie is accepted only from this server's own
pages and from allowed origins, against cross-site request forgery.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum, auto

import msgspec

from liveserver.errors import Unauthorized

_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_BASIC = re.compile(rb"basic +([A-Za-z0-9+/]+=*) *", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class CredentialSource(Enum):
    """Where a request had its credentials."""

    HEADER = auto()
    QUERY = auto()
    COOKIE = auto()


class Credentials(msgspec.Struct, frozen=True):
    """A token or key, which is a secret, and where it was."""

    text: str
    source: CredentialSource

    def __repr__(self) -> str:
        return f"Credentials(…, {self.source})"


def bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key or token in `Authorization` (RFC 6750 §2.1), or None. Raises `Unauthorized`."""
    value = headers.get(b"authorization")
    if value is None:
        return None
    if match := _BEARER.fullmatch(value.strip()):
        return match[1].decode("ascii")
    raise Unauthorized("Authorization is malformed; write it as: Authorization: Bearer TOKEN")


def basic(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the user and password of Basic authentication (RFC 7617), in base64, or None."""
    match = _BASIC.fullmatch(headers.get(b"authorization", b"").strip())
    return match[1] if match else None


def extract_credentials(
    headers: Mapping[bytes, bytes],
    query: str | None = None,
    cookie: str = "",
    origins: Collection[str] = (),
) -> Credentials | None:
    """Return a viewer's credentials, or None: from the header, else `query` (`?token=`), else the `cookie`.

    `headers` have lower-case names; `origins` are those besides our own whose pages may use the cookie.
    Raises `Unauthorized` if the credentials are malformed.
    """
    if (text := bearer(headers)) is not None:
        return Credentials(text, CredentialSource.HEADER)
    if query is not None:
        if not _TOKEN.fullmatch(query):
            raise Unauthorized("malformed ?token=")
        return Credentials(query, CredentialSource.QUERY)
    if cookie and b"cookie" in headers and (value := _cookie(headers[b"cookie"], cookie)) is not None:
        if not is_our_page(headers, origins):
            raise Unauthorized("cookies are only accepted from edge.allow_origins; send Authorization")
        return Credentials(value, CredentialSource.COOKIE)
    return None


def is_our_page(headers: Mapping[bytes, bytes], origins: Collection[str]) -> bool:
    """Return whether the request has no origin, this server's, or one of `origins`. `*` is not one."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    host = headers.get(b"host", b"")
    own = {b"http://" + host, b"https://" + host} if host else set()
    return origin in own or origin.decode("latin-1") in origins


def _cookie(header: bytes, name: str) -> str | None:
    """Return the value of the first cookie of that name (RFC 6265 §4.2.1); None if missing or not a token."""
    wanted = name.encode()
    for pair in header.replace(b", ", b"; ").split(b";"):
        key, equals, value = pair.strip().partition(b"=")
        if equals and key == wanted:
            text = value.strip(b'"').decode("latin-1")
            return text if _TOKEN.fullmatch(text) else None
    return None
