"""Certificates for the tests: an authority, and servers with certificates that it issued."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme

from liveserver.config import TLSSettings, convert
from liveserver.edge.tls import TLSAcceptor

NAMES = ("localhost", "127.0.0.1")


class Authority:
    """Writes certificates into a directory; `trust` is for clients that believe them."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.certificate = directory / "certificate.pem"
        self.key = directory / "key.pem"
        self.file = directory / "authority.pem"
        self.ca.cert_pem.write_to_path(str(self.file))
        self.issue()

    def issue(self, *, expires: datetime | None = None) -> str:
        """Write a new certificate and key over the old ones; the certificate as a peer would see it."""
        issued = self.ca.issue_cert(*NAMES, not_after=expires, key_type=trustme.KeyType.ECDSA)
        issued.private_key_pem.write_to_path(str(self.key))
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()).hex()

    def settings(self, **settings: object) -> TLSSettings:
        return convert(
            {"certificate": str(self.certificate), "key": str(self.key), "http2": False, **settings},
            TLSSettings,
        )

    def acceptor(self, **settings: object) -> TLSAcceptor:
        return TLSAcceptor(self.settings(**settings))

    def trust(self, *protocols: str) -> ssl.SSLContext:
        """What a client needs; it offers these protocols."""
        context = ssl.create_default_context(cafile=str(self.file))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


YESTERDAY = datetime(2020, 1, 1, tzinfo=UTC)
