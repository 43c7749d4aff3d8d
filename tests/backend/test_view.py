"""What is known of a video: totals by store, merged by their maximum."""

from __future__ import annotations

from liveserver.backend.view import Known, View


def viewed(**totals: dict[str, int]) -> View:
    return View(Known(dict(totals), "aaa", 7, True), 0.0)


async def test_totals_are_merged_by_their_maximum_and_summed_over_stores() -> None:
    view = viewed(one={"heart": 3, "fire": 1}, two={"heart": 2})
    view.shown = b"{}"
    assert not view.merge("one", {"heart": 3})
    assert view.shown == b"{}"
    assert view.merge("one", {"heart": 2, "fire": 9})
    assert view.shown is None, "a summary of older totals is not shown any more"
    assert view.reactions() == {"fire": 9, "heart": 5}
    assert list(view.reactions()) == ["fire", "heart"], "the most frequent come first"
    assert view.merge("three", {"wow": 1})
    assert view.elsewhere("one") == 3
