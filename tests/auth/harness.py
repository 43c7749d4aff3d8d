"""Keys of the test's own, and tokens made with them, good and bad."""

from __future__ import annotations

from functools import cache
from typing import Any

import jwt
import msgspec
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from liveserver.auth.credentials import Credentials, CredentialSource
from liveserver.config import AuthSettings, Settings, convert

SECRET = "the-viewers-secret-of-at-least-32-bytes"
OTHER = "another-secret-of-at-least-32-bytes-too"
NODES = "the-nodes-secret-of-at-least-32-bytes-"
KEY = "a-key-of-a-publisher"
NOW = 1_763_862_000.0

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Clock:
    """Seconds since the epoch; they pass with Trio's."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._begun = trio.current_time()

    def __call__(self) -> float:
        return NOW + trio.current_time() - self._begun + self.ahead


def auth(**values: Any) -> AuthSettings:
    return convert(values, AuthSettings)


def settings(**sections: dict[str, Any]) -> Settings:
    return convert(sections, Settings)


def token(secret: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **claims: Any) -> str:
    """Good for an hour, for all videos, unless it says otherwise; a claim of None is left out."""
    said = {"exp": NOW + 3600, "videos": ["*"], "sub": "u1", **claims}
    kept = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(kept, secret, algorithm=algorithm, headers={"kid": kid} if kid else None)


def header(text: str) -> Credentials:
    return Credentials(text, CredentialSource.HEADER)


@cache
def rsa_key(name: str = "one") -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(name: str = "one") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(name: str = "one") -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def jwks(**keys: PrivateKey) -> bytes:
    """A key set with these, by their `kid`."""
    entries = []
    for kid, key in keys.items():
        public: Any = key.public_key()
        of: Any = ECAlgorithm
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            of = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else OKPAlgorithm
        entries.append({**of.to_jwk(public, as_dict=True), "kid": kid, "use": "sig"})
    return msgspec.json.encode({"keys": entries})
