"""The newest results become tables at their place in the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.__main__ import FULL, QUICK, plan
from bench.report import filled, name_of, newest, read, section
from bench.results import Sheet, by_measure, cell

PAGE = Path(__file__).parent.parent.parent / "bench" / "RESULTS.md"
MACHINE = {
    "cores": 2,
    "cpu": "a CPU",
    "kernel": "6",
    "python": "3.11",
    "versions": {"trio": "1"},
    "load_before": [0.1, 0.2, 0.3],
    "command": "python -m bench.publish",
    "when": "2026-11-23T05:00:00Z",
}


def publish(requests: float) -> dict[str, Any]:
    middle = {"memory, 1 a request": {"requests_per_s": requests}}
    rounds = {"memory, 1 a request": [middle, middle, middle]}
    return {"bench": "publish", "connections": 64, "medians": middle, "rounds": rounds, "machine": MACHINE}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("word", "word"),
        (1234.5, "1,234"),
        (99.44, "99.4"),
        (0.01234, "0.0123"),
        (7.0, "7"),
        (float("nan"), "none"),
    ],
)
def test_a_figure_has_three_digits_that_mean_something(value: float | str | None, text: str) -> None:
    assert cell(value) == text


def test_a_table_in_markdown() -> None:
    sheet = Sheet("title", ["", "a"], [["b", 1.0]])
    assert sheet.markdown() == "title:\n\n|  | a |\n| --- | ---: |\n| b | 1 |\n"


def test_a_measure_without_values_has_no_row() -> None:
    sheet = by_measure("title", {"x": "an x", "y": "a y"}, {"here": {"x": 1.0}, "there": {}})
    assert sheet.rows == [["an x", 1.0, None]]


def test_the_newest_result_is_shown_in_its_place(tmp_path: Path) -> None:
    lines = [json.dumps(publish(requests)) for requests in (100.0, 200.0)]
    (tmp_path / "publish.jsonl").write_text("\n".join(lines) + "\n")
    page = "by hand\n<!-- figures: publish -->\nold\n<!-- end -->\nby hand, too\n"
    found = filled(page, newest(read(tmp_path)))
    assert "| requests/s | 200 |" in found
    assert "medians of 3 rounds" in found
    assert "old" not in found
    assert found.startswith("by hand\n<!-- figures: publish -->\n")
    assert found.endswith("<!-- end -->\nby hand, too\n")
    assert filled(found, newest(read(tmp_path))) == found


def test_a_place_without_figures_says_so() -> None:
    assert "Not measured yet." in filled("<!-- figures: videos -->\n<!-- end -->\n", {})


def test_a_place_keeps_its_figures_where_there_are_no_results() -> None:
    page = "<!-- figures: videos -->\n| 1 |\n<!-- end -->\n<!-- figures: publish -->\nold\n<!-- end -->\n"
    found = filled(page, newest([publish(5.0)]))
    assert found.startswith("<!-- figures: videos -->\n| 1 |\n<!-- end -->\n")
    assert "old" not in found


def test_failed_checks_are_reported() -> None:
    assert "**Wrong:** lost one" in section(publish(1.0) | {"faults": ["lost one"]})


@pytest.mark.parametrize(
    ("result", "name"),
    [
        ({"bench": "headline"}, "headline"),
        ({"bench": "fanout", "transport": "sse", "bus": "memory", "idle_like": {}}, "fanout sse memory lone"),
        ({"bench": "peers", "viewers": 500}, "peers few"),
        ({"bench": "storm", "stampede": True}, "storm stampede"),
    ],
)
def test_variants_have_names_of_their_own(result: dict[str, Any], name: str) -> None:
    assert name_of(result) == name


def test_the_page_has_a_place_for_each_bench_of_the_suite() -> None:
    page = (Path(__file__).parents[2] / "bench" / "RESULTS.md").read_text()
    for step in FULL:
        assert f"<!-- figures: {step.bench}" in page


def test_every_bench_runs_unless_some_are_named() -> None:
    assert plan(QUICK, "") == list(QUICK)
    assert {step.bench for step in plan(FULL, "storm, fanout")} == {"storm", "fanout"}
    with pytest.raises(typer.BadParameter, match="apache: none of fanout"):
        plan(FULL, "apache")


@pytest.mark.parametrize(
    ("result", "name"),
    [
        ({"bench": "peers", "viewers": 10_000, "paced": 10.0}, "peers many"),
        ({"bench": "peers", "viewers": 1_000, "paced": 100.0}, "peers medium"),
        ({"bench": "peers", "viewers": 500}, "peers few"),
        ({"bench": "connections", "viewers": 100_000}, "connections"),
        ({"bench": "connections", "viewers": 1_000_000}, "connections million"),
    ],
)
def test_variants_have_places_of_their_own(result: dict[str, Any], name: str) -> None:
    assert name_of(result) == name
    assert f"<!-- figures: {name} -->" in PAGE.read_text()


def test_a_run_without_rounds_is_one_run() -> None:
    trends = {"frontend 33643": {"MiB": [1.0, 0.5], "descriptors": [0.0, 0.1]}}
    result = {"bench": "soak", "minutes": 60, "viewers": 400, "figures": {"came": 7}, "trends": trends}
    text = section(result | {"machine": MACHINE})
    assert "| frontend | +1.0 ± 0.5 | +0.0 ± 0.1 |" in text
    assert "one run" in text


@pytest.mark.parametrize(
    ("result", "row"),
    [
        (
            {
                "bench": "compression",
                "viewers": 500,
                "medians": {"sums 4/s, stream gzip": {"bytes_per_s": 800.0, "bytes_per_event": 199.6}},
            },
            "| sums 4/s, stream gzip | 800 | 200 |  |",
        ),
        (
            {"bench": "forwarding", "rate": 1000.0, "medians": {"10 frontends, apart": {"event_us": 31.4}}},
            "| Redis' CPU an event, µs | 31.4 |",
        ),
    ],
)
def test_what_a_variant_has_measured_is_in_its_table(result: dict[str, Any], row: str) -> None:
    assert row in section(result | {"machine": MACHINE}).splitlines()
