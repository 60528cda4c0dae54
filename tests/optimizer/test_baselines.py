"""The plan is never worse than simpler rules, and says what they would pay; rules have prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.plan_records import ApiOffer, FleetProblem, Reserves
from data.records import SeriesKey
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


def three_places(**changes: object) -> FleetProblem:
    """9 requests/s in each of three regions that may serve for one another; A alone holds the SLO, 3 a replica."""
    keys = [SeriesKey("m", "chat", region) for region in "xyz"]
    offers = [offer("A", usd, region=region) for region, usd in zip("xyz", (1.0, 1.1, 1.2), strict=True)]
    return problem(demand([[9.0]], [1.0], keys), [capacity("A", 3.0)], offers, **changes)


def test_a_rule_keeps_the_failover_that_the_plan_keeps_and_saves_nothing_on_the_same_gpu() -> None:
    plan = solve(three_places(reserves=Reserves(region_loss=True)))
    # Any two regions hold 9 replicas: 5 + 5 + 4, the fewest in the dearest.
    best = min(
        (a * 1.0 + b * 1.1 + c * 1.2) * 730.0
        for a in range(12) for b in range(12) for c in range(12)
        if min(a + b, a + c, b + c) >= 9
    )  # fmt: skip
    assert sum(cost.cash_usd for cost in plan.costs) == pytest.approx(best, abs=1e-3)
    (only,) = (one for one in plan.baselines if one.name == "A only")
    assert only.serves_promise
    assert only.saving == pytest.approx(0.0, abs=1e-4)
    for one in plan.baselines:
        # Nobody pays for a broken promise: what a rule costs is the cash of its fleet.
        assert one.serves_promise
        assert one.objective_usd < 2.0 * best


def test_a_rule_whose_failover_a_quota_stops_does_not_keep_the_promise() -> None:
    offers = {"quotas": {("x", "A"): 4, ("y", "A"): 4, ("z", "A"): 4}}
    plan = solve(three_places(reserves=Reserves(region_loss=True), **offers))
    assert plan.exposures
    assert not any(one.serves_promise for one in plan.baselines)


def test_a_rule_buys_from_an_api_what_finds_no_place_and_weighs_it_or_says_that_it_does_not() -> None:
    per_request = 0.5 * 730.0 / (3.0 * 730.0 * 3600.0)
    cheap = {("m", "chat"): ApiOffer(per_request, 7.0)}
    # The API costs half of a full replica, up to 7 requests/s: 7 replicas hold 21 of 27, the API takes the other 6.
    plan = solve(three_places(api=cheap))
    best = (6.0 * 3600.0 * per_request + 7 * 1.0) * 730.0
    assert plan.costs[0].cash_usd == pytest.approx(best, abs=1e-2)
    found = {one.name: one for one in plan.baselines}
    assert found["A only"].saving == pytest.approx(0.0, abs=1e-4)
    assert found["cheapest goodput first, without the API"].objective_usd == pytest.approx(9 * 730.0, abs=1.0)
    # No room for more than 6 replicas: the rest is bought, not shed.
    dear = {("m", "chat"): ApiOffer(100 * per_request, 50.0)}
    short = solve(three_places(api=dear, quotas={("x", "A"): 2, ("y", "A"): 2, ("z", "A"): 2}))
    assert short.shortfalls == ()
    assert all(one.serves_promise for one in short.baselines)
    assert {one.name for one in short.baselines} >= {"A only", "cheapest goodput first"}
