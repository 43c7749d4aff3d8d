"""Operations of frontends: their limits are those of the settings."""

from __future__ import annotations

import re
from typing import Any

from liveserver.config import FrontendSettings, convert
from liveserver.web.openapi.watching import VIEWERS_PATHS, VIEWERS_SCHEMAS, paths


def parameters(path: str, **settings: Any) -> dict[str, Any]:
    operation = paths(convert(settings, FrontendSettings))[path]["get"]
    return {each["name"]: each["schema"] for each in operation["parameters"] if "name" in each}


def test_a_poll_has_the_bounds_of_its_settings() -> None:
    found = parameters(
        "/v1/videos/{video}/poll", max_wait="7s", default_wait="3s", poll_events=9, replay_events=11,
        max_sample_rate=13,
    )  # fmt: skip
    assert found["wait"] == {"type": "number", "minimum": 0, "maximum": 7.0, "default": 3.0}
    assert (found["limit"]["maximum"], found["limit"]["default"]) == (9, 9)
    assert found["replay"]["maximum"] == 11
    assert (found["rate"]["minimum"], found["rate"]["maximum"]) == (1, 13)


def test_streams_and_polls_have_the_same_parameters_but_for_two() -> None:
    stream, poll = parameters("/v1/videos/{video}/events"), parameters("/v1/videos/{video}/poll")
    for name in ("cursor", "Last-Event-ID", "replay", "behind", "types", "rate"):
        assert stream[name] == poll[name]
    assert set(poll) ^ set(stream) == {"wait", "limit"}


def test_patterns_of_delays_and_types() -> None:
    found = parameters("/v1/videos/{video}/events")
    for text in ("0", "5s", "12.5s", "120", "9999.999s"):
        assert re.fullmatch(found["behind"]["pattern"], text), text
    for text in ("", "s", "-1", "05", "1.", "1.2345", "5m", "10000"):
        assert not re.fullmatch(found["behind"]["pattern"], text), text
    assert re.fullmatch(found["types"]["pattern"], "like,comment")
    for text in ("", ",", "like,", "Like", "like comment"):
        assert not re.fullmatch(found["types"]["pattern"], text), text


def test_a_dispatcher_has_the_viewers_route_alone() -> None:
    every = paths(FrontendSettings())
    assert VIEWERS_PATHS.items() <= every.items()
    references = re.findall(r"#/components/schemas/(\w+)", str(VIEWERS_PATHS))
    assert set(references) - {"Problem", "Video"} <= set(VIEWERS_SCHEMAS)
