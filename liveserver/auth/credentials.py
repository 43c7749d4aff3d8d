"""What a request shows of who it is from: `Authorization: Bearer`, a cookie, or `?token=`; no I/O.

A cookie is sent by the browser whoever wrote the page. So it counts only where the page is this
server's own, or of an origin that is allowed; the others are not believed to have meant it.
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
    """How something was shown."""

    HEADER = auto()
    QUERY = auto()
    COOKIE = auto()


class Credentials(msgspec.Struct, frozen=True):
    """What was shown. It is a secret, and shown to nobody else."""

    text: str
    source: CredentialSource

    def __repr__(self) -> str:
        return f"Shown(…, {self.source})"


def bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """The key or token in `Authorization` (RFC 6750 §2.1); None without one. Raises `Unauthorized`."""
    value = headers.get(b"authorization")
    if value is None:
        return None
    if match := _BEARER.fullmatch(value.strip()):
        return match[1].decode("ascii")
    raise Unauthorized("Authorization is malformed; write it as: Authorization: Bearer TOKEN")


def basic(headers: Mapping[bytes, bytes]) -> bytes | None:
    """What a browser's password prompt sends (RFC 7617), in base64; None without one."""
    match = _BASIC.fullmatch(headers.get(b"authorization", b"").strip())
    return match[1] if match else None


def extract_credentials(
    headers: Mapping[bytes, bytes],
    query: str | None = None,
    cookie: str = "",
    origins: Collection[str] = (),
) -> Credentials | None:
    """What a viewer shows: the header wins over `query` (the value of `?token=`), and that over the `cookie`.

    `headers` have lower-case names; `origins` are those whose pages may use the cookie besides our own.
    Raises `Unauthorized` when it is malformed.
    """
    if (text := bearer(headers)) is not None:
        return Credentials(text, CredentialSource.HEADER)
    if query is not None:
        if not _TOKEN.fullmatch(query):
            raise Unauthorized("malformed ?token=")
        return Credentials(query, CredentialSource.QUERY)
    if cookie and b"cookie" in headers and (value := _cookie(headers[b"cookie"], cookie)) is not None:
        if not is_our_page(headers, origins):
            raise Unauthorized("a cookie counts only on pages of edge.allow_origins; send Authorization")
        return Credentials(value, CredentialSource.COOKIE)
    return None


def is_our_page(headers: Mapping[bytes, bytes], origins: Collection[str]) -> bool:
    """Whether no page, one of this server's or one of the `origins` asks. `*` is nobody in particular."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    host = headers.get(b"host", b"")
    own = {b"http://" + host, b"https://" + host} if host else set()
    return origin in own or origin.decode("latin-1") in origins


def _cookie(header: bytes, name: str) -> str | None:
    """A cookie's value (RFC 6265 §4.2.1); the first of that name. None if it is missing or no token."""
    wanted = name.encode()
    for pair in header.replace(b", ", b"; ").split(b";"):
        key, equals, value = pair.strip().partition(b"=")
        if equals and key == wanted:
            text = value.strip(b'"').decode("latin-1")
            return text if _TOKEN.fullmatch(text) else None
    return None
