"""A plan as the fixed fleet that re-pricing dispatches: routes of series through pools, commitments, prices, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from data.cost_records import TokenMix
from data.plan_records import FleetPlan, FleetProblem, Pool
from data.records import Configuration, FloatArray, SeriesKey
from data.units import HOURS_PER_MONTH

UNLIMITED = 1e9
OVERLOAD = 100.0
"""How much dearer a GPU beyond a pool's own is to the routing than the dearest of its own."""
NOWHERE = ("nowhere", "none")


@dataclass(frozen=True, slots=True)
class Route:
    """A share of a series' requests through one configuration in one region.

    share: of the series, by month, [month]; gpus_per_rps: GPUs for one request/s at the operating point; routed: taken
    only by what quality routing moves here.
    """

    series: int
    cell: int
    configuration: Configuration
    share: FloatArray
    gpus_per_rps: float
    routed: bool = False


@dataclass(frozen=True, slots=True)
class Lot:
    """A commitment of the plan: GPUs in a cell from a month on; sunk: signed before the plan."""

    cell: int
    start: int
    term: int
    gpus: float
    usd_per_gpu_h: float
    sunk: bool = False


@dataclass(frozen=True, slots=True)
class FixedFleet:
    """Cells are (region, GPU), and NOWHERE for what no pool serves. reserve, spot: GPUs, planned: GPUs of all pools,
    each [month, cell]; quota and prices: [cell], UNLIMITED and nan for none; start_usd: one-time cost of pools over the
    horizon."""

    problem: FleetProblem
    cells: tuple[tuple[str, str], ...]
    routes: tuple[Route, ...]
    lots: tuple[Lot, ...]
    reserve: FloatArray
    spot: FloatArray
    planned: FloatArray
    quota: FloatArray
    on_demand_usd_per_h: FloatArray
    spot_usd_per_h: FloatArray
    start_usd: float
    mixes: Mapping[tuple[str, str], TokenMix]
    others: tuple[tuple[tuple[int, float], ...], ...]
    """Series -> (cell, GPUs for one request/s) of every place that may serve it, cheapest hours first."""
    unserved: tuple[str, ...]
    """Series that some month's pools do not serve."""


def _month_index(problem: FleetProblem, month: str) -> int:
    year, number = map(int, month.split("-"))
    first_year, first = map(int, problem.demand.months[0].split("-"))
    return (year - first_year) * 12 + number - first


