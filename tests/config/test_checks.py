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


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("frontend.leese=3", "frontend.leese: there is no such setting; did you mean lease?"),
        ("frontend.xyz=3", "frontend.xyz: there is no such setting"),
        ("frontent.lease=3", "frontent: there is no such setting; did you mean frontend?"),
        ("frontend.lease=soon", 'frontend.lease: \'soon\' is not a duration like "20ms", "15s" or "5m"'),
        ("frontend.lease=-1", "frontend.lease: -1 is not a duration"),
        ("edge.max_body=4 tons", "edge.max_body: '4 tons' is not a size like"),
        ("listen.public=8000", "listen.public: 8000 is not an address like 127.0.0.1:8000"),
        ("listen.public=localhost:99999", "listen.public: 'localhost:99999' is not an address"),
        ("node.workers=0", "node.workers: 0 is not a whole number, at least 1"),
        ("lease=3", "--set lease: write it as section.name=value"),
        ("frontend.lease", "--set frontend.lease: write it as section.name=value"),
        ("node.roles=[]", "node.roles: is empty; name at least one of"),
        ("node.workers=2", 'node.workers: more than one needs bus.kind = "redis"'),
        ('node.roles=["frontend"]', "frontend.dispatchers: is empty"),
        ('node.roles=["backend"]', "backend.dispatchers: is empty"),
        ('backend.dispatchers=["dc1-di1:8111"]', "backend.dispatchers: 'dc1-di1:8111' is not a URL"),
        ("backend.batch_events=1001", "backend.batch_events: is over dispatcher.max_events"),
        ("listen.public=0.0.0.0:80", "listen.public: 0.0.0.0:80 is reachable from outside"),
        ("frontend.retry_min=9s", "frontend.retry_min: is over frontend.retry_max"),
        ("frontend.lease=1h", "frontend.lease: is over dispatcher.max_lease"),
        ("relay.retry_min=9s", "relay.retry_min: is over relay.retry_max"),
        ("peers.dc2=redis://host", "write it as section.name=value, peers.dc2.url=redis://… for example"),
        ("peers.dc2.url=redis://host", 'peers: need bus.kind = "redis"'),
        ("peers.dc1.url=redis://host", "peers.dc1: is this datacenter itself"),
        ("peers.dc2.url=", "peers.dc2.url: '' is not a text in quotes, and not empty"),
        ("peers.DC2.url=redis://host", "peers: the name 'DC2' is not 1 to 16 of a-z 0-9"),
    ],
)
def test_invalid_settings_are_refused_by_name(override: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, [override], {})


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["peers.dc2.url=host:6379/0"], "peers.dc2.url: 'host:6379/0' is not a URL like redis://"),
        (["peers.dc2.url=redis://h", 'node.roles=["frontend"]', "frontend.dispatchers=[\"http://d\"]"],
         "peers: are for dispatchers only"),
        ([f"peers.datacenter{n}.url=redis://h" for n in range(5)], "peers: are so many that a cursor"),
    ],
)  # fmt: skip
def test_invalid_peers_are_refused(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, ["bus.kind=redis", *overrides], {})
