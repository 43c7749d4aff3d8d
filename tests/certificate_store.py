"""Clients in tests trust one public authority instead of all.

httpx reads the certificates of all authorities for each client that it makes, which takes 30 to 60 ms of a
core: more than most tests. No test connects to a server with a public certificate.
"""

from __future__ import annotations

import tempfile

import certifi
import pytest

_END = "-----END CERTIFICATE-----\n"
_store = tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115  # for as long as the process


def shrink() -> None:
    """Have certifi, which httpx asks, name a file with one authority, in this process."""
    first, end, _ = certifi.contents().partition(_END)
    _store.write(first + end)
    _store.flush()
    pytest.MonkeyPatch().setattr(certifi, "where", lambda: _store.name)
