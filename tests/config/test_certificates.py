"""TLS contexts from files: what is refused, with the file's name."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from liveserver.config import load
from liveserver.config.certificates import client_context, server_context
from liveserver.errors import ConfigError
from tests.edge.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tls.certificate": ""}, "tls.certificate: is empty"),
        ({"tls.key": ""}, "tls.key: is empty"),
        ({"tls.certificate": "/no/such/file"}, "tls.certificate: /no/such/file cannot be read: No such file"),
        ({"tls.key": "/no/such/file"}, "tls.key: /no/such/file cannot be read: No such file"),
        ({"tls.certificate": "KEY"}, "holds no certificate in PEM form"),
        ({"tls.key": "CERTIFICATE"}, "holds no private key in PEM form"),
        ({"tls.key": "OTHER"}, "is the key of another certificate"),
        ({"tls.key": "ENCRYPTED"}, "tls.key: is encrypted"),
        ({"tls.ciphers": "none-such"}, "tls.ciphers: 'none-such' names no cipher"),
        ({"tls.minimum_version": "1.1"}, "tls.minimum_version"),
        ({"tls.ca_file": "KEY"}, "tls.ca_file: .* holds no certificate"),
        ({"listen.tls": "0.0.0.0:8443"}, "listen.tls: .* is reachable from outside"),
        ({"listen.tls": "127.0.0.1:8000"}, "listen.tls: .* has the port of another address"),
        ({"listen.tls": None}, "listen.tls: is not set although there is a certificate"),
    ],
)
def test_invalid_certificates_are_refused_with_their_file(
    authority: Authority, tmp_path: Path, change: dict[str, str | None], says: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (encrypted := tmp_path / "encrypted.pem").write_text(_encrypted())
    files = {
        "KEY": authority.key,
        "CERTIFICATE": authority.certificate,
        "OTHER": Authority(other).key,
        "ENCRYPTED": encrypted,
    }
    values: dict[str, object] = {
        "listen.tls": "127.0.0.1:8443",
        "tls.certificate": authority.certificate,
        "tls.key": authority.key,
    }
    assert (
        load(None, [f"{name}={value}" for name, value in values.items()], {}).listen.tls == "127.0.0.1:8443"
    )
    values |= {name: files.get(value or "", value) for name, value in change.items()}
    with pytest.raises(ConfigError, match=says):
        load(None, [f"{name}={value}" for name, value in values.items() if value is not None], {})


def _encrypted() -> str:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret"))
        .decode()
    )


def test_a_servers_context_has_its_least_version_and_the_certificates_end(authority: Authority) -> None:
    ends = datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)
    authority.issue(expires=ends)
    context, expires = server_context(authority.settings(minimum_version="1.3"))
    assert expires == ends
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.options & ssl.OP_NO_RENEGOTIATION, "a send never waits for received data"
    assert server_context(authority.settings())[0].minimum_version == ssl.TLSVersion.TLSv1_2


def test_only_the_given_ciphers_are_offered(authority: Authority) -> None:
    context, _ = server_context(authority.settings(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    old = [each["name"] for each in context.get_ciphers() if each["protocol"] == "TLSv1.2"]
    assert old == ["ECDHE-ECDSA-AES128-GCM-SHA256"]


def test_a_client_trusts_just_the_authorities_in_the_file(authority: Authority) -> None:
    context = client_context(str(authority.file))
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert client_context("") is client_context(""), "the system's are read once"


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_of_no_authority_is_reported_by_the_setting_that_names_it(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "authorities.pem"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^hooks\.ca_file: .*authorities\.pem holds no certificate"):
        client_context(str(file), "hooks.ca_file")
    with pytest.raises(ConfigError, match=r"^hooks\.ca_file: .* cannot be read: Is a directory"):
        client_context(str(tmp_path), "hooks.ca_file")
