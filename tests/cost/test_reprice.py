"""Re-pricing against figures worked out by hand, and against linear programmes that route everything anew."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from configs.sensitivity import SensitivityPolicy, Spread
from cost.draws import joint, points, some
from cost.fixed_fleet import FixedFleet, fixed_fleet
from cost.reprice import Option, Prices, reprice, reprice_all
from cost.sensitivity import PLAN, compared, crossing_date, examine, frontier_of, tornado
from data.cost_records import TokenMix
from data.plan_records import ApiOffer, FleetPlan, FleetProblem, MonthCost, Pool, Purchase
from data.records import Block, Capacity, Configuration, Demand, Offer, SeriesKey
from data.spreads import spreads
from tests.cost.factory import STATS
from tests.optimizer.factory import HERE, SLO

HOURS = 730.0
BLOCKS = (Block("peak", 73.0), Block("rest", 657.0))
KEY = SeriesKey("m", "chat", "r")
ONE = Configuration("m", "H100-SXM", "bf16", "bf16", 1, "vllm")
RANGES = spreads(SensitivityPolicy())


def row(one: Configuration, rate: float, name: str = "chat") -> Capacity:
    return Capacity(one, name, SLO, rate, rate, 0.5, 0.02, 1.0, "tpot", 1e9, 1e5, 100.0, "test", "fitted")


def problem(**changes: object) -> FleetProblem:
    """Two months, 100 requests/s at the peak and 50 in the rest, 10 requests/s a GPU, 2 USD by the hour."""
    rps = np.array([[[[100.0], [50.0]]] * 2])
    base = FleetProblem(
        Demand((KEY,), ("2027-01", "2027-02"), BLOCKS, np.ones(1), rps), (row(ONE, 10.0),),
        (Offer("r", "H100-SXM", "on_demand", 2.0, 0, "p", "r", HERE),
         Offer("r", "H100-SXM", "reserved_1y", 1.0, 12, "p", "r", HERE)),
        ("r",), {}, {"r": ("r",)}, {"chat": 0.01}, {"chat": False}, residual_value=1.0,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def plan(committed: int, reserve: int = 0) -> FleetPlan:
    bought = (Purchase("r", "H100-SXM", "reserved_1y", "2027-01", committed, 1.0, 12, 0.0),) if committed else ()
    pools = tuple(Pool(ONE, "r", month, 10, reserve, 0, 100.0, 10.0) for month in ("2027-01", "2027-02"))
    costs = tuple(MonthCost(m, 0, 0, 0, 0, 0) for m in ("2027-01", "2027-02"))
    return FleetPlan(STATS, pools, purchases=bought, costs=costs)


def fleet(made: FleetProblem | None = None, committed: int = 6, reserve: int = 0) -> FixedFleet:
    return fixed_fleet(made or problem(), plan(committed, reserve), {("m", "chat"): TokenMix(0.25, 0.2)})


def cash(one: FixedFleet, changed: Mapping[str, float], option: Option = PLAN) -> float:
    draws = points(RANGES, one.problem.demand.probabilities, [changed])
    return float(reprice(one, option, draws).cash @ draws.weight)


# By hand: 10 GPUs at the peak, 6 of them committed at 1 USD, 4 by the hour at 2 USD, two months.
COMMITTED, HOURLY = 2 * 6 * HOURS, 2 * 4 * 2.0 * HOURS


def test_by_hand() -> None:
    assert cash(fleet(), {}) == pytest.approx(COMMITTED + HOURLY)
    assert cash(fleet(), {"volume": 2.0}) == pytest.approx(COMMITTED + 2 * 14 * 2.0 * HOURS)
    assert cash(fleet(), {"goodput": 0.5}) == pytest.approx(COMMITTED + 2 * 14 * 2.0 * HOURS)
    assert cash(fleet(), {"prices": 1.5}) == pytest.approx(COMMITTED + 1.5 * HOURLY)
    # Growth of 10 % a month: 11 and 12.1 GPUs.
    assert cash(fleet(), {"growth": 0.1}) == pytest.approx(COMMITTED + (5 + 6.1) * 2.0 * HOURS)
    # A quarter of the work is prefill of the 80 % that the cache does not hold: with 60 % cached it halves.
    assert cash(fleet(), {"cache_hit": 0.4}) == pytest.approx(COMMITTED + 2 * (8.75 - 6) * 2.0 * HOURS)
    assert cash(fleet(), {"output_length": 2.0}) == pytest.approx(COMMITTED + 2 * (17.5 - 6) * 2.0 * HOURS)
    # Commitments a month late: the first month is bought by the hour.
    assert cash(fleet(), {"lead_time": 1.0}) == pytest.approx(6 * HOURS + (10 + 4) * 2.0 * HOURS)
    assert cash(fleet(), {}, Option("wait", delay=1)) == cash(fleet(), {"lead_time": 1.0})
    assert cash(fleet(), {}, Option("half", commit=0.5)) == pytest.approx(COMMITTED / 2 + 2 * 7 * 2.0 * HOURS)
    assert cash(fleet(reserve=2), {}) == pytest.approx(COMMITTED + 2 * 6 * 2.0 * HOURS)


def test_what_is_not_worth_its_price_is_shed_and_an_api_takes_what_it_may() -> None:
    # The peak's 50 requests/s beyond the rest take 5 GPUs for 73 h of 730: at 0.001 USD a request they are worth
    # 10 * 3,600 * 73 * 0.001 = 2,628 USD a GPU, more than 1,460; at 0.0005 less.
    for price, shed in ((0.001, 0.0), (0.0005, 40 * 3600 * 73.0 * 2)):
        made = fleet(problem(shed_usd_per_request={"chat": price}))
        draws = points(RANGES, np.ones(1), [{}])
        found = reprice(made, PLAN, draws)
        assert found.shed_requests[0] == pytest.approx(shed)
    quota = problem(quotas={("r", "H100-SXM"): 8}, api={("m", "chat"): ApiOffer(0.002, 15.0)})
    draws = points(RANGES, np.ones(1), [{}])
    found = reprice(fleet(quota), PLAN, draws)
    # 8 GPUs carry 80 of 100 requests/s at the peak: 15 to the API, 5 shed.
    assert found.shed_requests[0] == pytest.approx(5 * 3600 * 73 * 2)
    assert found.cash[0] == pytest.approx(COMMITTED + 2 * 2 * 2.0 * HOURS + 15 * 3600 * 73 * 2 * 0.002)


def test_a_protected_class_that_is_shed_is_short_and_one_without_pools_is_rerouted() -> None:
    tight = problem(quotas={("r", "H100-SXM"): 8}, protected={"chat": True})
    draws = points(RANGES, np.ones(1), [{}, {"volume": 0.7}])
    assert reprice(fleet(tight), PLAN, draws).short.tolist() == [[True, True], [False, False]]
    lone = fixed_fleet(problem(), replace(plan(6), pools=()), {})
    assert lone.unserved == ("m/chat/r",)
    assert cash(lone, {}) == pytest.approx(COMMITTED + HOURLY)


def random_problem(seed: int) -> FleetProblem:
    """Two regions that may serve each other, or one of them, two LLMs, three classes, two GPU types, quotas."""
    rng = np.random.default_rng(seed)
    regions, gpus = ("r", "q"), ("H100-SXM", "L40S")
    names = (("a", "x"), ("a", "y"), ("b", "x"))
    keys = tuple(SeriesKey(llm, name, region) for llm, name in names for region in regions)
    rps = rng.uniform(20, 200, (len(keys), 1, 1, 1)) * np.array([1.0, 0.6]).reshape(1, 1, 2, 1)
    ones = [Configuration(llm, gpu, "bf16", "bf16", 1, "vllm") for llm in ("a", "b") for gpu in gpus]
    rows = tuple(row(one, float(rng.uniform(4, 12)), name) for one in ones for name in ("x", "y"))
    offers = tuple(Offer(r, g, "on_demand", float(rng.uniform(1, 4)), 0, "p", r, HERE) for r in regions for g in gpus)
    return FleetProblem(
        Demand(keys, ("2027-01",), BLOCKS, np.ones(1), rps), rows, offers, regions,
        {(r, g): int(rng.integers(30, 80)) for r in regions for g in gpus},
        {"r": regions, "q": regions if rng.random() < 0.5 else ("q",)}, {"x": 0.002, "y": 0.002},
        {"x": True, "y": False},
    )  # fmt: skip


def planned(made: FleetProblem, gpus: Mapping[tuple[str, str, str], float]) -> FixedFleet:
    """The fleet of a plan with the given GPUs by (LLM, region, GPU)."""
    pools = tuple(
        Pool(Configuration(llm, gpu, "bf16", "bf16", 1, "vllm"), region, "2027-01", round(n), 0, 0, 1.0, 1.0)
        for (llm, region, gpu), n in gpus.items()
        if round(n) > 0
    )
    return fixed_fleet(made, FleetPlan(STATS, pools, costs=(MonthCost("2027-01", 0, 0, 0, 0, 0),)), {})


def routed_anew(made: FixedFleet, volume: float) -> tuple[float, dict[tuple[str, str, str], float]]:
    """The month's least cost with all routing free, as a linear programme with the re-pricing's worths, and the GPUs it
    uses at the peak by (LLM, region, GPU)."""
    problem, prices = made.problem, Prices(made, points(RANGES, np.ones(1), [{}]))
    demand = problem.demand
    ways = [(k, g, per_rps) for k in range(len(demand.series)) for g, per_rps in made.others[k]]
    blocks, cells, series = len(BLOCKS), len(made.cells), len(demand.series)
    n = len(ways) * blocks + series * blocks + cells
    cost = np.zeros(n)
    upper, limits, equal, wanted = [], [], [], []
    for k in range(series):
        for b in range(blocks):
            line = np.zeros(n)
            for w, (i, _, _) in enumerate(ways):
                line[w * blocks + b] = float(i == k)
            line[len(ways) * blocks + k * blocks + b] = 1.0
            equal.append(line)
            wanted.append(volume * float(demand.rps[k, 0, b, 0]))
            cost[len(ways) * blocks + k * blocks + b] = prices.valued[k] * prices.seconds[b]
    for g in range(cells):
        cost[n - cells + g] = 0.0 if np.isnan(made.on_demand_usd_per_h[g]) else made.on_demand_usd_per_h[g] * HOURS
        for b in range(blocks):
            line = np.zeros(n)
            for w, (_, at, per_rps) in enumerate(ways):
                line[w * blocks + b] = per_rps * (at == g)
            line[n - cells + g] = -1.0
            upper.append(line)
            limits.append(0.0)
    bounds = [(0, None)] * (n - cells) + [(0, q if q < 1e8 else None) for q in made.quota]
    answer = linprog(cost, np.array(upper), limits, np.array(equal), wanted, bounds=bounds, method="highs")
    assert answer.status == 0
    gpus: dict[tuple[str, str, str], float] = {}
    for w, (k, g, per_rps) in enumerate(ways):
        place = (demand.series[k].llm, *made.cells[g])
        gpus[place] = gpus.get(place, 0.0) + float(answer.x[w * blocks]) * per_rps
    return float(answer.fun), gpus


def test_never_below_routing_everything_anew_and_rarely_far_above() -> None:
    over: dict[float, list[float]] = {1.0: [], 1.3: []}
    for seed in range(25):
        made = random_problem(seed)
        _, gpus = routed_anew(planned(made, {("a", "r", "H100-SXM"): 1.0}), 1.0)
        plan = planned(made, gpus)
        for volume, gaps in over.items():
            found = reprice(plan, PLAN, points(RANGES, np.ones(1), [{"volume": volume}]))
            if found.short.any():
                continue
            best, _ = routed_anew(plan, volume)
            assert found.usd[0] >= best * (1 - 1e-7)
            gaps.append(float(found.usd[0] / best - 1))
    assert all(len(gaps) >= 8 for gaps in over.values())
    # In the plan's own world nothing is lost to fixed routes; a third more demand reroutes one series after the other.
    assert max(over[1.0]) < 0.01
    assert np.median(over[1.3]) < 0.01
    assert max(over[1.3]) < 0.15


def test_draws_have_the_stated_quantiles_and_every_option_sees_the_same() -> None:
    ranges = RANGES | {"volume": Spread(low=0.5, base=1.0, high=3.0, source="test", as_of="2026")}
    draws = joint(ranges, np.array([0.3, 0.5, 0.2]), 2000, 1)
    for q, wanted in ((0.05, 0.5), (0.5, 1.0), (0.95, 3.0)):
        assert np.quantile(draws.values["volume"], q) == pytest.approx(wanted, abs=0.02)
    assert np.bincount(draws.demand).tolist() == [600, 1000, 400]
    again = joint(ranges, np.array([0.3, 0.5, 0.2]), 2000, 1)
    assert all((again.values[name] == value).all() for name, value in draws.values.items())
    rank = np.corrcoef(np.argsort(np.argsort(draws.values["volume"])), np.argsort(np.argsort(draws.values["prices"])))
    assert abs(rank[0, 1]) < 0.08
    one = joint(RANGES, np.ones(1), 300, 0)
    plan, twin = reprice_all(fleet(), (PLAN, Option("twin")), one)
    assert (plan.usd == twin.usd).all()


def test_the_whole_answer() -> None:
    policy = SensitivityPolicy.model_validate(
        {"samples": 400, "scenarios": {"launch": {"description": "a launch", "set": {"volume": 2.0}}}}
    )
    made = fleet(problem(quotas={("r", "H100-SXM"): 12}, protected={"chat": True}))
    from datetime import date

    answer, _ = examine("test", made, RANGES, policy, 0, date(2026, 11, 21))
    bars = {bar.variable: bar for bar in answer.bars}
    assert [bar.swing_usd for bar in answer.bars] == sorted((bar.swing_usd for bar in answer.bars), reverse=True)
    assert bars["volume"].low_usd < bars["volume"].base_usd < bars["volume"].high_usd
    assert bars["goodput"].low_usd > bars["goodput"].high_usd
    assert bars["llm_mix"].swing_usd == 0.0
    named = {one.name: one for one in answer.named}
    assert named["best"].usd < named["base"].usd < named["worst"].usd
    assert named["launch"].usd == pytest.approx(
        tornado(made, RANGES | {"volume": RANGES["volume"].model_copy(update={"high": 2.0})})[0].high_usd
    )
    options = {one.name: one for one in answer.options}
    proper = [one for one in answer.options if "at most" not in one.name]
    assert sum(one.best_share for one in proper) == pytest.approx(1.0)
    assert min(one.regret for one in proper) >= 0.0
    assert answer.least_regret == min(proper, key=lambda one: one.regret_max).name
    # Twelve months at half price, the later hours worth nothing: committing is cheap, nothing is dear.
    assert options["commit to nothing"].usd > options["the plan"].usd
    assert answer.wait_regret_usd > 0.0
    assert 0.0 < answer.short_any < 1.0
    cell = next(one for one in answer.cells)
    assert (cell.quota, cell.committed) == (12.0, (6.0, 6.0))
    assert cell.run_out_chance > 0.0
    assert len(answer.ages) >= len(RANGES)
    assert all(one.days is None or one.days >= 0 for one in answer.ages)


def test_a_smaller_fleet_costs_less_and_is_short_more_often() -> None:
    """By hand at the base: 10 GPUs planned, 8 allowed: two fewer by the hour. Over draws: a frontier."""
    made = fleet(problem(protected={"chat": True}))
    small = Option("small", ceiling=0.8)
    assert cash(made, {}, small) == pytest.approx(COMMITTED + 2 * 2 * 2.0 * HOURS)
    assert cash(made, {}, Option("roomy", ceiling=9.0)) == cash(made, {})
    draws = joint(RANGES, np.ones(1), 400, 0)
    options = [one for one in frontier_of(made) if one.commit == 1.0]
    priced = reprice_all(made, (PLAN, *options), draws)
    outcomes = compared(priced[:1], priced[1:])
    for less, more in itertools.pairwise(outcomes[1:]):
        assert less.cash_usd <= more.cash_usd + 1e-6
        assert less.short >= more.short - 1e-12
    assert outcomes[1].short == 1.0
    # Fewer draws for the frontier: the plan itself, priced on them, stays where it is.
    few = reprice_all(made, (Option("twin"),), some(draws, np.arange(100)))
    plan, twin = compared(priced[:1], few)
    assert (twin.cash_usd, twin.short) == pytest.approx((plan.cash_usd, plan.short))


def test_the_day_a_need_passes_a_limit() -> None:
    months = ("2027-01", "2027-02", "2027-03")
    assert crossing_date(months, (10, 20, 30), 25) == "2027-03-01"
    assert crossing_date(months, (10, 20, 30), 9) == "2027-01-01"
    assert crossing_date(months, (10, 20, 30), 30) is None
