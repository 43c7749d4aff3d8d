"""Signatures of Standard Webhooks (https://www.standardwebhooks.com): secrets, headers. No I/O.

The signature is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; with several secrets there are
several, a space between them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret, as the specification demands


def decode_secret(text: str) -> bytes | None:
    """Return the key of a secret, `whsec_` and base64; None if it is malformed."""
    if not text.startswith(PREFIX):
        return None
    try:
        digits = text.removeprefix(PREFIX).rstrip("=")
        key = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if SHORTEST <= len(key) <= LONGEST else None


def signed_headers(keys: Sequence[bytes], name: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message: its id, the time in seconds, and a signature by each key."""
    content = f"{name}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
