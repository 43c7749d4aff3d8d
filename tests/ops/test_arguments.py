"""Names of videos in requests to the ops port."""

from __future__ import annotations

import pytest

from liveserver.errors import BadRequest
from liveserver.ops.arguments import checked_video


def test_a_video_is_named_as_everywhere() -> None:
    assert checked_video("a.B-1") == "a.B-1"
    for name in ("", ".a", "a b", "a" * 129):
        with pytest.raises(BadRequest):
            checked_video(name)
