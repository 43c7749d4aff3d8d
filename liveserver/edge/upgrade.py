"""The opening handshake of WebSockets (RFC 6455 §4.2), and which pages may make it.

Browsers do not apply CORS to WebSockets, but send the page's origin: pages of other origins are refused here
unless they are allowed.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from wsproto.utilities import generate_accept_token

from liveserver.edge.cors import ALLOW
from liveserver.edge.request import Request
from liveserver.edge.response import head
from liveserver.errors import BadRequest, Forbidden, UpgradeRequired

KEY_BYTES = 16


def accept_websocket(request: Request, extension: bytes = b"") -> bytes:
    """Return the response head of the handshake, agreeing to `extension`.

    Raises `UpgradeRequired`, `BadRequest`, `Forbidden`.
    """
    headers = request.headers
    offered = {word.strip().lower() for word in headers.get(b"connection", b"").split(b",")}
    if (
        headers.get(b"upgrade", b"").lower() != b"websocket"
        or b"upgrade" not in offered
        or request.version != "1.1"
        or request.method != "GET"
    ):
        raise UpgradeRequired(
            "this is a WebSocket: connect with a WebSocket client", ("upgrade", "websocket")
        )
    if headers.get(b"sec-websocket-version") != b"13":
        raise UpgradeRequired("use version 13 of WebSocket", ("sec-websocket-version", "13"))
    key = headers.get(b"sec-websocket-key", b"")
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != KEY_BYTES:
        raise BadRequest("Sec-WebSocket-Key is 16 bytes in base64")
    origin = headers.get(b"origin")
    if origin is not None and ALLOW not in request.cors and not _is_same_host(origin, headers[b"host"]):
        raise Forbidden("pages of this origin are not allowed; add it to edge.allow_origins")
    return head(
        101,
        b"upgrade: websocket",
        b"connection: upgrade",
        b"sec-websocket-accept: " + generate_accept_token(key),
        *([b"sec-websocket-extensions: " + extension] if extension else []),
    )


def _is_same_host(origin: bytes, host: bytes) -> bool:
    """Return whether a page of `origin` is of the host that it connects to, with either scheme.

    A proxy may terminate TLS.
    """
    try:
        authority = urlsplit(origin.decode("ascii")).netloc
    except ValueError:
        return False
    return bool(authority) and authority.lower().encode() == host.strip().lower()
