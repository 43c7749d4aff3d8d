"""Access to the ops pages: by key, as a Bearer token or as the password of Basic authentication."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from hashlib import sha256

from liveserver.auth.credentials import basic, bearer
from liveserver.auth.keys import read_keys
from liveserver.config import AuthSettings
from liveserver.errors import Unauthorized


class OperatorsOnly(Unauthorized):
    """A request for an ops page without the key; the answer makes browsers ask for it."""

    def __init__(self) -> None:
        super().__init__("this needs auth.ops_key; send Authorization: Bearer KEY, or the key as password")
        self.headers = (("www-authenticate", 'Basic realm="liveserver ops", charset="UTF-8"'),)


class OperatorKeys:
    """The configured operators' keys."""

    def __init__(self, settings: AuthSettings) -> None:
        """Read the keys. Raises `ConfigError`."""
        keys = read_keys("auth.ops_key", settings.ops_key, settings.ops_key_file)
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise `Unauthorized` unless the request has a key, or none is configured."""
        if self._digests and not self.has_key(headers):
            raise OperatorsOnly

    def has_key(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a key is configured and the request has it."""
        digest = sha256(_operator_key(headers)).digest()
        # All of them, so that the time taken reveals nothing.
        return bool(sum([hmac.compare_digest(digest, other) for other in self._digests]))


def _operator_key(headers: Mapping[bytes, bytes]) -> bytes:
    if (encoded := basic(headers)) is not None:
        try:
            return base64.b64decode(encoded, validate=True).partition(b":")[2]
        except ValueError:
            return b""
    try:
        return (bearer(headers) or "").encode()
    except Unauthorized:
        return b""
