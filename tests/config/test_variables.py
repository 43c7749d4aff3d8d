"""Settings from the environment; a variable that is almost a setting's is refused with the right name."""

from __future__ import annotations

import pytest

from liveserver.config import Settings, load, unknown_in
from liveserver.errors import ConfigError
from tests.config.test_explain import every_setting


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("LIVESERVER_BUS_URL", "is not a setting; write LIVESERVER_BUS__URL, two underscores"),
        ("LIVESERVER_BUS_URI", "is not a setting; write LIVESERVER_BUS__URL, two underscores"),
        ("LIVESERVER_HISTORY_MAX_AGE", "is not a setting; write LIVESERVER_HISTORY__MAX_AGE, "),
        ("LIVESERVER_NODE_DRAIN_TIMEOUTS", "is not a setting; write LIVESERVER_NODE__DRAIN_TIMEOUT, "),
        ("LIVESERVER_AUTH_SECRET_FILE", "is not a setting; write LIVESERVER_AUTH__SECRET_FILE, "),
        ("LIVESERVER_OPS_XYZZY_PLUGH", "is not a setting; write LIVESERVER_SECTION__NAME, "),
        ("LIVESERVER_BUSS__URL", "there is no section 'buss'; write LIVESERVER_BUS__URL"),
        ("LIVESERVER_BUS_URL__", "there is no section 'bus_url'; write LIVESERVER_BUS__URL"),
        ("LIVESERVER__BUS__URL", "there is no section '_bus'; write LIVESERVER_BUS__URL"),
        ("LIVESERVER_REDIS__URL", "there is no section 'redis'; write LIVESERVER_"),
        ("liveserver_bus__kind", "settings' variables are in capitals; write LIVESERVER_BUS__KIND"),
        ("Liveserver_Bus__Kind", "settings' variables are in capitals; write LIVESERVER_BUS__KIND"),
        ("LIVE_SERVER_BUS__KIND", "is not a setting; write LIVESERVER_BUS__KIND, "),
        ("LIVESERVR_BUS__KIND", "is not a setting; write LIVESERVER_BUS__KIND, "),
    ],
)
def test_a_mistyped_variable_is_refused_with_the_right_one(variable: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(None, (), {variable: "1"})
    assert str(raised.value).startswith(f"environment variable {variable}: {said}")


def test_each_setting_with_one_underscore_is_refused_with_its_name() -> None:
    for setting in every_setting():
        section, _, name = setting.partition(".")
        with pytest.raises(ConfigError, match=f"LIVESERVER_{section}__{name}".upper()):
            load(None, (), {f"LIVESERVER_{section}_{name}".upper(): "1"})


OTHERS = [
    "LIVESERVER_TOKEN", "LIVESERVER_OPS_KEY", "LIVESERVER_TRACEBACK", "LIVESERVER_PORT_8000_TCP_ADDR",
    "LIVESERVER_SERVICE_HOST", "LIVESERVER_PORT", "LIVESERVER_FRONTEND_PORT",
    "LIVESERVER_DISPATCHER_PORT_8000_TCP", "LIVESERVER_OPS_SERVICE_PORT_HTTP", "LIVE", "LIVEKIT_URL",
]  # fmt: skip


@pytest.mark.parametrize("variable", [*OTHERS, "LIVESERVER_X"])
def test_other_variables_are_left_alone(variable: str) -> None:
    """Those of commands, and those that Kubernetes sets for a service of this name."""
    assert load(None, (), {variable: "1"}) == Settings()


def test_what_begins_like_a_setting_is_reported() -> None:
    others = dict.fromkeys(
        [*OTHERS, "LIVESERVER_X", "LIVESERVER_REDIS_URL", "LIVESERVER_BUS__URL", "PATH"], "1"
    )
    assert unknown_in(others) == ["LIVESERVER_REDIS_URL", "LIVESERVER_X"]
