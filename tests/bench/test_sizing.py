"""The model's arithmetic, beside what was measured (bench/RESULTS.md, 23 November 2026)."""

from __future__ import annotations

import pytest

from bench.costs import Prices, UnitCosts, core, plan
from bench.sizing import DOCUMENT, EACH_LIKE, TOLERANCE, WITH_SUMS, costs_of, filled

COSTS = UnitCosts()

# Viewers, likes/s: share of the core, writes/s, ages p50 and p99; event streams on the memory bus.
MEASURED = {
    (10_000, 10.0): (0.441, 100_374, 21.9, 50.1),
    (10_000, 100.0): (1.0, 206_578, 27.8, 62.6),
    (10_000, 300.0): (1.0, 165_610, 33.4, 72.4),
}


@pytest.mark.parametrize(("viewers", "rate"), MEASURED)
def test_a_core_is_predicted_within_a_fifth(viewers: int, rate: float) -> None:
    busy, writes, p50, p99 = MEASURED[viewers, rate]
    predicted = core(viewers, rate, COSTS)
    assert predicted.busy == pytest.approx(busy, rel=TOLERANCE)
    assert predicted.writes_per_s == pytest.approx(writes, rel=TOLERANCE)
    assert predicted.p50_ms == pytest.approx(p50, rel=TOLERANCE)
    assert predicted.p99_ms == pytest.approx(p99, rel=TOLERANCE)
    assert predicted.deliveries_per_s == pytest.approx(viewers * rate, rel=1e-6)


def test_a_core_that_gets_more_is_predicted_too() -> None:
    predicted = core(10_000, 600, COSTS)
    assert predicted.writes_per_s == pytest.approx(159_837, rel=TOLERANCE)
    assert predicted.bytes_per_s / predicted.writes_per_s == pytest.approx(6_266, rel=TOLERANCE)
    assert core(10_000, 600, COSTS, COSTS.event_bytes * 0.88).writes_per_s == pytest.approx(
        173_234, rel=TOLERANCE
    )


def test_memory_is_predicted_within_a_fifth() -> None:
    assert core(100_000, 1, COSTS).memory_bytes - 1e8 == pytest.approx(100_000 * 3_624, rel=TOLERANCE)


def test_an_idle_core_costs_nothing_and_a_full_one_everything() -> None:
    assert core(10_000, 0.001, COSTS).busy < 0.001
    rates = [core(10_000, rate, COSTS) for rate in (1, 5, 20, 50, 200, 1_000, 2_000)]
    assert [one.busy for one in rates] == sorted(one.busy for one in rates)
    assert all(one.busy <= 1.0 for one in rates)
    assert rates[0].events_per_write == 1.0
    assert [one.events_per_write for one in rates] == sorted(one.events_per_write for one in rates)


def test_with_half_a_core_there_is_less_than_half_of_the_writes() -> None:
    whole, half = (core(10_000, 300, COSTS, share=share) for share in (1.0, 0.5))
    assert 0.35 < half.writes_per_s / whole.writes_per_s < 0.5  # reading and copying take the same
    assert half.busy == 0.5
    assert half.deliveries_per_s == pytest.approx(whole.deliveries_per_s)


def test_unit_costs_are_those_that_explain_what_was_measured() -> None:
    def figures(rate: int) -> dict[str, float]:
        made = core(10_000, rate, COSTS)
        prefix = f"10000 × {rate}: "
        return {
            f"{prefix}writes_per_s": made.writes_per_s,
            f"{prefix}bytes_per_write": made.bytes_per_s / made.writes_per_s,
            f"{prefix}write_us": 1e6 / made.writes_per_s,
        }

    other = {"event_us": COSTS.event_us, "connect_us": 80.0, "viewer_bytes": 3_660.0, "process_mb": 100.0}
    found = costs_of(other | figures(100) | figures(600))
    assert found.write_us == pytest.approx(COSTS.write_us, rel=0.01)
    assert found.kib_us == pytest.approx(COSTS.kib_us, rel=0.01)
    assert found.event_bytes == pytest.approx(COSTS.event_bytes)


def test_fifty_million_viewers() -> None:
    prices = Prices(core_hour=0.0, gib_hour=0.0, egress_gb=0.01, link_gb=0.0)
    sums = plan(50_000_000, 100, COSTS, prices, datacenters=5)
    each = plan(50_000_000, 100, COSTS, prices, datacenters=5, single_likes=True)
    assert sums.frontend_cores == each.frontend_cores == 5 * 1_300
    assert each.gbit_per_s == pytest.approx(50e6 * 100 * COSTS.event_bytes * 8 / 1e9)
    assert sums.per_hour == pytest.approx(sums.gbit_per_s / 8 * 3600 * 0.01)
    assert each.redis_messages_per_s == 100 * 1_300
    assert sums.redis_busy < each.redis_busy < 1.0
    assert sums.link_mbit_per_s == pytest.approx(2 * 4 * COSTS.sums_bytes * 8 / 1e6)


def test_one_datacenter_has_no_links() -> None:
    small = plan(10_000, 100, COSTS, Prices())
    assert (small.link_mbit_per_s, small.frontend_cores, small.redis_shards) == (0.0, 2, 1)
    assert small.dispatcher_cores == small.backend_cores == 2
    assert small.per_viewer_hour == small.per_hour / 10_000


def test_sums_are_those_that_were_measured() -> None:
    assert COSTS.sums_bytes * COSTS.sums_rate == WITH_SUMS
    assert pytest.approx(COSTS.event_bytes, rel=TOLERANCE) == EACH_LIKE / 102  # its rate was 102 events/s
    assert COSTS.event_bytes * 37.5 == pytest.approx(6_266, rel=0.01)  # of 37.5 events a write


def test_the_document_has_the_tables() -> None:
    page = DOCUMENT.read_text()
    assert filled(page) == page, "python -m bench.sizing --write"
