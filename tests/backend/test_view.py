"""What is known of a video: totals by store, merged by their maximum."""

from __future__ import annotations

from liveserver.backend.view import Known, View


def viewed(**totals: dict[str, int]) -> View:
    return View(Known(dict(totals), "aaa", 7, True), 0.0)


async def test_totals_are_merged_by_their_maximum_and_summed_over_stores() -> None:
    view = viewed(one={"heart": 3, "fire": 1}, two={"heart": 2})
    assert not view.merge("one", {"heart": 3})
    assert view.merge("one", {"heart": 2, "fire": 9})
    assert view.reactions() == {"fire": 9, "heart": 5}
    assert list(view.reactions()) == ["fire", "heart"], "the most frequent come first"
    assert view.merge("three", {"wow": 1})
    assert view.elsewhere("one") == 3


async def test_a_summary_of_older_totals_is_not_shown_again() -> None:
    view, shown = viewed(one={"heart": 3}), list[bool]()
    for number in (3, 4):
        view.shown = b"{}"
        view.merge("one", {"heart": number})
        shown.append(view.shown is not None)
    assert shown == [True, False]
