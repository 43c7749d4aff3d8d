"""Revocations hold to the millisecond."""

from __future__ import annotations

from liveserver.auth.grant import Grant
from liveserver.auth.revocations import Revocations
from liveserver.state import read

UNTIL = 1_763_862_010_000  # milliseconds since the epoch
LINE = b';revocation;revoked/token/t;1;1; {"id":"x","data":{"token":"t","until":%d}}' % UNTIL


def test_a_token_is_revoked_until_the_very_millisecond() -> None:
    now = UNTIL - 10_000
    revocations = Revocations(lambda: now / 1000)
    assert revocations.fold(read(LINE))
    grant = Grant(is_viewer=True, token_id="t")
    assert revocations.is_revoked(grant)
    now = UNTIL - 1
    assert revocations.is_revoked(grant)
    assert revocations.expired() == []
    now = UNTIL
    assert not revocations.is_revoked(grant)
    assert [each.token for each in revocations.expired()] == ["t"]


def test_a_users_tokens_stay_revoked_when_the_time_of_one_of_them_is_over() -> None:
    revocations = Revocations(lambda: UNTIL / 1000)
    users = b';revocation;revoked/user/u;1;1; {"id":"y","data":{"user":"u","before":9000,"until":%d}}'
    for line in (LINE, users % (UNTIL + 1)):
        revocations.fold(read(line))
    assert revocations.is_revoked(Grant(is_viewer=True, token_id="t", user="u", issued=8))
    assert not revocations.is_revoked(Grant(is_viewer=True, token_id="t", user="u", issued=9))
