"""The bounds of a token's claims."""

from __future__ import annotations

import pytest

from liveserver.auth.tokens import check_claims


def test_a_tokens_id_is_bounded() -> None:
    check_claims({"videos": ["v"], "jti": "j" * 256})
    for malformed in ("j" * 257, ""):
        with pytest.raises(ValueError, match="jti"):
            check_claims({"videos": ["v"], "jti": malformed})
