"""Sites, churn and lots against brute force, and what a plan says of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.plan_records import Facility, FleetProblem, HeldCommitment, Reserves, VolumeTier
from data.records import SeriesKey
from optimizer import strategy
from optimizer.rules import relaxed_usd, switches
from optimizer.sample import sample_check
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem

HOURS = 730.0


def two_kinds(load: float, **changes: object) -> FleetProblem:
    """A is cheap and hungry, B dear and frugal."""
    rows = [capacity("A", 2.0), capacity("B", 3.0)]
    return problem(demand([[load]], [1.0]), rows, [offer("A", 1.0), offer("B", 2.1)], **changes)


@settings(max_examples=20)
@given(st.floats(1.0, 20.0), st.floats(2.0, 12.0), st.sampled_from([1.0, 1.3]), st.sampled_from([0, 1]))
def test_a_fleet_within_its_power_equals_brute_force(load: float, power_kw: float, pue: float, k: int) -> None:
    watts = {"A": 700.0, "B": 450.0}
    best = inf
    for a, b in product(range(15), repeat=2):
        carried = 2.0 * max(a - k, 0) + 3.0 * max(b - k, 0)
        if carried >= load - 1e-9 and pue * (a * watts["A"] + b * watts["B"]) <= 1e3 * power_kw:
            best = min(best, (a * 1.0 + b * 2.1) * HOURS)
    site = {"r": Facility(1e3 * power_kw, pue, watts)}
    plan = solve(two_kinds(load, facilities=site, failures_per_pool=k))
    if best == inf:
        assert plan.shortfalls
    else:
        assert plan.shortfalls == ()
        assert sum(cost.on_demand_usd for cost in plan.costs) == pytest.approx(best, abs=1e-3)


def test_power_that_is_too_little_is_named_with_its_price_and_its_remedy() -> None:
    given = two_kinds(10.0, facilities={"r": Facility(2000.0, 1.25, {"A": 700.0, "B": 400.0})}, failures_per_pool=1)
    plan = solve(given)
    # 2 kW at the meter feed 1.6 kW of servers: 4 of B, one of them a reserve, 9 of 10 requests/s.
    (short,) = plan.shortfalls
    assert short.worst_rps == pytest.approx(1.0, abs=1e-6)
    assert (short.cause, short.remedy) == ("the power of r is used up", "raise it by 0.5 kW")
    assert plan.conflict == ("N+k", "power")
    (bound,) = (one for one in plan.binding if one.name == "power")
    assert (bound.where, bound.limit, bound.unit) == ("r", 2.0, "kW")
    assert bound.shadow_usd_per_unit > 0.0
    assert {one.rule: one.usd for one in plan.rule_prices}["power"] > 0.0
    raised = {"r": replace(given.facilities["r"], power_w=2500.0)}
    assert solve(replace(given, facilities=raised)).shortfalls == ()
    free = solve(replace(given, facilities={}))
    assert free.shortfalls == ()
    assert "power" not in {one.rule for one in free.rule_prices}


def test_racks_hold_what_is_held_and_what_is_bought() -> None:
    held = (HeldCommitment("r", "A", 2, 0.5, "2028-01"),)
    site = Facility(racks=1.5, gpus_per_rack=4)
    plan = solve(two_kinds(12.0, facilities={"r": site}, held=held))
    # Two of A stand there; of the four places left, two of A and two of B would carry 14, three and one 13.
    gpus = {pool.configuration.gpu: pool.gpus for pool in plan.pools}
    assert gpus == {"A": 6}
    more = solve(two_kinds(13.0, facilities={"r": site}, held=held))
    assert {pool.configuration.gpu: pool.gpus for pool in more.pools} == {"A": 5, "B": 1}
    tight = solve(two_kinds(17.0, facilities={"r": site}, held=held))
    (short,) = tight.shortfalls
    assert "floor space" in short.cause
    assert short.worst_rps == pytest.approx(17.0 - (2 * 2.0 + 4 * 3.0))
    assert [one.unit for one in tight.binding if one.name == "floor space"] == ["rack"]


def test_another_region_has_its_own_site() -> None:
    keys = [SeriesKey("m", "chat", "eu")]
    offers = [offer("A", 1.0, region="eu"), offer("A", 3.0, region="us")]
    base = problem(demand([[8.0]], [1.0], keys), [capacity("A", 2.0)], offers)
    site = {"eu": Facility(1400.0, 1.0, {"A": 700.0})}
    plan = solve(replace(base, facilities=site))
    assert {pool.region: pool.replicas for pool in plan.pools} == {"eu": 2, "us": 2}


def best_churn(loads: list[int], usd: float, change: float, most: int | None) -> float:
    """Brute force: replicas of rate 1 by month; the first month begins as it likes."""
    best = inf
    for counts in product(range(max(loads) + 1), repeat=len(loads)):
        moved = [abs(b - a) for a, b in pairwise(counts)]
        if all(n >= load for n, load in zip(counts, loads, strict=True)) and (most is None or max(moved) <= most):
            best = min(best, sum(counts) * usd * HOURS + sum(moved) * change)
    return best


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 5), min_size=3, max_size=4),
    st.sampled_from([0.0, 300.0, 900.0]),
    st.sampled_from([None, 1, 2]),
)
def test_a_fleet_that_changes_slowly_equals_brute_force(loads: list[int], change: float, most: int | None) -> None:
    given = problem(
        demand([[float(x)] for x in loads], [1.0]), [capacity("A", 1.0)], [offer("A", 1.0)],
        churn_gpus_max=most, churn_usd_per_gpu=change,
    )  # fmt: skip
    plan = solve(given)
    want = best_churn(loads, 1.0, change, most)
    assert plan.shortfalls == ()
    assert sum(cost.cash_usd for cost in plan.costs) == pytest.approx(want, abs=1e-2)
    assert plan.scenario_usd[0] == pytest.approx(want, abs=1e-2)


def test_churn_has_a_price_and_a_name() -> None:
    base = problem(demand([[2.0], [8.0], [2.0]], [1.0]), [capacity("A", 1.0)], [offer("A", 1.0)])
    slow = solve(replace(base, churn_gpus_max=2))
    # 6, 8, 6 instead of 2, 8, 2.
    assert [pool.replicas for pool in slow.pools] == [6, 8, 6]
    assert {one.rule: one.usd for one in slow.rule_prices}["churn limit"] == pytest.approx(8 * HOURS, rel=1e-3)
    paid = solve(replace(base, churn_usd_per_gpu=10.0))
    assert [cost.start_usd for cost in paid.costs] == [0.0, 60.0, 60.0]
    assert {one.rule: one.usd for one in paid.rule_prices}["churn cost"] == pytest.approx(120.0, abs=0.2)
    stuck = solve(replace(base, churn_gpus_max=2, quotas={("r", "A"): 7}))
    assert {short.cause for short in stuck.shortfalls} == {"the quota of A in r is used up"}


def order_usd(lots: int, minimum: int, tiers: list[tuple[int, float]], usd: float) -> float:
    """Brute force: what an order costs for a month."""
    if 0 < lots < minimum:
        return inf
    return lots * usd * HOURS * (1.0 - max((d for n, d in tiers if lots >= n), default=0.0))


@settings(max_examples=25)
@given(
    st.integers(1, 9),
    st.integers(1, 7),
    st.lists(st.tuples(st.integers(2, 12), st.floats(0.05, 0.5)), max_size=2),
    st.floats(0.4, 1.2),
)
def test_orders_in_lots_and_tiers_equal_brute_force(
    load: int, minimum: int, tiers: list[tuple[int, float]], committed: float
) -> None:
    ordered = [(n, d) for n, d in tiers if not any(n <= m and d >= e and (n, d) != (m, e) for m, e in tiers)]
    given = problem(
        demand([[float(load)]], [1.0]), [capacity("A", 1.0)], [offer("A", 1.0), offer("A", committed, "block", 1)],
        minimum_gpus={"block": minimum}, volume_tiers=tuple(VolumeTier("block", n, d) for n, d in ordered),
    )  # fmt: skip
    plan = solve(given)
    want = min(
        order_usd(lots, minimum, ordered, committed) + max(load - lots, 0) * 1.0 * HOURS for lots in range(load + 14)
    )
    assert sum(cost.cash_usd for cost in plan.costs) == pytest.approx(want, abs=1e-2)


def test_a_discount_is_in_the_price_of_the_order_and_in_the_rules() -> None:
    offers = [offer("A", 2.0), offer("A", 1.0, "reserved_1y", 12)]
    base = problem(demand([[5.0]], [1.0]), [capacity("A", 1.0)], offers, residual_value=1.0)
    plan = solve(replace(base, volume_tiers=(VolumeTier("reserved_1y", 4, 0.25),)))
    (bought,) = plan.purchases
    assert bought.usd_per_gpu_h == pytest.approx(0.75)
    assert plan.procurement.orders[0].usd_of_term == pytest.approx(5 * 0.75 * HOURS * 12)
    assert plan.costs[0].committed_usd == pytest.approx(5 * 0.75 * HOURS)
    assert {one.rule: one.usd for one in plan.rule_prices}["volume discounts"] == pytest.approx(-5 * 0.25 * HOURS)
    other = solve(replace(base, volume_tiers=(VolumeTier("reserved_1y", 4, 0.25, "B"),)))
    assert other.purchases[0].usd_per_gpu_h == 1.0


def test_a_minimum_lot_says_what_it_costs_and_what_one_would() -> None:
    offers = [offer("A", 2.0), offer("A", 1.5, "block", 1)]
    base = problem(demand([[5.0]], [1.0]), [capacity("A", 1.0)], offers, minimum_gpus={"block": 6})
    plan = solve(base)
    assert [(one.option, one.gpus) for one in plan.purchases] == [("block", 6)]
    price = {one.rule: one.usd for one in plan.rule_prices}["minimum lots"]
    assert price == pytest.approx((6 * 1.5 - 5 * 1.5) * HOURS)
    larger = solve(replace(base, minimum_gpus={"block": 8}))
    assert [(one.option, one.gpus) for one in larger.purchases] == [("on_demand", 5)]
    (dropped,) = larger.procurement.orders
    assert dropped.regret_usd == pytest.approx((8 * 1.5 - 5 * 2.0) * HOURS, abs=1e-2)
    assert dropped.reason.startswith("8 GPUs of it would cost")


def everything() -> FleetProblem:
    """Every rule of a plan on at once, and demand enough that most of them cost something."""
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "batch", "us")]
    rows = [capacity("A", 2.0), capacity("A", 3.0, name="batch"), capacity("B", 5.0, tp=2)]
    offers = [offer(g, usd, region=r) for r in ("eu", "us") for g, usd in (("A", 1.0), ("B", 1.3))]
    offers += [offer("A", 0.7, "reserved_1y", 12, "eu"), offer("A", 0.6, "block", 1, "us")]
    return problem(
        demand([[6.3, 9.2], [7.7, 12.4]], [0.7, 0.3], keys), rows, offers,
        protected={"chat": True, "batch": False}, may_serve={"eu": ("eu",), "us": ("eu", "us")},
        quotas={("eu", "A"): 40, ("us", "B"): 30}, lead_time_months={"reserved_1y": 1}, failures_per_pool=1,
        rollout_surge=0.1, on_demand_share_min=0.1, budget_usd_per_month=90e3,
        reserves=Reserves(0.1, 0.05, 0.2, 3, zone_loss=True, region_loss=True),
        facilities={"eu": Facility(40e3, 1.3, {"A": 700.0, "B": 450.0}, 2.0), "us": Facility(racks=3.0)},
        churn_gpus_max=12, churn_usd_per_gpu=40.0, minimum_gpus={"block": 4, "reserved_1y": 2},
        volume_tiers=(VolumeTier("block", 6, 0.1),),
    )  # fmt: skip


def test_every_rule_is_switched_and_priced_by_its_name() -> None:
    given = everything()
    rules = switches(given)
    assert set(rules) == {
        "N+k", "rollout surge", "canary", "maintenance", "warm replicas", "zone loss", "region loss", "residency",
        "quotas", "on-demand share", "budget", "lead times", "power", "floor space", "churn limit", "churn cost",
        "minimum lots", "volume discounts",
    }  # fmt: skip
    plan = solve(replace(given, mip_gap=0.01))
    prices = {one.rule: one.usd for one in plan.rule_prices}
    assert set(prices) == set(rules)
    for name, lift in rules.items():
        lifted = lift(given)
        assert name not in switches(lifted)
        # Only a discount is worth having.
        change = relaxed_usd(given) - relaxed_usd(lifted)
        if name not in ("minimum lots", "volume discounts"):
            assert prices[name] == pytest.approx(max(change, 0.0), abs=1e-3)
        assert prices[name] >= 0.0 or name == "volume discounts"


def test_the_same_seed_gives_the_same_plan() -> None:
    given = replace(everything(), mip_gap=0.01, seed=7)
    # As text, since a share of nothing is nan and unequal to itself.
    one, two = (
        repr(replace(plan, stats=replace(plan.stats, build_s=0.0, solve_s=0.0))) for plan in map(solve, [given] * 2)
    )
    assert one == two


def test_limits_hold_in_a_search_by_parts_and_in_fresh_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    given = replace(everything(), reserves=Reserves(), rollout_surge=0.0, mip_gap=1e-4, time_limit_s=6.0)
    exact = solve(replace(given, time_limit_s=60.0))
    monkeypatch.setattr(strategy, "WHOLE_INTEGERS", 0)
    monkeypatch.setattr(strategy, "ALONGSIDE_INTEGERS", 0)
    parts = solve(given)
    best = exact.stats.objective_usd
    assert parts.stats.bound_usd <= best * (1.0 + 1e-6)
    assert parts.stats.objective_usd >= best * (1.0 - 1e-4)
    assert parts.stats.objective_usd <= best * 1.05
    fresh = replace(given.demand, rps=given.demand.rps * 0.9)
    found = sample_check(given, exact, fresh)
    assert found is not None
    assert found.worst_usd <= max(exact.scenario_usd) * (1.0 + 1e-6)
    assert found.months_short == 0.0


def test_a_model_too_large_for_its_time_still_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy, "WHOLE_INTEGERS", 0)
    stats = solve(replace(everything(), time_limit_s=1e-3)).stats
    assert stats.status in ("feasible", "no_solution")
    assert 0.0 <= stats.bound_usd < inf


def test_spot_and_on_demand_are_bought_in_whole_gpus() -> None:
    """By brute force: of all whole numbers of either that carry the load, the cheapest within the share of spot."""
    load, share, gone = 27.0, 0.3, 0.05
    rows = [capacity("A", 2.0, name="batch")]
    offers = [offer("A", 1.0), offer("A", 0.4, "spot")]
    wanted = demand([[load]], [1.0], [SeriesKey("m", "batch", "r")])
    asked = problem(
        wanted, rows, offers, spot_share_max=share, spot_interrupted_share=gone, protected={"batch": False},
        shed_usd_per_request={"batch": 10.0},
    )  # fmt: skip
    plan = solve(asked)
    bought = {one.option: one for one in plan.purchases}
    firm, spot = bought["on_demand"].gpus, bought["spot"].gpus
    assert spot <= share * (firm + spot) + 1e-9
    best = min(
        730.0 * (a + 0.4 * (1.0 - gone) * t)
        for a, t in product(range(30), range(30))
        if a + (1.0 - gone) * t >= 14 and t <= share * (a + t) + 1e-9
    )
    assert sum(one.usd_in_horizon for one in plan.purchases) == pytest.approx(best)
    assert plan.costs[0].on_demand_usd == pytest.approx(730.0 * (firm + 0.4 * (1.0 - gone) * spot))


def test_a_least_share_on_demand_is_of_whole_gpus() -> None:
    rows, offers = [capacity("A", 2.0)], [offer("A", 1.0), offer("A", 0.5, "capacity_block", 1)]
    plan = solve(problem(demand([[27.0]], [1.0]), rows, offers, on_demand_share_min=0.3))
    (hourly,) = [one for one in plan.purchases if one.option == "on_demand"]
    assert hourly.gpus == 5, "30 % of 14 is 4.2"
    assert hourly.usd_in_horizon == pytest.approx(5 * 730.0)
