"""What the procurement view says, against plans made without the order and figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.plan_records import FleetProblem, HeldCommitment
from data.procurement_records import Order
from optimizer.commitments import commitment_usd
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem

HOURS = 730.0


def one_gpu(loads: list[float], term_usd: float = 1.0, **changes: object) -> FleetProblem:
    """Replicas of one GPU and rate 1: on demand at 2 USD/GPU-h, or for a year at `term_usd`."""
    offers = [offer("A", 2.0), offer("A", term_usd, "reserved_1y", 12)]
    return problem(demand([[x] for x in loads], [1.0]), [capacity("A", 1.0)], offers, **changes)


def ordered(given: FleetProblem, action: str) -> list[Order]:
    return [one for one in solve(given).procurement.orders if one.action == action]


def test_an_order_due_now_says_by_when_and_what_waiting_costs() -> None:
    given = one_gpu([3.0, 3.0, 3.0], residual_value=0.9)
    (one,) = ordered(given, "buy")
    assert (one.gpus, one.starts, one.order_by) == (3, "2027-01", "2027-01-01")
    assert one.usd_of_term == pytest.approx(3 * 1.0 * HOURS * 12)
    # A month on demand, and the same commitment a month later.
    later = 3 * (2.0 * HOURS + commitment_usd(given, 1.0, 12, 1) - commitment_usd(given, 1.0, 12, 0))
    assert one.regret_usd == pytest.approx(later, abs=1e-3)
    assert solve(given).procurement.wait_usd == pytest.approx(later, abs=1e-3)


def test_growth_is_ordered_later_and_by_its_lead_time() -> None:
    given = one_gpu([2.0, 2.0, 2.0, 5.0, 5.0], residual_value=0.9, lead_time_months={"reserved_1y": 2})
    (now,), (later,) = ordered(given, "buy"), ordered(given, "defer")
    assert (now.gpus, now.starts, now.order_by) == (2, "2027-03", "2027-01-01")
    assert (later.gpus, later.starts, later.order_by) == (3, "2027-04", "2027-02-01")


def test_what_is_not_bought_says_what_one_of_it_would_cost() -> None:
    given = one_gpu([3.0, 3.0], term_usd=1.9, residual_value=0.5)
    (one,) = ordered(given, "drop")
    assert (one.gpus, one.order_by, one.starts) == (0, "", "")
    displaced = 2 * 2.0 * HOURS
    assert one.regret_usd == pytest.approx(commitment_usd(given, 1.9, 12, 0) - displaced, abs=1e-3)


def test_where_nothing_else_is_sold_waiting_has_no_price() -> None:
    only = [offer("A", 1.0, "reserved_1y", 12)]
    given = problem(demand([[3.0], [3.0]], [1.0]), [capacity("A", 1.0)], only)
    found = solve(given).procurement
    assert [one.regret_usd for one in found.orders if one.action == "buy"] == [inf]
    assert found.wait_usd == inf


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_waiting_costs_what_a_plan_that_must_wait_costs_more(seed: int) -> None:
    """With one configuration nothing but supply can change, so the regret is exact: solve again, a month of lead on."""
    rng = np.random.default_rng(seed)
    loads = np.sort(rng.integers(1, 12, (3, 2)), axis=1).astype(float)
    offers = [offer("A", 3.0), offer("A", float(rng.uniform(0.5, 3.0)), "reserved_1y", 12)]
    offers += [offer("A", float(rng.uniform(0.5, 3.0)), "reserved_3y", 36)]
    given = problem(demand(loads.tolist(), [0.5, 0.5]), [capacity("A", 1.0)], offers, residual_value=0.9)
    plan, waiting = solve(given), solve(replace(given, commitment_lead_time_months=1))
    regret = waiting.stats.objective_usd - plan.stats.objective_usd
    assert plan.procurement.wait_usd == pytest.approx(regret, rel=1e-5, abs=0.05)


def test_coverage_utilisation_and_expiry() -> None:
    held = (HeldCommitment("r", "A", 4, 0.5, "2027-03"), HeldCommitment("r", "A", 1, 0.5, "2028-01"))
    given = one_gpu([2.0, 6.0, 3.0], term_usd=9.0, held=held)
    found = solve(given).procurement
    rows = {row.month: row for row in found.coverage}
    assert [rows[m].utilisation for m in sorted(rows)] == pytest.approx([2 / 5, 1.0, 1.0])
    assert [rows[m].coverage for m in sorted(rows)] == pytest.approx([1.0, 5 / 6, 1 / 3])
    assert [rows[m].on_demand_gpus for m in sorted(rows)] == [0, 1, 2]
    first, second = found.commitments
    assert (first.expires, first.needed_after, first.renew_by) == ("2027-03", 3, "2027-03-01")
    assert first.utilisation == pytest.approx((2 / 4 + 4 / 4) / 2)
    assert (second.expires, second.needed_after) == ("2028-01", None)
    assert second.utilisation == pytest.approx((0 + 1 + 1) / 3)
    (lapsing,) = (one for one in found.orders if one.option == "held")
    assert (lapsing.action, lapsing.gpus, lapsing.order_by) == ("drop", 4, "2027-03-01")
    assert "2 on demand" in lapsing.reason


def test_what_runs_out_is_dated() -> None:
    held = (HeldCommitment("r", "A", 3, 0.5, "2029-01"),)
    given = one_gpu([2.0, 4.0], term_usd=9.0, held=held, quotas={("r", "A"): 8})
    outs = {one.limit: one for one in solve(given).procurement.run_outs}
    assert (outs["commitments"].month, outs["commitments"].limit_gpus, outs["commitments"].used_gpus) == (
        "2027-02", 3, 4,
    )  # fmt: skip
    # Demand doubles a month: 4, then 8, where the quota leaves no room for a ninth.
    assert (outs["quota"].month, outs["quota"].extrapolated) == ("2027-03", True)
    assert not outs["commitments"].extrapolated


def test_a_flat_fleet_far_from_its_quota_never_runs_out() -> None:
    found = solve(one_gpu([2.0, 2.0], quotas={("r", "A"): 80})).procurement
    assert found.run_outs == ()
    assert all(isnan(row.utilisation) for row in found.coverage if not row.committed_gpus)
