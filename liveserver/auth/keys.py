"""Secrets and public keys, from settings and files. Errors never quote them.

Each key verifies with one algorithm, its own. A token's `alg` only selects among the keys: so `none` is not
accepted, and a public key is never used as a shared secret.

PyJWT and cryptography are imported where there are keys: they take 10 MB and 50 ms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from liveserver.config import Secret
from liveserver.errors import ConfigError, LiveserverError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MIN_SECRET = 32  # bytes: as long as the hash (RFC 7518 §3.2)
MIN_KEY = 20  # characters of a publisher's key
MIN_RSA_BITS = 2048  # bits (RFC 7518 §3.3)
MAX_JWKS_KEYS = 100

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1

HS256, RS256, ES256 = "HS256", "RS256", "ES256"
EDDSA = "EdDSA"  # with Ed25519 (RFC 8037 §3.1)


class KeySetError(LiveserverError):
    """A malformed or unavailable key set."""


class Key(msgspec.Struct, frozen=True):
    """A key, and the algorithm that it verifies. `id` is its `kid`."""

    algorithm: str
    material: bytes | PublicKey
    id: str | None = None

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, {self.id})"


class SigningKey(msgspec.Struct, frozen=True):
    """A private key, and the algorithm that it signs with."""

    algorithm: str
    material: Any

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm})"


def read_secrets(setting: str, text: Secret | None, file: str | None, shortest: int) -> list[str]:
    """Return the secrets of a setting and of its file, one per line; the first one is used to sign.

    Raises `ConfigError`.
    """
    lines = [text.reveal()] if text else []
    if file is not None:
        lines += _read(f"{setting}_file", file).splitlines()
    found = [line.strip() for line in lines if line.strip()]
    if file is not None and not found:
        raise ConfigError(f"{setting}_file", f"{file} is empty; write secrets there, one per line")
    for secret in found:
        if len(secret.encode()) < shortest or any(letter.isspace() for letter in secret):
            raise ConfigError(
                f"{setting}_file" if file else setting,
                f"is too short or has spaces: at least {shortest} characters without any; "
                "`liveserver token --key` makes one",
            )
    return found


def read_keys(setting: str, text: Secret | None, file: str | None) -> list[str]:
    """Return the keys, for `Authorization: Bearer KEY`, of a setting and its file. Raises `ConfigError`."""
    found = read_secrets(setting, text, file, MIN_KEY)
    if not all(_BEARER_TOKEN.fullmatch(key) for key in found):
        raise ConfigError(
            f"{setting}_file" if file else setting,
            "has characters other than A-Z a-z 0-9 - . _ ~ + /; `liveserver token --key` makes one",
        )
    return found


def read_public_key(setting: str, file: str) -> Key:
    """Return the public key in a PEM file. Raises `ConfigError`."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(setting, file).encode())
    except (ValueError, TypeError) as error:
        raise ConfigError(
            setting, f"{file} is not a public key in PEM, which begins with BEGIN PUBLIC KEY"
        ) from error
    found = _to_key(key, None)
    if found is None:
        raise ConfigError(setting, f"{file} is not an RSA key of 2048 bits or more, nor on P-256 or Ed25519")
    return found


def read_private_key(setting: str, file: str) -> SigningKey:
    """Return a private key in PEM, without a passphrase, to sign with. Raises `ConfigError`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(setting, file).encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # not `from`: the key stays out of tracebacks
        raise ConfigError(
            setting,
            f"{file} is not a PEM private key without passphrase (BEGIN PRIVATE KEY)",
        ) from None
    public = _to_key(key.public_key(), None)
    if public is None:
        raise ConfigError(setting, f"{file} is not an RSA key of 2048 bits or more, nor on P-256 or Ed25519")
    return SigningKey(public.algorithm, key)


def read_jwks(content: bytes) -> list[Key]:
    """Return the keys of a JSON Web Key Set (RFC 7517) that may verify viewers' tokens.

    Others, especially shared secrets, are skipped. Raises `KeySetError`.
    """
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
        entries = document["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise KeySetError('is not a JSON Web Key Set, {"keys":[…]}') from None
    found = [key for entry in entries[:MAX_JWKS_KEYS] if (key := _from_jwk(entry)) is not None]
    if not found:
        raise KeySetError("has no key for RS256, ES256 or EdDSA")
    return found


def matching_keys(keys: Sequence[Key], algorithm: str, key_id: str | None) -> list[Key]:
    """Return the keys that may verify a token: of its algorithm and, if it names a key, of that name."""
    return [
        key
        for key in keys
        if key.algorithm == algorithm and (key_id is None or key.id is None or key.id == key_id)
    ]


def _from_jwk(entry: Any) -> Key | None:
    import jwt

    if (
        not isinstance(entry, Mapping)
        or entry.get("kty") not in ("RSA", "EC", "OKP")
        or entry.get("use") == "enc"
    ):
        return None
    try:
        key = jwt.PyJWK(dict(entry)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    name = entry.get("kid")
    found = _to_key(key, name if isinstance(name, str) else None)
    return found if found and entry.get("alg", found.algorithm) == found.algorithm else None


def _to_key(key: object, name: str | None) -> Key | None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return Key(RS256, key, name)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return Key(ES256, key, name)
    if isinstance(key, Ed25519PublicKey):
        return Key(EDDSA, key, name)
    return None


def _read(setting: str, file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except OSError as error:
        raise ConfigError(setting, f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(setting, f"{file} is not text") from None
