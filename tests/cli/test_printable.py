"""External text cannot control the terminal, in any command."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from liveserver.cli.printable import printable, printable_json
from liveserver.cli.rows import Row
from liveserver.cli.top import table
from liveserver.cli.watch import _json_line, _status, describe
from liveserver.client import Bye, Disconnected, Event, Gap, Item, Ready, Viewers

EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202ecba\u2066\u2028\u200f\ue000\x00[red]b"

ITEMS: list[Item] = [
    Event(EVIL, EVIL, EVIL, EVIL, 1, {EVIL: [EVIL]}, EVIL),
    Event("1", "v", "like", at=2**62, data=msgspec.Raw(b'{"n":\n1e999}')),
    Ready(EVIL, EVIL),
    Gap(EVIL),
    Viewers(1, 2, 3),
    Bye(EVIL),
    Disconnected(EVIL, EVIL, 1.0),
]


@given(st.text(st.characters(exclude_categories=())))
def test_unprintable_characters_are_replaced(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(before == after for before, after in zip(text, shown, strict=True) if before.isprintable())


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_values, st.sampled_from([None, 1]))
def test_json_stays_the_same_value_on_one_printable_line(value: Any, indent: int | None) -> None:
    shown = printable_json(json.dumps(value, ensure_ascii=False, indent=indent))
    assert shown.isprintable()
    assert json.loads(shown) == value


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_watch_shows_items_on_one_printable_line(item: Item) -> None:
    assert describe(item).isprintable()
    line = _json_line(item)
    assert line is None or line.isprintable()


def test_watch_writes_json_unchanged() -> None:
    line = _json_line(ITEMS[0])
    assert line is not None
    assert json.loads(line)["data"]["data"] == {EVIL: [EVIL]}


def test_the_status_line_of_watch_is_printable() -> None:
    class Watcher:
        url, transport, cursor = EVIL, "sse", EVIL

    class Recent:
        def delay(self) -> None:
            return None

        def rate(self) -> float:
            return 1.0

    assert _status(Watcher(), "v", EVIL, Recent()).isprintable()  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [Row("u", EVIL, EVIL), Row("u", EVIL, trouble=EVIL), Row(EVIL, trouble=EVIL)])
def test_top_shows_nodes_with_printable_names_and_no_markup(row: Row) -> None:
    console = Console(file=io.StringIO(), width=400, force_terminal=False)
    console.print(table([row, row], 400))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert written.replace("\n", "").isprintable()
    assert "[red]b" in written
