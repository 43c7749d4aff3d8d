"""Settings that contradict each other are refused."""

from __future__ import annotations

import pytest

from liveserver.config import load
from liveserver.errors import ConfigError


def test_a_short_history_alone_is_no_contradiction() -> None:
    assert float(load(None, ["history.max_age=60s"], {}).history.max_age) == 60.0
    load(None, ["history.max_age=200s", "frontend.max_delay=200s"], {})


def test_a_delay_that_was_set_beyond_the_history_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"frontend\.max_delay"):
        load(None, ["history.max_age=60s", "frontend.max_delay=61s"], {})
