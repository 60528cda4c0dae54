"""Who carries what when a region is lost, worked out from a finished plan's pools under the rule that
optimizer/reserves.py plans with: protected classes alone, wherever they may go, on all replicas left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from data.plan_records import FleetProblem, Pool
from data.records import FloatArray, SeriesKey
from optimizer.extract import TOLERANCE_RPS
from optimizer.sets import design_scenario

UNSERVED = 1e3
"""Weight of load left unserved against evenness of the rest, in units of the slowest replica's seconds a request."""


@dataclass(frozen=True, slots=True)
class Failover:
    """What the loss of a region leaves in a month. carried: requests/s by class on every pool that is left, in the
    block in which it is fullest; absent where nothing. unserved: of every protected series that somewhere else may and
    can serve, the requests/s that no pool has room for, in the block in which most is unserved; absent where all is."""

    carried: Mapping[Pool, Mapping[str, float]]
    unserved: Mapping[SeriesKey, float]


def after_region_loss(problem: FleetProblem, pools: Sequence[Pool], month: str, lost: str) -> Failover:
    """Where the design scenario's protected demand goes in a month when a region is lost.

    As much of it as can be carried is, and of all ways to carry it the one that fills the fullest pool of an LLM least.
    Series that only the lost region may or can serve are promised nothing, and left out.
    """
    left = [pool for pool in pools if pool.month == month and pool.region != lost]
    fullest: dict[Pool, tuple[float, dict[str, float]]] = {}
    unserved: dict[SeriesKey, float] = {}
    promised = [k for k in range(len(problem.demand.series)) if _elsewhere(problem, left, k, lost)]
    for llm in dict.fromkeys(problem.demand.series[k].llm for k in promised):
        mine = [pool for pool in left if pool.configuration.llm == llm]
        keys = [k for k in promised if problem.demand.series[k].llm == llm]
        short: list[dict[SeriesKey, float]] = []
        for block in range(len(problem.demand.blocks)):
            found, lacking = _carried(problem, mine, keys, month, block)
            short.append(lacking)
            for pool, (use, carried) in found.items():
                if use > fullest.get(pool, (0.0, {}))[0]:
                    fullest[pool] = use, carried
        unserved |= short[int(np.argmax([sum(one.values()) for one in short]))]
    return Failover({pool: carried for pool, (_, carried) in fullest.items()}, unserved)


def _elsewhere(problem: FleetProblem, left: Sequence[Pool], k: int, lost: str) -> bool:
    """Whether a series is protected and a region other than the lost one may serve it, on a GPU that is to be had
    there."""
    key = problem.demand.series[k]
    able = {
        row.configuration.gpu
        for row in problem.capacities
        if (row.configuration.llm, row.request_class) == (key.llm, key.request_class) and row.operating_rps > 0.0
    }
    supply = {(one.region, one.gpu) for one in problem.offers if one.option != "spot"}
    supply |= {(one.region, one.gpu) for one in problem.held}
    supply |= {(one.region, one.configuration.gpu) for one in left}
    others = [region for region in problem.may_serve[key.region] if region != lost]
    return problem.protected[key.request_class] and any((region, gpu) in supply for region in others for gpu in able)


def _carried(
    problem: FleetProblem, pools: Sequence[Pool], wanted: Sequence[int], month: str, block: int
) -> tuple[dict[Pool, tuple[float, dict[str, float]]], dict[SeriesKey, float]]:
    """Share of each pool's operating rate that is used in a block, and requests/s by class; and what is left unserved
    of each series. Pools and wanted series are of one LLM."""
    demand = problem.demand
    at = demand.rps[:, demand.months.index(month), block, design_scenario(problem)]
    able = [row for row in problem.capacities if row.operating_rps > 0.0]
    rate = {(row.configuration, row.request_class): row.operating_rps for row in able}
    keys = [k for k in wanted if at[k] > 0.0]
    routes = [
        (i, j)
        for i, k in enumerate(keys)
        for j, pool in enumerate(pools)
        if pool.region in problem.may_serve[demand.series[k].region]
        and (pool.configuration, demand.series[k].request_class) in rate
    ]
    if not routes:
        return {}, {demand.series[k]: float(at[k]) for k in keys}
    seconds = [1.0 / rate[pools[j].configuration, demand.series[keys[i]].request_class] for i, j in routes]
    # Columns: the routes, what is left unserved of every series, and the use of the fullest pool.
    columns = len(routes) + len(keys) + 1
    serve, fill = np.zeros((len(keys), columns)), np.zeros((len(pools), columns))
    for r, (i, j) in enumerate(routes):
        serve[i, r] = 1.0
        fill[j, r] = seconds[r]
    serve[:, len(routes) : -1] = np.eye(len(keys))
    fill[:, -1] = [-float(pool.replicas) for pool in pools]
    price = np.concatenate([np.zeros(len(routes)), np.full(len(keys), UNSERVED * max(seconds)), [1.0]])
    bounds = [(0.0, None)] * (columns - 1) + [(0.0, 1.0)]
    answer = linprog(price, A_ub=fill, b_ub=np.zeros(len(pools)), A_eq=serve, b_eq=at[keys], bounds=bounds)
    if not answer.success:
        raise RuntimeError(f"failover of {month} could not be worked out: {answer.message}")
    x = np.asarray(answer.x)
    lacking = zip(keys, x[len(routes) : -1], strict=True)
    unserved = {demand.series[k]: float(rps) for k, rps in lacking if rps > TOLERANCE_RPS}
    return _by_pool(problem, pools, keys, routes, seconds, x), unserved


def _by_pool(
    problem: FleetProblem, pools: Sequence[Pool], keys: Sequence[int], routes: Sequence[tuple[int, int]],
    seconds: Sequence[float], flow: FloatArray,
) -> dict[Pool, tuple[float, dict[str, float]]]:  # fmt: skip
    found: dict[Pool, tuple[float, dict[str, float]]] = {}
    for r, (i, j) in enumerate(routes):
        if flow[r] > 1e-9:
            pool, name = pools[j], problem.demand.series[keys[i]].request_class
            use, carried = found.get(pool, (0.0, {}))
            more = carried | {name: carried.get(name, 0.0) + float(flow[r])}
            found[pool] = use + seconds[r] * float(flow[r]) / pool.replicas, more
    return found
