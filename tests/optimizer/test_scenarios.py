"""The worth of planning by scenarios and the check on fresh ones, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.plan_records import FleetProblem
from data.records import SeriesKey
from data.scenario_records import SampleCheck
from optimizer.sample import sample_check
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem

HOURS = 730.0


def newsvendor(**changes: object) -> FleetProblem:
    """4 or 30 replicas for a month, at 3 USD/GPU-h on demand or 1.4 for a month's block."""
    offers = [offer("A", 3.0), offer("A", 1.4, "block", 1)]
    return problem(demand([[4.0, 30.0]], [0.85, 0.15]), [capacity("A", 1.0)], offers, **changes)


def test_the_value_of_the_stochastic_solution_is_the_newsvendors() -> None:
    found = solve(newsvendor()).stochastic
    assert found is not None
    # Best: commit to what is needed for certain. For mean demand one would commit to 0.85 x 4 + 0.15 x 30 = 7.9.
    best = 4 * 1.4 + 0.15 * 26 * 3.0
    for_the_mean = 7.9 * 1.4 + 0.15 * (30 - 7.9) * 3.0
    assert found.recourse_usd == pytest.approx(best * HOURS, rel=1e-4)
    assert found.mean_demand_usd == pytest.approx(for_the_mean * HOURS, rel=1e-4)
    assert found.value_usd == pytest.approx((for_the_mean - best) * HOURS, rel=1e-3)


def test_a_single_scenario_has_no_such_value() -> None:
    assert solve(problem(demand([[4.0]], [1.0]), [capacity("A", 1.0)], [offer("A", 3.0)])).stochastic is None


def tried(given: FleetProblem, loads: list[float]) -> SampleCheck:
    fresh = demand([loads], [1.0 / len(loads)] * len(loads))
    found = sample_check(given, solve(given), fresh)
    assert found is not None
    return found


def test_fresh_scenarios_cost_what_their_demand_needs() -> None:
    given = problem(demand([[10.0]], [1.0]), [capacity("A", 2.0)], [offer("A", 3.0)], planning_quantile=0.95)
    found = tried(given, [4.0, 6.0, 10.0, 14.0])
    # Replicas may be fractions here: load / 2 GPUs at 3 USD.
    costs = [load / 2 * 3.0 * HOURS for load in (4.0, 6.0, 10.0, 14.0)]
    assert found.planned_usd == pytest.approx(costs[2])
    assert found.mean_usd == pytest.approx(np.mean(costs))
    assert (found.p05_usd, found.p50_usd, found.worst_usd) == pytest.approx((costs[0], costs[1], costs[3]))
    # 5 replicas carry 10: only the last scenario is beyond them, by 4 of 34 requests/s in all.
    assert found.months_over == found.months_short == pytest.approx(0.25)
    assert found.hours_short_per_month == pytest.approx(0.25 * HOURS)
    assert found.unserved_share == pytest.approx(4.0 / 34.0)
    assert found.stated_risk == pytest.approx(0.05)


def test_a_reserve_is_used_before_anything_is_lost() -> None:
    given = problem(demand([[10.0]], [1.0]), [capacity("A", 2.0)], [offer("A", 3.0)], failures_per_pool=1)
    found = tried(given, [9.0, 11.0, 13.0])
    # 5 replicas and a spare: 11 uses the spare, 13 is beyond it.
    assert found.months_over == pytest.approx(2 / 3)
    assert found.months_short == pytest.approx(1 / 3)


def test_commitments_are_paid_whatever_comes() -> None:
    only = problem(demand([[10.0]], [1.0]), [capacity("A", 2.0)], [offer("A", 1.0, "block", 1), offer("A", 3.0)])
    found = tried(only, [0.1, 10.0, 12.0])
    assert found.p05_usd == pytest.approx(5 * HOURS)
    assert found.worst_usd == pytest.approx((5 * 1.0 + 1 * 3.0) * HOURS)


def test_residency_and_alike_series_are_kept_apart() -> None:
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "chat", "us")]
    offers = [offer("A", 1.0, region="eu"), offer("A", 1.0, region="us")]
    base = problem(demand([[4.0]], [1.0], keys), [capacity("A", 2.0)], offers)
    fresh = replace(base.demand, rps=np.array([6.0, 2.0]).reshape(2, 1, 1, 1))
    at_home = replace(base, may_serve={"eu": ("eu",), "us": ("us",)})
    apart, alike = sample_check(at_home, solve(at_home), fresh), sample_check(base, solve(base), fresh)
    assert apart is not None
    assert alike is not None
    assert (apart.months_short, alike.months_short) == (1.0, 0.0)
