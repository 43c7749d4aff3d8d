"""Requests between nodes are signed: with a short-lived token, made with the cluster's secret.

Its audience is `liveserver-nodes`, so that node tokens and viewers' tokens cannot be confused. A token is
replaced before it expires, and a node verifies each token it receives only once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import sha256

from liveserver.auth import tokens
from liveserver.auth.credentials import bearer
from liveserver.auth.keys import HS256, MIN_SECRET, Key, read_secrets
from liveserver.config import AuthSettings
from liveserver.config.auth_checks import NODES_AUDIENCE
from liveserver.errors import Unauthorized
from liveserver.lru import LRU

FRESH = 0.5  # part of a token's lifetime during which it is used; the rest allows for slow calls and clocks
CACHE_SIZE = 1_000  # verified tokens of other nodes


class Signature:
    """Signs this node's requests to others: `headers()` for each of them."""

    def __init__(
        self, node: str, secret: str | None, lifetime: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._node = node
        self._secret = secret
        self._lifetime = lifetime
        self._clock = clock
        self._headers: dict[str, str] = {}
        self._renew_at = 0.0

    def adopt(self, new: Signature) -> None:
        """Adopt the secret and lifetime of another signature."""
        self._secret, self._lifetime = new._secret, new._lifetime
        self._headers, self._renew_at = {}, 0.0

    def headers(self) -> Mapping[str, str]:
        """Return the `authorization` header; no headers if there is no secret."""
        now = self._clock()
        # Also when the clock was set back: the token would not be valid yet.
        if self._secret is not None and not self._renew_at - self._lifetime <= now < self._renew_at:
            until = int(now + self._lifetime)
            claims = {
                "iss": self._node,
                "aud": NODES_AUDIENCE,
                "nbf": int(now),
                "exp": until,
            }
            self._headers = {"authorization": f"Bearer {tokens.make(claims, self._secret)}"}
            self._renew_at = now + self._lifetime * FRESH
        return self._headers


UNSIGNED = Signature("", None, 0.0)


class NodeTokens:
    """Verifies the signatures of other nodes."""

    def __init__(self, settings: AuthSettings, node: str, clock: Callable[[], float] = time.time) -> None:
        """Read the secrets. Raises `ConfigError`."""
        secrets = read_secrets(
            "auth.nodes_secret", settings.nodes_secret, settings.nodes_secret_file, MIN_SECRET
        )
        self.secrets = frozenset(secrets)
        self.signature = Signature(node, secrets[0] if secrets else None, settings.node_token_ttl, clock)
        self._keys = [Key(HS256, secret.encode()) for secret in secrets]
        self._rules = tokens.Rules(audience=NODES_AUDIENCE, leeway=settings.leeway)
        self._max_token = settings.max_token
        self._clock = clock
        self._verified = LRU[bytes, float](CACHE_SIZE)  # digest of a token → when it expires

    def __bool__(self) -> bool:
        return bool(self._keys)

    def is_node(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request with these headers is a node's."""
        try:
            self.check(headers)
        except Unauthorized:
            return False
        return True

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise `Unauthorized` unless a request with these headers is a node's."""
        token = bearer(headers)
        if token is None:
            raise Unauthorized(
                "this is for nodes of the cluster only; set auth.nodes_secret on all nodes", is_invalid=False
            )
        if len(token) > self._max_token:
            raise Unauthorized("invalid node token")
        name = sha256(token.encode()).digest()
        now = self._clock()
        if (expires := self._verified.get(name)) is None or expires <= now:
            header = tokens.header_of(token)
            claims = tokens.verify(token, self._keys if header.algorithm == HS256 else [])
            tokens.check(claims, self._rules, now)
            self._verified.put(name, (claims.exp or now) + self._rules.leeway)
