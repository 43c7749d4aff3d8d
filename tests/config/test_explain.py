"""Errors name the setting and its permitted values, without a library's words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from liveserver.config import Settings, convert, load
from liveserver.config.explain import expected
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


def every_path(
    kind: type[msgspec.Struct], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each setting's path and type, also those of tables whose names are the operator's."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        arguments = get_args(hint)
        yield (*path, name), hint
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from every_path(hint, (*path, name))
        elif get_origin(hint) is dict:
            yield from every_path(arguments[1], (*path, name, "dc9"))


def test_no_wrong_value_at_any_depth_is_explained_in_a_librarys_words() -> None:
    count = 0
    for path, _ in every_path(Settings):
        for value in [*WRONG, 10**30, math.inf, math.nan, "\x00", {"a": {"b": 1}}]:
            tree: Any = value
            for name in reversed(path):
                tree = {name: tree}
            error = refusal(tree)
            count += error is not None
            assert error is None or not LIBRARY.search(str(error)), (path, value)
    assert count > 2_000


def patterns(hint: Any) -> Iterator[Any]:
    """Each part of a type that is a text of a certain form."""
    notes = getattr(hint, "__metadata__", ())
    if any(isinstance(note, msgspec.Meta) and note.pattern for note in notes):
        yield hint
    for each in get_args(hint):
        yield from patterns(each)


def test_each_form_of_a_text_is_described() -> None:
    forms = {".".join(path): form for path, hint in every_path(Settings) for form in patterns(hint)}
    assert len(forms) > 10
    assert [name for name, form in forms.items() if "a text in quotes" in expected(form)] == []


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
        ("recorder.s3_bucket=b", "recorder.s3_bucket: 'b' is not a bucket's name: 3 to 63 of"),
        (
            'backend.reactions=["Heart"]',
            "backend.reactions: ['Heart'] is not a list, each of it 1 to 32 of a-z",
        ),
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
