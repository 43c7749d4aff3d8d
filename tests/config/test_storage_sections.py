"""The settings of what is stored: names of buckets and reactions, and what is secret."""

from __future__ import annotations

import pytest

from liveserver import config
from liveserver.errors import ConfigError


@pytest.mark.parametrize("bucket", ["live", "my.recordings-2", "a" * 63])
def test_names_of_buckets_are_accepted(bucket: str) -> None:
    loaded = config.load(None, [f"recorder.s3_bucket={bucket}"], {})
    assert loaded.recorder.s3_bucket == bucket


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("recorder.s3_bucket=Live", "recorder.s3_bucket"),
        ("recorder.s3_bucket=-live", "recorder.s3_bucket"),
        ("recorder.s3_prefix=no-slash", "recorder.s3_prefix"),
        ("recorder.s3_region=EU", "recorder.s3_region"),
        ("backend.reactions=[]", "backend.reactions"),
        ('backend.database=""', "backend.database"),
        ("likes.each_up_to=-1", "likes.each_up_to"),
        ("review.unanswered=maybe", "review.unanswered"),
    ],
)
def test_what_cannot_be_stored_under_is_refused(override: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config.load(None, [override], {})


def test_keys_and_secrets_are_not_shown() -> None:
    overrides = ["recorder.s3_bucket=live", "recorder.s3_access_key=id", "recorder.s3_secret_key=hush-hush"]
    loaded = config.load(None, overrides, {})
    assert "hush-hush" not in repr(loaded.recorder)
    shown, environment = config.move_secrets(["review.secret=hush-hush"])
    assert shown == [], "command lines are visible to all"
    assert environment == {"LIVESERVER_REVIEW__SECRET": "hush-hush"}
