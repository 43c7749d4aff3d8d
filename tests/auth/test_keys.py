"""Keys from settings, files and key sets: what is accepted, and what an error says without showing it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.keys import (
    MAX_JWKS_KEYS,
    Key,
    KeySetError,
    matching_keys,
    read_jwks,
    read_keys,
    read_private_key,
    read_public_key,
    read_secrets,
)
from liveserver.config import Secret, load
from liveserver.errors import ConfigError
from tests.auth.harness import (
    KEY,
    NODES,
    OTHER,
    SECRET,
    PrivateKey,
    ec_key,
    ed_key,
    jwks,
    pem,
    private_pem,
    rsa_key,
)

NODES_SECRET = f"auth.nodes_secret={NODES}"


SITE = f"auth.publishers.site.key={KEY}"


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["auth.secret=short"], "auth.secret: is too short"),
        (
            [f"auth.nodes_secret={SECRET}", f"auth.secret={SECRET}"],
            "auth.nodes_secret: is the viewers' secret",
        ),
        (["auth.secret_file=nowhere"], "auth.secret_file: nowhere cannot be read: No such file"),
        (["auth.secret_file=empty"], "auth.secret_file: empty is empty"),
        (["auth.secret_file=binary"], "auth.secret_file: binary is not text"),
        (["auth.public_key_file=words"], "auth.public_key_file: words is not a public key in PEM"),
        (["auth.public_key_file=nowhere"], "auth.public_key_file: nowhere cannot be read"),
        ([f'auth.publishers.site.key="{KEY}\'"'], "auth.publishers.site.key: has characters other than"),
        ([SITE, f"auth.publishers.two.key={KEY}"], "auth.publishers.two.key: is also another publisher's"),
    ],
)
def test_unusable_keys_are_reported_without_their_content(
    overrides: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "words").write_text("BEGIN PUBLIC KEY")
    with pytest.raises(ConfigError, match=re.escape(complaint)) as caught:
        Authorizer(load(None, overrides, {}))
    assert not any(secret in str(caught.value) for secret in (SECRET, KEY))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys":{}}',
        b'{"keys":[1,null,{},{"kty":"RSA"},{"kty":"RSA","n":"AQ","e":"AQAB"}]}',
        b'{"keys":[{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}]}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_a_malformed_key_set_is_reported_without_its_content(content: bytes) -> None:
    with pytest.raises(KeySetError) as caught:
        read_jwks(content)
    assert "c2Vj" not in str(caught.value)


def write(directory: Path, content: bytes) -> str:
    file = directory / "key.pem"
    file.write_bytes(content)
    return str(file)


def test_secrets_are_the_settings_own_and_then_one_per_line(tmp_path: Path) -> None:
    file = write(tmp_path, f"\n  {OTHER}  \r\n\n{NODES}\n".encode())
    assert read_secrets("auth.secret", Secret(SECRET), file, 32) == [SECRET, OTHER, NODES]
    assert read_secrets("auth.secret", None, None, 32) == []


def test_a_secret_has_its_least_length_in_bytes_and_no_spaces() -> None:
    assert read_secrets("s", Secret("é" * 16), None, 32) == ["é" * 16]
    for text in ("é" * 15 + "a", "a" * 31, "a" * 20 + " " + "a" * 20):
        with pytest.raises(ConfigError, match=r"^s: is too short or has spaces"):
            read_secrets("s", Secret(text), None, 32)


def test_a_file_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^auth\.ops_key_file: is too short"):
        read_keys("auth.ops_key", None, write(tmp_path, b"short"))
    with pytest.raises(ConfigError, match=r"^auth\.ops_key_file: has characters other than"):
        read_keys("auth.ops_key", None, write(tmp_path, b"a-key-of-20-characters!"))
    assert read_keys("auth.ops_key", None, write(tmp_path, b"a.key_of~20+characters/=="))


@pytest.mark.parametrize(
    ("key", "algorithm"), [(rsa_key(), "RS256"), (ec_key(), "ES256"), (ed_key(), "EdDSA")]
)
def test_each_kind_of_key_has_its_one_algorithm(key: PrivateKey, algorithm: str, tmp_path: Path) -> None:
    public = read_public_key("auth.public_key_file", write(tmp_path, pem(key)))
    assert (public.algorithm, public.id) == (algorithm, None)
    private = read_private_key("--private-key-file", write(tmp_path, private_pem(key)))
    assert private.algorithm == algorithm
    for shown in (repr(public), repr(private)):
        assert shown in (f"Key({algorithm}, None)", f"SigningKey({algorithm})")


def test_weak_and_unknown_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    for key in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(ConfigError, match="is not an RSA key of 2048 bits or more"):
            read_public_key("auth.public_key_file", write(tmp_path, pem(key)))
        with pytest.raises(ConfigError, match="is not an RSA key of 2048 bits or more"):
            read_private_key("--private-key-file", write(tmp_path, private_pem(key)))
    with pytest.raises(ConfigError, match="is not a PEM private key"):
        read_private_key("--private-key-file", write(tmp_path, pem(ec_key())))


def test_a_key_set_keeps_what_may_verify_and_skips_the_rest() -> None:
    entries = json.loads(jwks(a=rsa_key(), b=ec_key(), c=ed_key()))["keys"]
    one, two, three = entries
    others = [
        {**one, "use": "enc", "kid": "for encryption"},
        {**one, "alg": "PS256", "kid": "of another algorithm"},
        {**two, "alg": "RS256", "kid": "of another kind"},
        {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "shared"},
        {**three, "x": "AA", "kid": "too short"},
    ]
    unnamed = {**two, "kid": 7, "alg": "ES256"}
    found = read_jwks(json.dumps({"keys": [*others, *entries, unnamed]}).encode())
    assert [(key.id, key.algorithm) for key in found] == [
        ("a", "RS256"), ("b", "ES256"), ("c", "EdDSA"), (None, "ES256"),
    ]  # fmt: skip


def test_of_a_key_set_only_so_many_are_read() -> None:
    entry = json.loads(jwks(a=ed_key()))["keys"][0]
    found = read_jwks(json.dumps({"keys": [{}] * (MAX_JWKS_KEYS - 1) + [entry] * 2}).encode())
    assert len(found) == 1


def test_a_token_is_tried_with_keys_of_its_algorithm_and_name() -> None:
    a, b, unnamed, other = (
        Key("HS256", b"a", "a"),
        Key("HS256", b"b", "b"),
        Key("HS256", b"c"),
        Key("RS256", b""),
    )
    keys = [a, b, unnamed, other]
    assert matching_keys(keys, "HS256", "a") == [a, unnamed]
    assert matching_keys(keys, "HS256", None) == [a, b, unnamed]
    assert matching_keys(keys, "HS256", "z") == [unnamed]
    assert matching_keys(keys, "none", None) == []