def fixed_fleet(
    problem: FleetProblem,
    plan: FleetPlan,
    mixes: Mapping[tuple[str, str], TokenMix],
    move: tuple[str, str] | None = None,
) -> FixedFleet:
    """The plan's fleet. move: LLMs that quality routing takes from and gives to."""
    months, series = problem.demand.months, problem.demand.series
    supplied = {(p.region, p.gpu) for p in plan.purchases} | {(h.region, h.gpu) for h in problem.held}
    useful = {row.configuration.gpu for row in problem.capacities}
    sold = {(o.region, o.gpu) for o in problem.offers if o.option == "on_demand" and o.gpu in useful}
    cells = tuple(sorted(supplied | sold | {(p.region, p.configuration.gpu) for p in plan.pools}))
    at = {cell: g for g, cell in enumerate(cells)}
    rate = {(row.configuration, row.request_class): row.operating_rps for row in problem.capacities}
    reserve: FloatArray = np.zeros((len(months), len(cells)))
    spot: FloatArray = np.zeros((len(months), len(cells)))
    planned: FloatArray = np.zeros((len(months), len(cells)))
    shares: dict[tuple[int, str, Configuration, bool], FloatArray] = {}
    for m, month in enumerate(months):
        pools = [pool for pool in plan.pools if pool.month == month]
        for pool in pools:
            g = at[pool.region, pool.configuration.gpu]
            reserve[m, g] += (pool.replicas - pool.steady_replicas) * pool.configuration.gpus
            planned[m, g] += pool.gpus
        for (k, j), share in routed_shares(problem, pools, m).items():
            key = (k, pools[j].region, pools[j].configuration, False)
            shares.setdefault(key, np.zeros(len(months)))[m] = share
        if move is not None:
            _add_moved(problem, pools, m, move, shares)
    for bought in plan.purchases:
        if bought.option == "spot" and bought.month in months:
            spot[months.index(bought.month), at[bought.region, bought.gpu]] += bought.gpus

    def speed(one: Configuration, name: str) -> float:
        own = [r for (c, _), r in rate.items() if c == one]
        # A class the configuration was not evaluated for is taken to be as heavy as the mean of those it was.
        return rate.get((one, name)) or (sum(own) / len(own))

    routes = [
        Route(k, at[region, one.gpu], one, share, one.gpus / speed(one, series[k].request_class), moved)
        for (k, region, one, moved), share in shares.items()
    ]
    left: list[FloatArray] = [np.ones(len(months)) for _ in series]
    for route in routes:
        if not route.routed:
            left[route.series] = left[route.series] - route.share
    lost = [k for k, share in enumerate(left) if np.max(share) > 1e-6]
    if lost:
        nothing = Configuration("none", "none", "none", "none", 1, "none")
        routes += [Route(k, len(cells), nothing, np.broadcast_to(left[k], (len(months),)), 1.0) for k in lost]
        cells = (*cells, NOWHERE)
        reserve, spot, planned = (np.pad(table, ((0, 0), (0, 1))) for table in (reserve, spot, planned))
    prices = {
        option: np.array([_cheapest(problem, cell, option) for cell in cells]) for option in ("on_demand", "spot")
    }
    return FixedFleet(
        problem=problem,
        cells=cells,
        routes=tuple(routes),
        lots=_lots(problem, plan, at),
        reserve=reserve,
        spot=spot,
        planned=planned,
        quota=np.array([0.0 if c == NOWHERE else float(problem.quotas.get(c, UNLIMITED)) for c in cells]),
        on_demand_usd_per_h=prices["on_demand"],
        spot_usd_per_h=prices["spot"],
        start_usd=sum(cost.start_usd for cost in plan.costs),
        mixes=mixes,
        others=tuple(_others(problem, key, cells, prices["on_demand"]) for key in series),
        unserved=tuple(str(series[k]) for k in lost),
    )


def _others(
    problem: FleetProblem, key: SeriesKey, cells: Sequence[tuple[str, str]], hourly: FloatArray
) -> tuple[tuple[int, float], ...]:
    """Cells that may serve a series, with the fewest GPUs for one request/s there, cheapest by the hour first."""
    found = []
    for g, (region, gpu) in enumerate(cells):
        per_rps = [
            row.configuration.gpus / row.operating_rps
            for row in problem.capacities
            if (row.configuration.llm, row.request_class, row.configuration.gpu) == (key.llm, key.request_class, gpu)
            and row.operating_rps > 0.0
        ]
        if per_rps and region in problem.may_serve[key.region]:
            found.append((g, min(per_rps)))
    return tuple(sorted(found, key=lambda one: (np.nan_to_num(hourly[one[0]], nan=UNLIMITED) * one[1], one[0])))


def _cheapest(problem: FleetProblem, cell: tuple[str, str], option: str) -> float:
    """Lowest price of an option in a cell, nan where it is not sold."""
    found = [o.usd_per_gpu_h for o in problem.offers if (o.region, o.gpu) == cell and o.option == option]
    return min(found, default=float("nan"))


def _lots(problem: FleetProblem, plan: FleetPlan, at: Mapping[tuple[str, str], int]) -> tuple[Lot, ...]:
    bought = (
        Lot(at[p.region, p.gpu], _month_index(problem, p.month), p.term_months, float(p.gpus), p.usd_per_gpu_h)
        for p in plan.purchases
        if p.term_months > 0
    )
    held = (
        Lot(at[h.region, h.gpu], 0, max(_month_index(problem, h.expires), 0), float(h.gpus), h.usd_per_gpu_h, sunk=True)
        for h in problem.held
    )
    return (*bought, *held)


