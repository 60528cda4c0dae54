"""The plan is never worse than simpler rules, and says what they would pay; rules have prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.plan_records import FleetProblem, Reserves
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem


def drawn(seed: int) -> FleetProblem:
    rng = np.random.default_rng(seed)
    rows = [capacity(g, float(rng.uniform(0.5, 6.0)), int(rng.choice([1, 2]))) for g in "ABC"]
    offers = [offer(g, float(rng.uniform(0.5, 6.0))) for g in "ABC"]
    offers += [offer(g, float(rng.uniform(0.3, 4.0)), "reserved_1y", 12) for g in "AC"]
    load = np.sort(rng.uniform(2.0, 30.0, (2, 2)), axis=1)
    return problem(demand(load.tolist(), [0.6, 0.4]), rows, offers, failures_per_pool=int(rng.integers(0, 2)))


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_never_worse_than_any_baseline(seed: int) -> None:
    plan = solve(drawn(seed))
    names = {one.name for one in plan.baselines}
    assert {"relaxation rounded up", "cheapest goodput first"} <= names
    assert any(name.endswith(" only") for name in names)
    for one in plan.baselines:
        assert plan.stats.objective_usd <= one.objective_usd * (1 + 1e-6)
        assert one.saving == pytest.approx(1 - plan.stats.objective_usd / one.objective_usd, abs=1e-6)


def test_the_best_single_type_is_what_planning_it_alone_costs() -> None:
    """One configuration a GPU and no choice left: the rule's fleet is the optimum of the problem cut to that GPU."""
    whole = problem(
        demand([[7.3]], [1.0]), [capacity("A", 2.0), capacity("B", 5.0)], [offer("A", 1.0), offer("B", 2.6)]
    )
    plan = solve(whole)
    found = {one.name: one.objective_usd for one in plan.baselines}
    for gpu in "AB":
        alone = replace(whole, capacities=tuple(c for c in whole.capacities if c.configuration.gpu == gpu))
        assert found[f"{gpu} only"] == pytest.approx(solve(alone).stats.objective_usd, rel=1e-6)
    # 1 B and 2 A carry 9 for 4.6; 4 A carry 8 for 4; 2 B carry 10 for 5.2.
    assert plan.stats.objective_usd == pytest.approx(4 * 730.0, abs=1.0)


def test_rules_are_priced_by_what_the_relaxation_saves_without_them() -> None:
    held = Reserves(warm_share=0.5)
    base = problem(demand([[8.0]], [1.0]), [capacity("A", 2.0)], [offer("A", 1.0)], reserves=held, failures_per_pool=1)
    prices = {one.rule: one.usd for one in solve(base).rule_prices}
    # 4 replicas of load: half as many again are kept warm, one more for N+1, at 730 USD a month each.
    assert prices["warm replicas"] == pytest.approx(2 * 730.0, rel=0.02)
    assert 0.0 < prices["N+k"] <= 730.0 * 1.001


def test_a_quota_that_does_not_bind_costs_nothing() -> None:
    base = problem(demand([[8.0]], [1.0]), [capacity("A", 2.0)], [offer("A", 1.0)], quotas={("r", "A"): 1000})
    assert {one.rule: one.usd for one in solve(base).rule_prices}["quotas"] == pytest.approx(0.0, abs=1e-6)
