"""Viewers' tokens → grants. A token is verified once, and cached until it expires: a reconnecting viewer
costs a hash and a look-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import msgspec

from liveserver.auth import tokens
from liveserver.auth.credentials import Credentials, CredentialSource
from liveserver.auth.grant import OPEN, Grant
from liveserver.auth.keys import Key, matching_keys
from liveserver.auth.revocations import Revocations
from liveserver.config import AuthSettings
from liveserver.errors import Forbidden, Unauthorized, Unavailable
from liveserver.instruments import gauge, total
from liveserver.lru import LRU

if TYPE_CHECKING:
    from liveserver.auth.jwks import Jwks


class ViewersStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the tokens `remembered` at the moment."""

    verified: Annotated[int, total("Viewers' tokens whose signature was verified.")]
    recognised: Annotated[int, total("Viewers' tokens found in the cache.")]
    refused: Annotated[
        int,
        total("Viewers' tokens refused. If many: a site's secret or clock differs from this server's."),
    ]
    remembered: Annotated[int, gauge("Viewers' tokens in the cache, at most auth.token_cache_size.")]
    key_sets_fetched: Annotated[int, total("Successful fetches of the key set (auth.jwks).")]
    key_sets_failed: Annotated[
        int,
        total("Failed fetches of the key set; the present keys stay valid. See the log, and its server."),
    ]


class ViewerTokens:
    """Verifies the tokens of viewers. `clock` returns seconds since the epoch."""

    def __init__(
        self,
        settings: AuthSettings,
        keys: list[Key],
        jwks: Jwks | None = None,
        clock: Callable[[], float] = time.time,
        revocations: Revocations | None = None,
    ) -> None:
        self.is_open = settings.viewers == "open"
        self._settings = settings
        self._rules = tokens.Rules(
            settings.audience, settings.issuer, settings.leeway, settings.require_expiry
        )
        self._keys = keys
        self._jwks = jwks
        self._revocations = revocations
        self._serial = 0
        self._clock = clock
        self._known = LRU[bytes, Grant](settings.token_cache_size)
        self._verified = self._recognised = self._refused = 0

    async def authenticate(self, credentials: Credentials | None) -> Grant:
        """Return the grant for these credentials; `OPEN` when authentication is off.

        Raises `Unauthorized`, `Forbidden`; `Unavailable` if the keys cannot be fetched.
        """
        if self.is_open:
            return OPEN
        try:
            return await self._authenticate(credentials)
        except (Unauthorized, Forbidden):
            self._refused += 1
            raise

    async def _authenticate(self, credentials: Credentials | None) -> Grant:
        if credentials is None:
            raise Unauthorized(
                "this needs a token; send Authorization: Bearer TOKEN, or a short-lived one as ?token=",
                is_invalid=False,
            )
        if len(credentials.text) > self._settings.max_token:
            raise Unauthorized(f"a token has at most {self._settings.max_token} characters")
        now = self._clock()
        name = sha256(credentials.text.encode()).digest()
        grant = self._recall(name, now)
        if grant is None:
            claims = await self._verify(credentials.text)
            now = self._clock()
            tokens.check(claims, self._rules, now)
            grant = tokens.grant_of(claims, self._settings.leeway)
            self._verified += 1
            self._known.put(name, grant)
        if self._revocations is not None:
            self._revocations.check(grant)
        if (
            credentials.source is CredentialSource.QUERY
            and grant.expires - now - self._settings.leeway > self._settings.query_lifetime
        ):
            raise Forbidden(
                f"a token in the URL may be valid for at most {self._settings.query_lifetime:g} s more, "
                "since URLs end up in logs; use one that expires sooner, or send Authorization"
            )
        return grant

    def _recall(self, name: bytes, now: float) -> Grant | None:
        if self._jwks is not None and self._jwks.serial != self._serial:
            self._serial = self._jwks.serial
            self._known.clear()  # one of the keys may have been withdrawn
        grant = self._known.get(name)
        if grant is None:
            return None
        if grant.expires <= now:
            self._known.remove(name)
            return None
        self._recognised += 1
        return grant

    async def _verify(self, token: str) -> tokens.Claims:
        header = tokens.header_of(token)
        found = self._matching_keys(header)
        if self._jwks is not None and not found:
            await self._jwks.refresh_on_miss()
            found = self._matching_keys(header)
            if not found and (self._jwks.is_failing or not self._jwks.keys):
                raise Unavailable("the key set cannot be fetched; try again", retry_after=5)
        return tokens.verify(token, found)

    def _matching_keys(self, header: tokens.Header) -> list[Key]:
        keys = self._keys if self._jwks is None else self._keys + self._jwks.keys
        return matching_keys(keys, header.algorithm, header.key_id)

    def statistics(self) -> ViewersStatistics:
        jwks = self._jwks
        return ViewersStatistics(
            verified=self._verified,
            recognised=self._recognised,
            refused=self._refused,
            remembered=len(self._known),
            key_sets_fetched=jwks.fetched if jwks else 0,
            key_sets_failed=jwks.failed if jwks else 0,
        )