def routed_shares(problem: FleetProblem, pools: Sequence[Pool], m: int) -> dict[tuple[int, int], float]:
    """(series, pool) -> share of the series' requests in a month: the routing of the design scenario's peak that uses
    the least money of GPUs within the pools' steady replicas (a linear programme; more is used at a price where they do
    not suffice). Series without a pool are absent."""
    demand = problem.demand
    cumulative = np.cumsum(demand.probabilities)
    s = min(int(np.searchsorted(cumulative, problem.planning_quantile - 1e-9)), len(cumulative) - 1)
    rate = {(row.configuration, row.request_class): row.operating_rps for row in problem.capacities}
    ways = [
        (k, j, rate[pool.configuration, key.request_class])
        for k, key in enumerate(demand.series)
        for j, pool in enumerate(pools)
        if pool.configuration.llm == key.llm
        and pool.region in problem.may_serve[key.region]
        and (pool.configuration, key.request_class) in rate
    ]
    if not ways:
        return {}
    served = sorted({k for k, _, _ in ways})
    wanted = {k: max(float(demand.rps[k, m, :, s].max()), 1e-9) for k in served}
    used = sorted({j for _, j, _ in ways})
    price: dict[str, float] = {}
    for offer in problem.offers:
        price[offer.gpu] = min(offer.usd_per_gpu_h, price.get(offer.gpu, offer.usd_per_gpu_h))
    equal = np.zeros((len(served), len(ways) + len(used)))
    most = np.zeros((len(used), len(ways) + len(used)))
    cost = np.full(len(ways) + len(used), OVERLOAD * (1.0 + max(price.values(), default=1.0)))
    for i, (k, j, r) in enumerate(ways):
        one = pools[j].configuration
        equal[served.index(k), i] = 1.0
        most[used.index(j), i] = wanted[k] / r * one.gpus
        cost[i] = wanted[k] / r * one.gpus * price.get(one.gpu, 1.0)
    most[:, len(ways) :] = -np.eye(len(used))
    held = np.array([float(pools[j].steady_replicas * pools[j].configuration.gpus) for j in used])
    answer = linprog(cost, most, held, equal, np.ones(len(served)), method="highs")
    if answer.x is None:
        raise RuntimeError(f"routing of month {problem.demand.months[m]}: {answer.message}")
    return {(k, j): float(x) for (k, j, _), x in zip(ways, answer.x[: len(ways)], strict=True) if x > 1e-9}


def _add_moved(
    problem: FleetProblem, pools: Sequence[Pool], m: int, move: tuple[str, str],
    shares: dict[tuple[int, str, Configuration, bool], FloatArray],
) -> None:  # fmt: skip
    """Routes of the requests that quality routing takes from one LLM to another's pools, by their GPUs."""
    source, target = move
    for k, key in enumerate(problem.demand.series):
        if key.llm != source:
            continue
        there = [p for p in pools if p.configuration.llm == target and p.region in problem.may_serve[key.region]]
        total = sum(pool.gpus for pool in there)
        for pool in there:
            mine = shares.setdefault((k, pool.region, pool.configuration, True), np.zeros(len(problem.demand.months)))
            mine[m] = pool.gpus / total


def heaviest_and_lightest(problem: FleetProblem, plan: FleetPlan) -> tuple[str, str] | None:
    """The LLM whose requests take most money of GPUs and the one whose take least; None with one LLM."""
    usd: dict[str, list[float]] = {}
    rate = {(row.configuration, row.request_class): row.operating_rps for row in problem.capacities}
    price: dict[str, float] = {}
    for offer in problem.offers:
        price[offer.gpu] = min(offer.usd_per_gpu_h, price.get(offer.gpu, np.inf))
    for pool in plan.pools:
        one = pool.configuration
        for (other, _), r in rate.items():
            if other == one:
                usd.setdefault(one.llm, []).append(one.gpus * price.get(one.gpu, 0.0) / r)
    ranked = sorted(usd, key=lambda llm: (sum(usd[llm]) / len(usd[llm]), llm))
    return (ranked[-1], ranked[0]) if len(ranked) > 1 else None


def committed_usd(fleet: FixedFleet, lot: Lot, delay: int) -> tuple[float, float]:
    """Cash of a lot within the horizon when it starts `delay` months late, and what counts against the decision: the
    hours after the horizon too, less their residual value (optimizer's own rule)."""
    months = len(fleet.problem.demand.months)
    start = lot.start + (0 if lot.sunk else delay)
    inside = max(min(months - start, lot.term), 0)
    month = lot.gpus * lot.usd_per_gpu_h * HOURS_PER_MONTH
    after = 0 if lot.sunk else lot.term - inside
    return month * inside, month * (inside + (1.0 - fleet.problem.residual_value) * after)
