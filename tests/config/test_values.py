"""The forms of values: the longest and shortest that are accepted, and what is just beyond."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from liveserver.config import load
from liveserver.config.values import (
    Count,
    Datacenter,
    EventType,
    HookKind,
    Limit,
    Name,
    Rate,
    Reaction,
    Scope,
    Section,
    Videos,
)


@pytest.mark.parametrize(
    ("kind", "accepted", "refused"),
    [
        (Name, ["a", "0", "dc1-fe1", "A._-", "n" * 64], ["", "-a", ".a", "n" * 65, "a b", "a\n", "é"]),
        (Datacenter, ["dc1", "1", "d" * 16], ["", "DC1", "d-1", "d" * 17, "dc1\n"]),
        (Count, [1, 10**9], [0, -1, 10**9 + 1, "1", 1.5]),
        (Limit, [0, 10**9], [-1, 10**9 + 1]),
        (Rate, [0, 0.5, 1e9], [-0.1, "1"]),
        (
            Videos,
            ["*", "v", "concert-*", "v" * 128, "v" * 128 + "*"],
            ["", "**", "a*b", "*a", "-a", "v" * 129, "v\n"],
        ),
        (Reaction, ["heart", "a_b-c0", "r" * 32], ["", "Heart", "0", "a.b", "r" * 33, "a\n"]),
        (EventType, ["like", "a.b_c-d0", "e" * 32], ["", "Like", ".a", "e" * 33, "a\n"]),
        (
            HookKind,
            ["*", "video.*", "comment.created", "event." + "e" * 32],
            ["", "video", "video.", ".x", "Video.x", "video.Created", "event." + "e" * 33, "v.*\n", "v.**"],
        ),
        (Scope, ["publish", "like", "comment", "moderate", "host"], ["watch", "", "Publish"]),
    ],
)
def test_forms_have_their_bounds(kind: Any, accepted: list[Any], refused: list[Any]) -> None:
    for value in accepted:
        assert msgspec.convert(value, kind) == value
    for value in refused:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)


def test_a_section_is_immutable_and_strict_about_names() -> None:
    class Some(Section, frozen=True):
        size: int = 1

    with pytest.raises(AttributeError):
        Some().size = 2  # type: ignore[misc]
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"breadth": 2}, Some)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("15s", 15), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5", 1.5), ("7", 7)],
)
def test_durations_have_their_unit(text: str, seconds: float) -> None:
    assert load(None, [f"frontend.linger={text}"], {}).frontend.linger == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("64KiB", 65536), ("4MiB", 4 * 1024**2), ("1GiB", 1024**3), ("99", 99)]
)
def test_sizes_have_their_unit(text: str, size: int) -> None:
    assert load(None, [f"edge.max_body={text}"], {}).edge.max_body == size


def test_overrides_take_lists_texts_and_booleans_as_the_file_does() -> None:
    settings = load(
        None, ['node.roles=["dispatcher"]', "node.name=a-1", "node.allow_unauthenticated=true"], {}
    )
    assert (settings.node.roles, settings.node.name, settings.node.allow_unauthenticated) == (
        ["dispatcher"],
        "a-1",
        True,
    )
