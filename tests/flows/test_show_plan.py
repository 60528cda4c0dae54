"""What the terminal says of a plan."""

from __future__ import annotations

from dataclasses import replace

from data.plan_records import Baseline, Reserves
from flows.show import one_type
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem


def test_a_saving_is_said_of_fleets_that_keep_the_promise_and_of_no_fleet_that_the_plan_itself_is() -> None:
    rows, offers = [capacity("A", 2.0), capacity("B", 5.0)], [offer("A", 1.0), offer("B", 2.4)]
    mixed = solve(problem(demand([[11.0]], [1.0]), rows, offers))
    # 1 B and 3 A carry 11 for 5.4; 6 A for 6; 3 B for 7.2.
    assert one_type(mixed) == "10.0% cheaper than the best fleet of one GPU type (A only)"
    broken = tuple(replace(one, serves_promise=False) for one in mixed.baselines)
    assert one_type(replace(mixed, baselines=broken)).startswith("No fleet of one GPU type")
    two = [offer("A", 1.0), offer("A", 1.0, region="s")]
    lone = solve(problem(demand([[11.0]], [1.0]), rows[:1], two, reserves=Reserves(region_loss=True)))
    assert one_type(lone) == "As cheap as the best fleet of one GPU type (A only)"
    rule = Baseline("A only", 2.0 * lone.stats.objective_usd, 0.5, True)
    assert one_type(replace(lone, baselines=(rule,))) == "The plan is a fleet of one GPU type itself (A)"
    assert one_type(replace(lone, baselines=())) == ""
