"""The worth of planning by scenarios and the check on fresh ones, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.plan_records import FleetProblem, Reserves
from data.records import SeriesKey
from data.scenario_records import SampleCheck
from optimizer import sample
from optimizer.sample import sample_check
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem
from tests.optimizer.test_reserves import two_regions

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
    # A GPU at 3 USD for every 2 requests/s.
    costs = [n * 3.0 * HOURS for n in (2, 3, 5, 7)]
    assert found.planned_usd == pytest.approx(costs[2])
    assert found.mean_usd == pytest.approx(np.mean(costs))
    assert (found.p05_usd, found.p50_usd, found.worst_usd) == pytest.approx((costs[0], costs[1], costs[3]))
    # 5 replicas carry 10: only the last scenario is beyond them, by 4 of 34 requests/s in all.
    assert found.months_over == found.months_short == pytest.approx(0.25)
    assert found.hours_short_per_month == pytest.approx(0.25 * HOURS)
    assert found.unserved_share == pytest.approx(4.0 / 34.0)
    assert found.stated_risk == pytest.approx(0.05)


def by_the_node() -> FleetProblem:
    """Nodes of eight GPUs; three scenarios in two months."""
    offers = [offer("A", 1.0), offer("B", 1.3), offer("A", 0.6, "reserved_1y", 12)]
    rows = [capacity("A", 2.0), capacity("B", 5.0, tp=2)]
    wanted = demand([[9.0, 20.0, 31.0], [12.0, 25.0, 44.0]], [0.3, 0.5, 0.2])
    nodes = [replace(one, gpus_per_node=8) for one in offers]
    return problem(wanted, rows, nodes, whole_nodes=True, failures_per_pool=1)


@pytest.mark.parametrize(
    "given",
    [
        by_the_node(),
        two_regions(reserves=Reserves(region_loss=True)),
        # Nobody promises failover of the scenario beyond the quantile.
        two_regions(reserves=Reserves(region_loss=True), planning_quantile=0.6),
        two_regions(),
    ],
    ids=["nodes", "region loss", "region loss to a quantile", "plain"],
)
def test_the_plans_own_scenarios_cost_what_the_plan_says(given: FleetProblem) -> None:
    plan = solve(given)
    found = sample_check(given, plan, given.demand)
    assert found is not None
    cash = sum(cost.cash_usd for cost in plan.costs)
    assert found.planned_usd == found.mean_usd == pytest.approx(cash, rel=0.01)
    assert found.worst_usd == pytest.approx(max(plan.scenario_usd), rel=0.01)


def test_one_node_is_paid_whole_however_little_of_it_is_used() -> None:
    nodes = [replace(offer("A", 1.0), gpus_per_node=8)]
    given = problem(demand([[4.0, 6.0]], [0.5, 0.5]), [capacity("A", 1.0)], nodes, whole_nodes=True)
    found = tried(given, [0.5, 2.0, 5.0, 7.9, 8.1])
    assert (found.p05_usd, found.p50_usd, found.worst_usd) == pytest.approx((8 * HOURS, 8 * HOURS, 16 * HOURS))


def test_what_is_read_off_between_scenarios_is_near_what_each_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    given = two_regions(reserves=Reserves(region_loss=True))
    plan, rng = solve(given), np.random.default_rng(3)
    many = rng.uniform(0.7, 1.3, (3, 2, 1, 80)) * given.demand.rps[..., :1]
    fresh = replace(given.demand, rps=many, probabilities=np.full(80, 1 / 80))
    read = sample_check(given, plan, fresh)
    monkeypatch.setattr(sample, "WHOLE_SCENARIOS", 80)
    each = sample_check(given, plan, fresh)
    assert read is not None
    assert each is not None
    for name in ("mean_usd", "p05_usd", "p50_usd", "p95_usd"):
        assert getattr(read, name) == pytest.approx(getattr(each, name), rel=0.02)
    assert read.mean_usd == pytest.approx(each.mean_usd, rel=0.005)


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
