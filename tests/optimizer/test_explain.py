"""Shadow prices against planning again with one more request, and contradictions against the rules that make them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.plan_records import FleetProblem
from data.records import SeriesKey
from optimizer.rules import relaxed_usd
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem


def two_series() -> FleetProblem:
    keys = [SeriesKey("m", "chat", "r"), SeriesKey("n", "chat", "r")]
    rows = [capacity("A", 2.0), capacity("B", 5.0), capacity("B", 3.0, llm="n")]
    offers = [offer("A", 1.0), offer("B", 1.7), offer("B", 1.1, "reserved_1y", 12)]
    return problem(demand([[10.3, 14.2], [12.2, 19.7]], [0.7, 0.3], keys), rows, offers)


def test_a_marginal_request_costs_what_the_relaxation_pays_for_it() -> None:
    given = two_series()
    plan = solve(given)
    mean = (0.7 * 22.5 + 0.3 * 33.9) / 2.0
    for k, key in enumerate(given.demand.series):
        rps = given.demand.rps.copy()
        rps[k] *= 1.0 + 1e-3
        more = relaxed_usd(replace(given, demand=replace(given.demand, rps=rps))) - relaxed_usd(given)
        (one,) = (found for found in plan.marginal if found.where == str(key))
        assert one.mean == pytest.approx(mean)
        assert one.usd_per_unit == pytest.approx(more / (1e-3 * mean), rel=1e-3)


def test_alike_series_have_one_marginal_price() -> None:
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "chat", "us")]
    offers = [offer("A", 1.0, region="eu"), offer("A", 1.0, region="us")]
    plan = solve(problem(demand([[4.0]], [1.0], keys), [capacity("A", 2.0)], offers))
    assert {one.where for one in plan.marginal} == {str(key) for key in keys}
    assert np.ptp([one.usd_per_unit for one in plan.marginal]) == 0.0


def scarce(**changes: object) -> FleetProblem:
    """6 GPUs are needed with N+1 and 5 without; the quota is 5. A budget and a share are on and harmless."""
    base = problem(demand([[10.0]], [1.0]), [capacity("A", 2.0)], [offer("A", 1.0)], budget_usd_per_month=1e6)
    harmless = replace(base, on_demand_share_min=0.1)
    return replace(replace(harmless, failures_per_pool=1, quotas={("r", "A"): 5}), **changes)  # type: ignore[arg-type]


def test_rules_that_contradict_are_named_and_no_others() -> None:
    plan = solve(scarce())
    assert plan.shortfalls
    assert plan.conflict == ("N+k", "quotas")
    for lifted in (scarce(failures_per_pool=0), scarce(quotas={})):
        assert not solve(lifted).shortfalls
        assert solve(lifted).conflict == ()


def test_residency_against_a_quota() -> None:
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "chat", "us")]
    offers = [offer("A", 1.0, region="eu"), offer("A", 1.0, region="us")]
    at_home = {"eu": ("eu",), "us": ("us",)}
    base = problem(demand([[6.0]], [1.0], keys), [capacity("A", 2.0)], offers, quotas={("eu", "A"): 2})
    assert solve(replace(base, may_serve=at_home)).conflict == ("residency", "quotas")
    assert solve(base).conflict == ()


def test_no_rule_is_blamed_for_what_no_hardware_can_do() -> None:
    plan = solve(replace(scarce(), capacities=()))
    assert plan.shortfalls
    assert plan.conflict == ()
