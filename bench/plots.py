"""Plots of the results as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.results import cell

PERCENTILES = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99"}
PEERS = {
    "deliveries_per_s": "deliveries/s, saturated",
    "bytes_per_viewer": "bytes an idle viewer",
    "cpu_s_per_million": "CPU s a million deliveries",
}
DPI = 80


def draw(results: dict[str, dict[str, Any]], folder: Path) -> list[Path]:
    """Draw a plot for each kind of result; return them by their names in report.py."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    fanouts = {name: result for name, result in results.items() if len(curve(result)) > 1}
    if fanouts:
        drawn.append(fanout(list(fanouts.values()), folder / "fanout.png"))
    for name, result in results.items():
        if result["bench"] == "peers" and result["medians"]:
            drawn.append(peers(result, folder / f"{name.replace(' ', '-')}.png"))
    return drawn


def curve(result: dict[str, Any]) -> list[tuple[float, dict[str, float]]]:
    """Return likes/s and what was measured at each rate, in order; empty for another bench."""
    if result["bench"] != "fanout":
        return []
    parts = result.get("medians", {}).items()
    return sorted((float(name.split()[0]), part) for name, part in parts if name.endswith("likes/s"))


def fanout(results: Sequence[dict[str, Any]], path: Path) -> Path:
    """Plot ages and deliveries by the rate of likes: a row for each transport and bus."""
    figure = Figure(figsize=(9, 3.2 * len(results)), layout="constrained")
    for row, result in enumerate(results):
        points = curve(result)
        rates = [rate for rate, _ in points]
        who = f"{result['viewers']:,} viewers by {result['transport']}, {result['bus']} bus"
        ages = figure.add_subplot(len(results), 2, 2 * row + 1, title=who, xlabel="likes/s", ylabel="age, ms")
        for name, what in PERCENTILES.items():
            ages.plot(rates, [part[name] for _, part in points], marker="o", label=what)
        ages.set_xscale("log")
        ages.set_ylim(bottom=0)
        ages.legend()
        sums = figure.add_subplot(len(results), 2, 2 * row + 2, xlabel="likes/s", ylabel="per second")
        for name, what in (("deliveries_per_s", "deliveries"), ("writes_per_s", "writes")):
            sums.plot(rates, [part[name] for _, part in points], marker="o", label=what)
        sums.set_xscale("log")
        sums.set_yscale("log")
        sums.legend()
    figure.savefig(path, dpi=DPI)
    return path


def peers(result: dict[str, Any], path: Path) -> Path:
    """Plot deliveries and their cost as bars, one for each server."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    names = list(result["medians"])
    figure.suptitle(f"{result['viewers']:,} viewers of one video, one core each")
    for index, (measure, what) in enumerate(PEERS.items(), 1):
        axes = figure.add_subplot(1, len(PEERS), index, xlabel=what)
        values = [result["medians"][name].get(measure, 0.0) for name in names]
        colours = ["tab:red" if "liveserver" in name else "tab:gray" for name in names]
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, labels=[cell(value) for value in values], padding=2, fontsize=8)
        axes.margins(x=0.4)
        axes.set_xticks([])
        axes.invert_yaxis()
        if index > 1:
            axes.set_yticklabels([])
    figure.savefig(path, dpi=DPI)
    return path
