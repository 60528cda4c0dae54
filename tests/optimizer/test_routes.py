"""The routing a plan states, against its demand, its pools and its residency."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.plan_records import ApiOffer, FleetPlan, FleetProblem
from data.records import Block, Demand, SeriesKey
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem

NAMES = ("peak", "busy", "day", "night")


def drawn(seed: int) -> FleetProblem:
    """Two classes from three origins, two of them alike; two regions, two GPUs, four blocks of which some are left out
    of the model; now and then a quota or an API."""
    rng = np.random.default_rng(seed)
    keys = tuple(SeriesKey("m", name, origin) for name in ("chat", "batch") for origin in ("a", "b", "c"))
    rows = [capacity(g, float(rng.uniform(1, 6)), name=name) for g in "AB" for name in ("chat", "batch")]
    offers = [offer(g, float(rng.uniform(1, 6)), region=r) for g in "AB" for r in ("a", "c")]
    base = problem(demand([[1.0, 1.0]] * 2, [0.6, 0.4], keys), rows, offers, failures_per_pool=int(rng.integers(0, 2)))
    peak = rng.uniform(1.0, 9.0, (6, 2, 1, 1)) * np.array([1.0, 1.4])
    shape = np.minimum.accumulate(rng.uniform(0.0, 1.0, (6, 1, 4, 1)), axis=2)
    shape[:, :, 0] = 1.0
    blocks = tuple(Block(name, 182.5) for name in NAMES)
    whole = Demand(keys, base.demand.months, blocks, base.demand.probabilities, peak * shape)
    found = replace(
        base, demand=whole, protected={"chat": True, "batch": False},
        shed_usd_per_request={"chat": 0.1, "batch": float(10 ** rng.uniform(-5, -1))},
        may_serve={"a": ("a", "c"), "b": ("a", "c"), "c": ("c",)},
    )  # fmt: skip
    if rng.random() < 0.4:
        found = replace(found, quotas={("c", g): int(rng.integers(1, 4)) for g in "AB"})
    if rng.random() < 0.3:
        found = replace(found, api={("m", "batch"): ApiOffer(float(10 ** rng.uniform(-6, -3)), 3.0)})
    return found


def check(given: FleetProblem, plan: FleetPlan) -> None:
    s, wanted = plan.design_scenario, given.demand
    rate = {(row.configuration, row.request_class): row.operating_rps for row in given.capacities}
    carried: dict[tuple[SeriesKey, str, str], float] = {}
    load: dict[tuple[object, ...], float] = {}
    for one in plan.routes:
        assert one.configuration is None or one.region in given.may_serve[one.series.region]
        for block, rps in one.rps.items():
            assert rps >= 0.0
            at = (one.series, one.month, block)
            carried[at] = carried.get(at, 0.0) + rps
            if one.configuration is not None:
                where = (one.configuration, one.region, one.month, block)
                load[where] = load.get(where, 0.0) + rps / rate[one.configuration, one.series.request_class]
    short = {(one.series, one.month, one.block) for one in plan.shortfalls}
    for i, key in enumerate(wanted.series):
        for m, month in enumerate(wanted.months):
            for b, block in enumerate(wanted.blocks):
                rps = carried.get((key, month, block.name), 0.0)
                assert rps <= wanted.rps[i, m, b, s] + 1e-5
                if (key, month, block.name) not in short:
                    assert rps == pytest.approx(float(wanted.rps[i, m, b, s]), abs=1e-3)
    there = {(pool.configuration, pool.region, pool.month): pool.replicas for pool in plan.pools}
    for (one, region, month, _), replicas in load.items():  # type: ignore[misc]
        assert replicas + given.failures_per_pool <= there[one, region, month] + 1e-5


def check_placed(given: FleetProblem, plan: FleetPlan) -> None:
    """Every dollar of pool starts and API calls has its region, and a class's calls come from where it is asked for."""
    for cost in plan.costs:
        for item, usd in (("pool start", cost.start_usd), ("provider API", cost.api_usd)):
            mine = [one for one in plan.placed if (one.item, one.month) == (item, cost.month)]
            assert math.fsum(one.usd for one in mine) == pytest.approx(usd, rel=1e-9, abs=1e-9)
    origins = {(key.llm, key.request_class, key.region) for key in given.demand.series}
    pools = {(pool.region, pool.configuration.llm, pool.configuration.gpu) for pool in plan.pools}
    for one in plan.placed:
        if one.item == "provider API":
            assert (one.llm, one.request_class, one.region) in origins
            assert one.usd == pytest.approx(one.quantity * given.api[one.llm, one.request_class].usd_per_request)
        elif len(given.demand.probabilities) == 1:
            assert (one.region, one.llm, one.gpu) in pools
    # In the design scenario: what each origin sends is what its routes say.
    if len(given.demand.probabilities) == 1:
        hours = {block.name: block.hours for block in given.demand.blocks}
        sent = math.fsum(
            3600.0 * hours[b] * rps for r in plan.routes if r.configuration is None for b, rps in r.rps.items()
        )
        assert math.fsum(one.quantity for one in plan.placed if one.item == "provider API") == pytest.approx(
            sent, rel=1e-6
        )


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_routes_carry_the_demand_and_no_pool_carries_more_than_it_has(seed: int) -> None:
    given = drawn(seed)
    plan = solve(replace(given, mip_gap=1e-4))
    assert plan.stats.status == "optimal"
    check(given, plan)
    check_placed(given, plan)


