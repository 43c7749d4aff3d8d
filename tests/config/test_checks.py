"""Settings that contradict each other are refused."""

from __future__ import annotations

import re

import pytest

from liveserver.config import load
from liveserver.config.checks import MAY_BE_ZERO
from liveserver.errors import ConfigError
from tests.config.test_explain import every_setting


def test_a_short_history_alone_is_no_contradiction() -> None:
    assert float(load(None, ["history.max_age=60s"], {}).history.max_age) == 60.0
    load(None, ["history.max_age=200s", "frontend.max_delay=200s"], {})


def test_a_delay_that_was_set_beyond_the_history_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"frontend\.max_delay"):
        load(None, ["history.max_age=60s", "frontend.max_delay=61s"], {})


def test_quantities_of_zero_are_refused_where_they_make_no_sense() -> None:
    zero = {full for full in every_setting() if refused(f"{full}=0", "must be more than 0")}
    assert {"frontend.heartbeat", "bus.timeout", "canary.interval", "edge.max_body"} < zero
    assert not zero & MAY_BE_ZERO
    kinds = {each for each in every_setting() if refused(f"{each}=soon", "duration|size")}
    assert zero <= kinds
    accepted = {full for full in kinds - zero if not refused(f"{full}=0", "")}
    assert accepted <= MAY_BE_ZERO


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("frontend.heartbeat=inf", "is not a duration"),
        ("frontend.heartbeat=nan", "is not a duration"),
        ("history.max_age=99999999999999999999d", "is too long; at most 36500d"),
        ("edge.max_body=99999999999999999999GiB", "is too large; at most 1048576GiB"),
        ("listen.backlog=99999999999", "is not a whole number, at least 1, at most 1,000,000,000"),
        ("limits.viewers_per_user=99999999999", "at least 0, at most 1,000,000,000"),
    ],
)
def test_quantities_without_bounds_are_refused(override: str, said: str) -> None:
    assert refused(override, re.escape(said))


def refused(override: str, said: str) -> bool:
    try:
        load(None, [override], {})
    except ConfigError as error:
        return re.search(said, str(error)) is not None
    return False
