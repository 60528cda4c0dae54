"""Who carries what when a region is lost, worked out from a finished plan's pools under the rule that
optimizer/reserves.py plans with: protected classes alone, wherever they may go, on all replicas left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from data.plan_records import FleetProblem, Pool
from data.records import FloatArray
from optimizer.sets import design_scenario

UNSERVED = 1e3
"""Weight of load left unserved against evenness of the rest, in units of the slowest replica's seconds a request."""


def after_region_loss(
    problem: FleetProblem, pools: Sequence[Pool], month: str, lost: str
) -> dict[Pool, dict[str, float]]:
    """Requests/s by class on every pool of the month that is left, in the block in which it is fullest.

    As much of the design scenario's protected demand as can be carried is, and of all ways to carry it the one that
    fills the fullest pool of an LLM least. Pools that carry nothing are absent.
    """
    left = [pool for pool in pools if pool.month == month and pool.region != lost]
    fullest: dict[Pool, tuple[float, dict[str, float]]] = {}
    for llm in dict.fromkeys(pool.configuration.llm for pool in left):
        mine = [pool for pool in left if pool.configuration.llm == llm]
        for block in range(len(problem.demand.blocks)):
            for pool, (use, carried) in _carried(problem, mine, month, block).items():
                if use > fullest.get(pool, (0.0, {}))[0]:
                    fullest[pool] = use, carried
    return {pool: carried for pool, (_, carried) in fullest.items()}


def _carried(
    problem: FleetProblem, pools: Sequence[Pool], month: str, block: int
) -> dict[Pool, tuple[float, dict[str, float]]]:
    """Share of each pool's operating rate that is used in a block, and requests/s by class; pools of one LLM."""
    demand = problem.demand
    at = demand.rps[:, demand.months.index(month), block, design_scenario(problem)]
    able = [row for row in problem.capacities if row.operating_rps > 0.0]
    rate = {(row.configuration, row.request_class): row.operating_rps for row in able}
    keys = [k for k, key in enumerate(demand.series) if problem.protected[key.request_class] and at[k] > 0.0]
    routes = [
        (i, j)
        for i, k in enumerate(keys)
        for j, pool in enumerate(pools)
        if pool.configuration.llm == demand.series[k].llm
        and pool.region in problem.may_serve[demand.series[k].region]
        and (pool.configuration, demand.series[k].request_class) in rate
    ]
    if not routes:
        return {}
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
    return _by_pool(problem, pools, keys, routes, seconds, np.asarray(answer.x))


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
