"""Replay: what a finished plan still carries when something in it is lost, worked out apart from the model.

Routing after a loss is a transport problem of its own, solved here from the pools alone, so that a mistake in the
model's rules would show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from data.plan_records import FleetPlan, FleetProblem, Pool


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing lost: what, where, in which month, and requests/s of demand that could not be carried then."""

    what: str
    where: str
    month: str
    unserved_rps: float


def unserved_rps(problem: FleetProblem, month: str, replicas: Mapping[Pool, int], protected_only: bool) -> float:
    """Least demand of a month's blocks, design scenario, that the given replicas cannot carry within residency."""
    demand = problem.demand
    m = demand.months.index(month)
    cumulative = np.cumsum(demand.probabilities)
    s = min(int(np.searchsorted(cumulative, problem.planning_quantile - 1e-9)), len(cumulative) - 1)
    rate = {(row.configuration, row.request_class): row.operating_rps for row in problem.capacities}
    keys = [
        (k, key) for k, key in enumerate(demand.series) if problem.protected[key.request_class] or not protected_only
    ]
    running = list(replicas)
    routes = [
        (i, j)
        for i, (_, key) in enumerate(keys)
        for j, pool in enumerate(running)
        if pool.configuration.llm == key.llm
        and pool.region in problem.may_serve[key.region]
        and (pool.configuration, key.request_class) in rate
    ]
    worst = 0.0
    for b in range(len(demand.blocks)):
        wanted = np.array([float(demand.rps[k, m, b, s]) for k, _ in keys])
        if not routes:
            worst = max(worst, float(wanted.sum()))
            continue
        carry, use = np.zeros((len(keys), len(routes))), np.zeros((len(running), len(routes)))
        for r, (i, j) in enumerate(routes):
            carry[i, r] = 1.0
            use[j, r] = 1.0 / rate[running[j].configuration, keys[i][1].request_class]
        room = np.array([float(replicas[pool]) for pool in running])
        answer = linprog(-np.ones(len(routes)), A_ub=np.vstack([carry, use]), b_ub=np.concatenate([wanted, room]))
        worst = max(worst, float(wanted.sum() + answer.fun))
    return worst


def replay(problem: FleetProblem, plan: FleetPlan, failures: int, zones: int = 1, regions: bool = False) -> list[Loss]:
    """Every single loss: `failures` replicas of one pool at a time, each pool's fullest zone, each region.

    Losing replicas must leave all classes served; losing a zone or a region the protected ones.
    """
    found = []
    for month in dict.fromkeys(pool.month for pool in plan.pools):
        here = {pool: pool.replicas for pool in plan.pools if pool.month == month}
        for pool in here:
            left = here | {pool: max(here[pool] - failures, 0)}
            what = f"{failures} replicas of {pool.configuration.label}"
            found.append(Loss(what, pool.region, month, unserved_rps(problem, month, left, protected_only=False)))
        for region in dict.fromkeys(pool.region for pool in here):
            if zones > 1:
                left = {pool: n - math.ceil(n / zones) if pool.region == region else n for pool, n in here.items()}
                found.append(Loss("zone", region, month, unserved_rps(problem, month, left, protected_only=True)))
            if regions:
                left = {pool: 0 if pool.region == region else n for pool, n in here.items()}
                found.append(Loss("region", region, month, unserved_rps(problem, month, left, protected_only=True)))
    return found
