"""JSON Web Tokens (RFC 7519). PyJWT handles the signatures, this module the claims.

Evaluated claims: `exp`, `nbf`, `aud`, `iss`, `sub` (the user), `videos` (names, or prefixes such as
`concert-*`), `scope` (space-separated, RFC 8693 §4.2) and, to revoke a token, `jti` (its id) and `iat` (when
it was issued). Other claims are ignored.

PyJWT is imported where tokens are used (`load`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from liveserver.auth.grant import VIEWERS_SCOPES, VIEWING, Grant
from liveserver.auth.keys import Key, SigningKey
from liveserver.config import Videos
from liveserver.errors import Unauthorized
from liveserver.event import USERS, is_user
from liveserver.malformed import explain_decode_error

if TYPE_CHECKING:
    import jwt

MAX_VIDEOS = 1_000
MAX_JTI = 256  # characters

Instant = Annotated[float, Meta(ge=0, le=1e12)]  # seconds since the epoch


class Claims(msgspec.Struct, frozen=True):
    """The evaluated claims of a token."""

    exp: Instant | None = None
    nbf: Instant | None = None
    iat: Instant | None = None
    jti: Annotated[str, Meta(min_length=1, max_length=MAX_JTI)] | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    sub: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    videos: Annotated[list[Videos], Meta(max_length=MAX_VIDEOS)] = []
    scope: str | None = None


class Header(msgspec.Struct, frozen=True):
    """The part of a token's header that selects the key."""

    algorithm: str
    key_id: str | None


class Rules(msgspec.Struct, frozen=True):
    """The required claims. `leeway` is in seconds."""

    audience: str | None = None
    issuer: str | None = None
    leeway: float = 0.0
    require_expiry: bool = True


@cache
def load() -> jwt.PyJWS:
    """Import PyJWT, which takes 50 ms, so that this is not done at the first token."""
    import jwt

    return jwt.PyJWS(options={"enforce_minimum_key_length": True})


def check_claims(claims: Mapping[str, Any]) -> None:
    """Check claims before a token is made. Raises `ValueError`."""
    try:
        made = msgspec.convert(claims, Claims)
    except msgspec.ValidationError as error:
        raise ValueError(explain_decode_error(error, Claims)) from None
    if made.sub is not None and not is_user(made.sub):
        raise ValueError(USERS)
    unknown = set((made.scope or "").split()) - VIEWERS_SCOPES
    if unknown:
        raise ValueError(f"there is no scope {min(unknown)!r}; write watch, like, comment, moderate or host")


def make(claims: Mapping[str, Any], secret: str) -> str:
    """Return a token signed with HS256."""
    import jwt

    return jwt.encode(dict(claims), secret, algorithm="HS256")


def sign(claims: Mapping[str, Any], key: SigningKey, key_id: str | None = None) -> str:
    """Return a token signed with a private key; `key_id` is its `kid`, the public one's name in a key set."""
    import jwt

    headers = {"kid": key_id} if key_id else None
    return jwt.encode(dict(claims), key.material, algorithm=key.algorithm, headers=headers)


def header_of(token: str) -> Header:
    """Return the header of an unverified token. Raises `Unauthorized`."""
    import jwt

    try:
        fields = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthorized("malformed JSON Web Token; get a new one") from None
    algorithm, key_id = fields.get("alg"), fields.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None):
        raise Unauthorized("the JSON Web Token is not signed; get a new one")
    return Header(algorithm, key_id)


def verify(token: str, keys: Sequence[Key]) -> Claims:
    """Return the claims of a token signed with one of the keys. Raises `Unauthorized`."""
    import jwt

    jws = load()
    for key in keys:
        try:
            parts = jws.decode_complete(token, key.material, algorithms=[key.algorithm])
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            break
        try:
            claims = msgspec.json.decode(parts["payload"], type=Claims)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = explain_decode_error(error, Claims)
            raise Unauthorized(f"the token's claims are malformed: {detail}") from None
        if claims.sub is not None and not is_user(claims.sub):
            raise Unauthorized(f"the token's claims are malformed: {USERS}")
        return claims
    raise Unauthorized("the token is not signed with a key that is valid here; get a new one")


def check(claims: Claims, rules: Rules, now: float) -> None:
    """Check the claims at the time `now`, in seconds since the epoch. Raises `Unauthorized`."""
    if claims.exp is None:
        if rules.require_expiry:
            raise Unauthorized("the token has no exp, which is required here")
    elif claims.exp + rules.leeway <= now:
        raise Unauthorized("the token has expired; get a new one")
    if claims.nbf is not None and claims.nbf - rules.leeway > now:
        raise Unauthorized("the token is not valid yet; wait, or correct the issuer's clock")
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
    if rules.audience is None:
        if audiences:
            raise Unauthorized("the token has an audience, but the server has none (auth.audience)")
    elif rules.audience not in audiences:
        raise Unauthorized("the token is for another audience (auth.audience)")
    if rules.issuer is not None and claims.iss != rules.issuer:
        raise Unauthorized("the token is from another issuer (auth.issuer)")


def grant_of(claims: Claims, leeway: float) -> Grant:
    """Return the grant of a viewer's token with these claims."""
    scopes = VIEWING if claims.scope is None else frozenset(claims.scope.split())
    expires = float("inf") if claims.exp is None else claims.exp + leeway
    return Grant(
        tuple(claims.videos),
        scopes,
        claims.sub,
        is_viewer=True,
        expires=expires,
        token_id=claims.jti,
        issued=claims.iat or 0.0,
    )