def test_a_route_says_who_goes_where() -> None:
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "chat", "us")]
    offers = [offer("A", 1.0, region="eu"), offer("A", 2.0, region="us")]
    base = problem(demand([[3.0]], [1.0], keys), [capacity("A", 2.0)], offers)
    plan = solve(replace(base, may_serve={"eu": ("eu",), "us": ("eu", "us")}, quotas={("eu", "A"): 2}))
    told = {(one.series.region, one.region): one.rps["peak"] for one in plan.routes}
    assert told == pytest.approx({("eu", "eu"): 3.0, ("us", "eu"): 1.0, ("us", "us"): 2.0})


def test_what_an_api_takes_is_billed_where_it_is_asked_for() -> None:
    """By hand: nothing but the API serves; two origins planned as one pay 2 : 6."""
    keys = [SeriesKey("m", "chat", "a"), SeriesKey("m", "chat", "c")]
    given = problem(
        demand([[1.0]], [1.0], keys), [capacity("A", 2.0)], [offer("A", 1.0, region=r) for r in ("a", "c")],
        quotas={("a", "A"): 0, ("c", "A"): 0}, api={("m", "chat"): ApiOffer(1e-4)}, pool_start_usd=10.0,
    )  # fmt: skip
    rps = given.demand.rps * np.array([2.0, 6.0])[:, None, None, None]
    plan = solve(replace(given, demand=replace(given.demand, rps=rps)))
    told = {one.region: (one.usd, one.quantity) for one in plan.placed}
    requests = 730.0 * 3600.0 * 2.0
    assert told["a"] == pytest.approx((1e-4 * requests, requests))
    assert told["c"] == pytest.approx((3e-4 * requests, 3.0 * requests))
    check_placed(replace(given, demand=replace(given.demand, rps=rps)), plan)


def test_pools_start_where_they_run() -> None:
    """Churn and starts, by hand: one pool of two replicas in each region, one of them grows by a replica."""
    keys = [SeriesKey("m", "chat", "a"), SeriesKey("m", "chat", "c")]
    given = problem(
        demand([[4.0], [4.0]], [1.0], keys), [capacity("A", 2.0)], [offer("A", 1.0, region=r) for r in ("a", "c")],
        pool_start_usd=10.0, churn_usd_per_gpu=3.0, may_serve={"a": ("a",), "c": ("c",)},
    )  # fmt: skip
    rps = given.demand.rps.copy()
    rps[1, 1] = 6.0
    plan = solve(replace(given, demand=replace(given.demand, rps=rps)))
    told = {(one.month, one.region): one.usd for one in plan.placed}
    assert told == pytest.approx({("2027-01", "a"): 10.0, ("2027-01", "c"): 10.0, ("2027-02", "c"): 3.0})


def test_what_an_api_takes_is_a_route_without_a_pool() -> None:
    given = problem(
        demand([[5.0]], [1.0]), [capacity("A", 2.0)], [offer("A", 1.0)], quotas={("r", "A"): 2},
        api={("m", "chat"): ApiOffer(1e-4)},
    )  # fmt: skip
    told = {(one.configuration is None, one.region): one.rps["peak"] for one in solve(given).routes}
    assert told[True, ""] == pytest.approx(5.0 - told.get((False, "r"), 0.0))
