"""A setting's description is its definition's comments: above it, beside it, and on its further lines."""

from __future__ import annotations

import msgspec

from liveserver.config.comments import comments


class Section(msgspec.Struct):
    # Above,
    # in two lines.
    above: int = 1
    beside: str = "#no comment"  # Beside.
    both: int = 2  # and beside.
    # Above
    mixed: int = 3  # and beside.
    long: tuple[int, ...] = (  # First,
        1,  # second.
    )
    none: int = 4


def test_comments_of_every_form() -> None:
    assert comments(Section) == {
        "above": "Above, in two lines.",
        "beside": "Beside.",
        "both": "and beside.",
        "mixed": "Above and beside.",
        "long": "First, second.",
        "none": "",
    }
