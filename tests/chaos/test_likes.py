"""The checker for likes finds faults, and has no false positives; a small round passes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.chaos.likes import Shown, play, shown_too_many, wrong_in

WANT: dict[str, Any] = {"likes": 3, "reactions": {"heart": 2, "fire": 1}, "comments": {"comment 0"}}
LIKES = int(os.environ.get("LIVESERVER_TEST_LIKES", "1500"))
USERS = 12


def summary(**more: Any) -> dict[str, Any]:
    comments = [{"id": "a", "text": "comment 0"}]
    return {"video": "v", "likes": 3, "reactions": {"fire": 1, "heart": 2}, "comments": comments, **more}


def test_a_right_summary() -> None:
    assert wrong_in("be", summary(), WANT) == []


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"likes": 4}, "be: likes 4, and not 3"),
        ({"reactions": {"heart": 3}}, "be: reactions {'heart': 3}, and not {'heart': 2, 'fire': 1}"),
        ({"comments": []}, "be: comments set(), and not {'comment 0'}"),
    ],
)
def test_a_wrong_summary_is_reported(more: dict[str, Any], complaint: str) -> None:
    assert wrong_in("be", summary(**more), WANT) == [complaint]


def test_a_viewer_that_ever_showed_too_many_is_reported() -> None:
    viewers = [Shown("sse in dc1"), Shown("poll in dc2")]
    for viewer, totals in zip(viewers, ([1, 4, 3], [0, 3, 3]), strict=True):
        for total in totals:
            viewer.set(total)
    assert shown_too_many(viewers, 3) == ["sse in dc1 showed 4 likes, of 3"]


@pytest.mark.process
@pytest.mark.redis
@pytest.mark.timeout(360)
async def test_totals_are_exact_everywhere_after_cut_links_and_killed_backends(tmp_path: Path) -> None:
    """In two datacenters with two backends each; LIVESERVER_TEST_LIKES is how many likes there are."""
    with trio.fail_after(340):
        assert await play(2, LIKES, USERS, tmp_path, browser=False) == []
