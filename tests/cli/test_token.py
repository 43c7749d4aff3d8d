"""`liveserver token`: tokens that verify, and new keys."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from liveserver.auth import tokens
from liveserver.auth.keys import Key, read_public_key
from tests.auth.harness import PrivateKey, ec_key, ed_key, pem, private_pem, rsa_key
from tests.cli.harness import call


def test_a_token_is_good_where_its_secret_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = tmp_path / "viewers.secret"
    secret.write_text("the-viewers-secret-of-at-least-32-bytes\n")
    words = ["--video", "concert-*", "--user", "ada", "--for", "30m", "--scope", "watch"]
    code, out, _ = call(capsys, "token", *words, "--secret-file", str(secret))
    assert code == 0
    claims = tokens.verify(out.strip(), [Key("HS256", b"the-viewers-secret-of-at-least-32-bytes")])
    assert (claims.videos, claims.sub, claims.scope) == (["concert-*"], "ada", "watch")
    assert claims.exp is not None
    assert 1500 < claims.exp - time.time() <= 1800
    named = ["--set", f"auth.secret_file={secret}", "--set", "auth.audience=live"]
    code, out, _ = call(capsys, "token", "--video", "v", *named)
    assert (
        tokens.verify(out.strip(), [Key("HS256", b"the-viewers-secret-of-at-least-32-bytes")]).aud == "live"
    )


@pytest.mark.parametrize(
    ("key", "algorithm"), [(ed_key(), "EdDSA"), (ec_key(), "ES256"), (rsa_key(), "RS256")]
)
def test_a_token_may_be_signed_with_a_private_key(
    key: PrivateKey, algorithm: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_bytes(private_pem(key))
    public.write_bytes(pem(key))
    code, out, _ = call(capsys, "token", "--video", "v", "--private-key-file", str(private), "--kid", "k1")
    assert code == 0
    assert tokens.header_of(out.strip()) == tokens.Header(algorithm, "k1")
    claims = tokens.verify(out.strip(), [read_public_key("auth.public_key_file", str(public))])
    assert (claims.videos, len(claims.jti or "")) == (["v"], 16)


def test_a_key_is_long_and_another_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {call(capsys, "token", "--key")[1].strip() for _ in range(3)}
    assert len(keys) == 3
    assert all(len(key) >= 40 for key in keys)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--video: is missing"),
        (["--video", "v"], "auth.secret: there is no secret to sign with"),
        (["--video", "v", "--for", "soon"], "--for: 'soon' is not a duration"),
        (["--video", "a*b", "--secret-file", "s"], "a string of the form"),
        (["--video", "v", "--scope", "fly", "--secret-file", "s"], "there is no scope 'fly'"),
        (["--video", "v", "--secret-file", "nowhere"], "nowhere cannot be read"),
        (["--video", "v", "--private-key-file", "nowhere"], "nowhere cannot be read"),
        (["--video", "v", "--private-key-file", "s"], "s is not a PEM private key"),
        (
            ["--video", "v", "--private-key-file", "s", "--secret-file", "s"],
            "--secret-file: cannot be used together",
        ),
        (["--video", "v", "--set", "auth.secret=hush-hush"], "auth.secret: is too short"),
    ],
)
def test_a_token_that_cannot_be_made(
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").write_text("the-viewers-secret-of-at-least-32-bytes")
    code, out, err = call(capsys, "token", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert "hush-hush" not in err
    assert len(err.splitlines()) == 1
