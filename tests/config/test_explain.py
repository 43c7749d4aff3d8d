"""Errors name the setting and its permitted values, without a library's words."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from liveserver.config import Settings, convert, load
from liveserver.errors import ConfigError

WRONG: list[Any] = [None, True, -1, 1.5, "", "soon", [], [1], {}, {"a": 1}, ["x", 2]]
LIBRARY = re.compile(
    r"Expected|Invalid enum|Object (contains|missing)|msgspec|regex|`(int|str|float|object|array)`"
)


def every_setting() -> list[str]:
    defaults = Settings()
    return [
        f"{section}.{name}"
        for section in defaults.__struct_fields__
        for name in getattr(getattr(defaults, section), "__struct_fields__", ())
    ]


def refusal(tree: Any) -> ConfigError | None:
    try:
        convert(tree, Settings)
    except ConfigError as error:
        return error
    return None


@pytest.mark.parametrize("setting", every_setting())
def test_a_wrong_value_is_explained_with_the_settings_name_and_no_word_of_a_library(setting: str) -> None:
    section, _, name = setting.partition(".")
    errors = [error for value in WRONG if (error := refusal({section: {name: value}})) is not None]
    assert len(errors) >= 4
    assert all(error.where.startswith(setting) for error in errors)
    assert [str(error) for error in errors if LIBRARY.search(str(error))] == []


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("node.log_format=xml", 'node.log_format: \'xml\' is not one of "console", "json"'),
        ("auth.viewers=closed", 'auth.viewers: \'closed\' is not one of "open", "token"'),
        ("node.workers=two", "node.workers: 'two' is not a whole number, at least 1"),
        ("tls.http2=1", "tls.http2: 1 is not true or false"),
        (
            "frontend.heartbeat=600000",
            'frontend.heartbeat: 600000 has no unit; write "600000s" for seconds, or',
        ),
        ("frontend.heartbeat='600000'", "frontend.heartbeat: '600000' has no unit; write \"600000s\""),
        (
            "frontend.dispatchers=http://a",
            "frontend.dispatchers: 'http://a' is not a list, each of it a text",
        ),
        ("dispatcher.lease=3s", "dispatcher.lease: there is no such setting; did you mean max_lease?"),
        (
            "edge.flush_interval=3s",
            "edge.flush_interval: there is no such setting; did you mean frontend.flush_interval?",
        ),
        (
            "auth.publishers.site.keys=3",
            "auth.publishers.site.keys: there is no such setting; did you mean key?",
        ),
        ("peers.dc2.urls=redis://h", "peers.dc2.urls: there is no such setting; did you mean url?"),
        ("bus.kind=redis://me:pa55word@host", "bus.kind: 'redis://me:…@host' is not one of"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(None, [override], {})
    assert str(raised.value).startswith(said)


def test_a_setting_without_a_default_is_reported_missing() -> None:
    with pytest.raises(ConfigError, match=r"^peers\.dc2\.url: is missing"):
        convert({"peers": {"dc2": {}}}, Settings)


def test_a_section_that_is_a_value_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"^edge: is a section; write \[edge\]"):
        convert({"edge": 3}, Settings)
    with pytest.raises(ConfigError, match=r"^peers: is a table"):
        convert({"peers": 3}, Settings)


def test_the_words_are_found_for_the_error_that_the_library_has() -> None:
    with pytest.raises(ConfigError) as raised:
        convert({"edge": {"max_body": "4 tons"}}, Settings)
    assert isinstance(raised.value.__cause__, msgspec.ValidationError)
