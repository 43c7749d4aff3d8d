"""Valid tokens, and invalid ones of every kind."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.credentials import Credentials, CredentialSource
from liveserver.auth.grant import Grant
from liveserver.auth.keys import HS256, Key
from liveserver.auth.viewers import ViewerTokens
from liveserver.errors import Forbidden, Problem, Unauthorized
from tests.auth.harness import (
    NOW,
    OTHER,
    SECRET,
    Clock,
    auth,
    ec_key,
    ed_key,
    header,
    pem,
    rsa_key,
    settings,
    token,
)


def viewers(**values: Any) -> ViewerTokens:
    made = auth(viewers="token", secret=SECRET, **values)
    return ViewerTokens(made, [Key(HS256, SECRET.encode())], clock=Clock())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(head: Any, claims: Any, key: bytes = SECRET.encode()) -> str:
    """A token put together by hand, as those do who mean no good."""
    first = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{first}.{b64(hmac.digest(key, first.encode(), sha256))}"


async def test_a_valid_token_grants_its_user_and_scopes() -> None:
    grant = await viewers().authenticate(header(token(videos=["v1", "concert-*"], sub="ada")))
    assert (grant.user, grant.expires) == ("ada", NOW + 3610)
    assert grant.may("watch", "v1")
    assert grant.may("like", "concert-7")
    assert not grant.may("watch", "v2")
    assert not grant.may("moderate", "v1")


async def test_a_scope_is_all_there_is() -> None:
    grant = await viewers().authenticate(header(token(scope="watch moderate")))
    assert grant.may("moderate", "v1")
    assert not grant.may("like", "v1")


CLAIMS = {"exp": NOW + 60, "videos": ["*"]}
BAD = {
    "expired": (token(exp=NOW - 11), "has expired"),
    "never expires": (token(exp=None), "no exp"),
    "not yet valid": (token(nbf=NOW + 11), "not valid yet"),
    "another key's": (token(OTHER), "not signed with a key"),
    "another audience's": (token(aud="others"), "has an audience"),
    "of another algorithm": (token(algorithm="HS512", secret=SECRET * 2), "not signed with a key"),
    "none": (f"{signed({'alg': 'none'}, CLAIMS).rpartition('.')[0]}.", "not signed with a key"),
    "None, signed": (signed({"alg": "None"}, CLAIMS), "not signed with a key"),
    "no algorithm": (signed({"typ": "JWT"}, CLAIMS), "is not signed"),
    "algorithms": (signed({"alg": ["HS256"]}, CLAIMS), "JSON Web Token"),
    "critical": (signed({"alg": "HS256", "crit": ["x"], "x": 1}, CLAIMS), "malformed JSON Web Token"),
    "detached": (signed({"alg": "HS256", "crit": ["b64"], "b64": False}, CLAIMS), "malformed JSON Web Token"),
    "its own key": (signed({"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}}, CLAIMS, b"x"), "not signed"),
    "tampered": (token()[:-4] + "AAAA", "not signed with a key"),
    "garbage": ("garbage", "malformed JSON Web Token"),
    "dots": ("..", "malformed JSON Web Token"),
    "huge": ("a" * 8193, "at most 8192"),
    "no object": (signed({"alg": "HS256"}, [1]), "claims are malformed"),
    "exp is a text": (signed({"alg": "HS256"}, {"exp": "soon"}), "claims are malformed"),
    "exp is beyond all time": (signed({"alg": "HS256"}, {"exp": 1e300}), "claims are malformed"),
    "videos is a text": (signed({"alg": "HS256"}, {**CLAIMS, "videos": "*"}), "claims are malformed"),
    "a star within": (signed({"alg": "HS256"}, {**CLAIMS, "videos": ["a*b"]}), "claims are malformed"),
    "a number as user": (signed({"alg": "HS256"}, {**CLAIMS, "sub": 7}), "claims are malformed"),
    "a long user": (token(sub="u" * 129), "claims are malformed"),
    "a user that is a path": (token(sub=".."), "claims are malformed: a user has"),
    "a user with NUL": (token(sub="a\0"), "claims are malformed: a user has"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_one_is_refused_and_not_repeated(name: str) -> None:
    text, complaint = BAD[name]
    viewer_tokens = viewers()
    for _ in range(2):
        with pytest.raises(Unauthorized, match=complaint) as caught:
            await viewer_tokens.authenticate(header(text))
        assert text not in caught.value.detail or name in ("dots", "garbage")
        assert 'error="invalid_token"' in dict(caught.value.headers)["www-authenticate"]
    assert viewer_tokens.statistics().refused == 2
    assert viewer_tokens.statistics().remembered == 0


async def test_a_missing_token_is_refused_with_how_to_send_one() -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer TOKEN") as caught:
        await viewers().authenticate(None)
    assert caught.value.headers == (("www-authenticate", 'Bearer realm="liveserver"'),)


async def test_a_public_key_is_never_a_shared_secret(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(rsa_key()))
    authorizer = Authorizer(settings(auth={"viewers": "token", "public_key_file": str(file)}), clock=Clock())
    good = token(rsa_key(), "RS256")
    assert (await authorizer.viewer({b"authorization": b"Bearer " + good.encode()})).user == "u1"
    for forged in (
        signed({"alg": "HS256"}, CLAIMS, pem(rsa_key())),
        signed({"alg": "RS256"}, CLAIMS, pem(rsa_key())),
        token(ec_key(), "ES256"),
        token(rsa_key("two"), "RS256"),
    ):
        with pytest.raises(Unauthorized, match="not signed with a key"):
            await authorizer.viewer({b"authorization": b"Bearer " + forged.encode()})


async def test_a_key_on_p_256_is_for_es256(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(ec_key()))
    authorizer = Authorizer(settings(auth={"viewers": "token", "public_key_file": str(file)}), clock=Clock())
    good = token(ec_key(), "ES256")
    assert (await authorizer.viewer({b"authorization": b"bearer  " + good.encode()})).user == "u1"


async def test_a_key_on_ed25519_is_for_eddsa(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(ed_key()))
    authorizer = Authorizer(settings(auth={"viewers": "token", "public_key_file": str(file)}), clock=Clock())
    good = token(ed_key(), "EdDSA")
    assert (await authorizer.viewer({b"authorization": b"bearer " + good.encode()})).user == "u1"
    for forged in (
        token(ed_key("two"), "EdDSA"),
        token(ec_key(), "ES256"),
        signed({"alg": "HS256"}, CLAIMS, pem(ed_key())),
        signed({"alg": "EdDSA"}, CLAIMS, pem(ed_key())),
    ):
        with pytest.raises(Unauthorized, match="not signed with a key"):
            await authorizer.viewer({b"authorization": b"Bearer " + forged.encode()})


async def test_audience_and_issuer_are_asked_for_where_they_are_configured() -> None:
    viewer_tokens = viewers(audience="live", issuer="site")
    assert await viewer_tokens.authenticate(header(token(aud=["live", "other"], iss="site")))
    for wrong in ({"iss": "site"}, {"aud": "live"}, {"aud": "live", "iss": "x"}, {"aud": "x", "iss": "site"}):
        with pytest.raises(Unauthorized, match=r"audience|issuer"):
            await viewer_tokens.authenticate(header(token(**wrong)))


async def test_a_token_without_expiry_is_accepted_only_when_configured() -> None:
    assert (await viewers(require_expiry=False).authenticate(header(token(exp=None)))).expires == float("inf")


async def test_clocks_may_differ_by_the_leeway() -> None:
    viewer_tokens = viewers()
    assert await viewer_tokens.authenticate(header(token(exp=NOW - 9)))
    assert await viewer_tokens.authenticate(header(token(nbf=NOW + 9)))


async def test_in_an_address_it_has_to_be_short_lived() -> None:
    viewer_tokens = viewers()
    assert await viewer_tokens.authenticate(Credentials(token(exp=NOW + 900), CredentialSource.QUERY))
    for source, refused in (
        (CredentialSource.QUERY, True),
        (CredentialSource.COOKIE, False),
        (CredentialSource.HEADER, False),
    ):
        shown = Credentials(token(exp=NOW + 901), source)
        if refused:
            with pytest.raises(Forbidden, match="expires sooner"):
                await viewer_tokens.authenticate(shown)
        else:
            assert await viewer_tokens.authenticate(shown)


async def test_a_token_is_verified_once_and_forgotten_when_it_expires(autojump_clock: MockClock) -> None:
    viewer_tokens = viewers(token_cache_size=2)
    first = header(token(exp=NOW + 60))
    for _ in range(3):
        await viewer_tokens.authenticate(first)
    assert (viewer_tokens.statistics().verified, viewer_tokens.statistics().recognised) == (1, 2)
    autojump_clock.jump(69.9)
    await viewer_tokens.authenticate(first)
    autojump_clock.jump(0.2)
    with pytest.raises(Unauthorized, match="has expired"):
        await viewer_tokens.authenticate(first)
    assert viewer_tokens.statistics().remembered == 0
    for user in "abc":
        await viewer_tokens.authenticate(header(token(sub=user)))
    assert viewer_tokens.statistics().remembered == 2


async def test_without_authentication_everything_is_allowed() -> None:
    grant = await ViewerTokens(auth(), []).authenticate(None)
    assert grant == Grant()


def test_problems_have_their_status() -> None:
    assert issubclass(Unauthorized, Problem)
    assert (Unauthorized.status, Forbidden.status) == (401, 403)
