"""Publishers' keys → grants. All keys are compared, by their hashes, in constant time."""

from __future__ import annotations

import hmac
from hashlib import sha256

from liveserver.auth.grant import Grant
from liveserver.auth.keys import read_keys
from liveserver.config import AuthSettings
from liveserver.errors import ConfigError


class PublisherKeys:
    """The configured publishers' keys."""

    def __init__(self, settings: AuthSettings) -> None:
        """Read the keys. Raises `ConfigError`."""
        self._grants: list[tuple[bytes, Grant]] = []
        for name, publisher in settings.publishers.items():
            setting = f"auth.publishers.{name}.key"
            keys = read_keys(setting, publisher.key, publisher.key_file)
            if not keys:
                raise ConfigError(setting, "is missing; give a key, or better a key_file")
            grant = Grant(tuple(publisher.videos), frozenset(publisher.scopes), name=name)
            for key in keys:
                digest = _digest(key)
                if any(hmac.compare_digest(digest, other) for other, _ in self._grants):
                    raise ConfigError(setting, "is also another publisher's; give each its own")
                self._grants.append((digest, grant))

    def __bool__(self) -> bool:
        return bool(self._grants)

    def find(self, key: str | None) -> Grant | None:
        """Return the grant of a key, or None."""
        if key is None:
            return None
        digest = _digest(key)
        found = None
        for other, grant in self._grants:
            if hmac.compare_digest(digest, other):
                found = grant
        return found


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
