"""TLS contexts: with a server's certificate, and with trusted authorities. Errors name the file."""

from __future__ import annotations

import ssl
from datetime import datetime
from functools import cache
from pathlib import Path

from liveserver.config.sections import TLSSettings
from liveserver.errors import ConfigError

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(settings: TLSSettings) -> tuple[ssl.SSLContext, datetime]:
    """Return a server's TLS context, and when its certificate expires. Raises `ConfigError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum_version]
    # With renegotiation a `send` might have to wait for received data.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise ConfigError(
                "tls.ciphers", f"{settings.ciphers!r} names no cipher that OpenSSL has; see openssl ciphers"
            ) from None
    expires = _expiry(settings.certificate)
    _read("tls.key", settings.key)
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            message = f"{settings.key} is the key of another certificate than {settings.certificate}"
        else:
            message = f"{settings.key} holds no private key in PEM form"
        raise ConfigError("tls.key", message) from None
    return context, expires


def _expiry(certificate: str) -> datetime:
    pem = _read("tls.certificate", certificate)
    try:
        from cryptography import x509  # takes long, and few have a certificate

        chain = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(
            "tls.certificate", f"{certificate} holds no certificate in PEM form ({error})"
        ) from None
    return chain[0].not_valid_after_utc


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(setting, f"{path} cannot be read: {error.strerror}") from error


def _no_password() -> str:
    raise ConfigError(
        "tls.key",
        "is encrypted, and a server cannot ask for the passphrase; write it without one: openssl pkey",
    )


@cache
def _system_context() -> ssl.SSLContext:
    """Return the context with the system's authorities, read once: that takes 30 ms of a core."""
    return ssl.create_default_context()


def client_context(ca_file: str, setting: str = "tls.ca_file") -> ssl.SSLContext:
    """Return a client's TLS context: with the authorities in a file, or those of the system if it is empty.

    Raises `ConfigError` for `setting`.
    """
    if not ca_file:
        return _system_context()
    pem = _read(setting, ca_file)
    try:
        if not pem:  # `create_default_context` would trust the system's authorities
            raise ValueError("empty")
        return ssl.create_default_context(cadata=pem.decode("ascii"))
    except (ValueError, ssl.SSLError):
        raise ConfigError(setting, f"{ca_file} holds no certificate in PEM form") from None
