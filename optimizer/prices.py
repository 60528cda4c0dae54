"""Prices of a large model from a small one: scenarios are joined in a few groups, and the relaxation of that is solved.

Any prices cut a model into parts whose sum is a bound (optimizer/parts.py); those of the relaxation are best, but the
relaxation of tens of scenarios takes longer than all the rest. Neighbouring scenarios, in their order of load, are much
alike: the price of a row is that of its group, by its scenario's share of the group's probability.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from data.plan_records import FleetProblem
from data.records import FloatArray, IntArray
from optimizer.frame import Frame
from optimizer.matrix import Declared, Solved, compiled, run
from optimizer.model import build_model
from optimizer.parts import layout
from optimizer.pools import Small, ordering
from optimizer.sets import design_scenario

PRICED_BY_GROUPS = 60_000
"""Models with more columns are; with so many groups that the small model has about as many. A relaxation of 46,000
columns takes 11 s, one of 150,000 minutes; five groups of twenty scenarios cost 2.5 % of the bound
(sizes L and XL of benchmarks.fleet_plan, 2026-11)."""
FEWEST_GROUPS = 5
WITHOUT_SCENARIO = ("started", "running", "budget", "order_lots", "step_least", "step_most", "one_step")
"""Rows that are about no scenario; of all others it is the last index, before the case of a capacity row."""


def joined(problem: FleetProblem, count: int) -> tuple[FleetProblem, IntArray]:
    """The problem with its scenarios joined in groups, each with the mean of its members, and scenario -> group."""
    demand = problem.demand
    pi = demand.probabilities
    groups: IntArray = np.arange(len(pi)) * min(count, len(pi)) // len(pi)
    weight = np.zeros((len(pi), int(groups.max()) + 1))
    weight[np.arange(len(pi)), groups] = pi
    total = weight.sum(axis=0)
    rps = (demand.rps @ weight) / total
    return replace(problem, demand=replace(demand, probabilities=total, rps=rps)), groups


def by_groups(frame: Frame, declared: Declared, seconds: float) -> tuple[Solved, Small | None]:
    """A relaxation known by its duals alone: no point, and no value but that costs are never negative. And the small
    model it comes from, to order on; None where that has no relaxation in time."""
    scenarios = len(frame.problem.demand.probabilities)
    count = max(FEWEST_GROUPS, PRICED_BY_GROUPS * scenarios // max(declared.matrix.columns, 1))
    small, groups = joined(frame.problem, count)
    # The same pools, so that rows have the same names.
    sets = replace(frame.sets, design=design_scenario(small))
    joined_frame = Frame(small, sets)
    other = compiled(build_model(joined_frame))
    solved = run(other.matrix, relax=True, time_limit_s=seconds, seed=frame.problem.seed)
    if solved.duals is None or solved.x is None:
        return solved, None
    share = frame.problem.demand.probabilities / small.demand.probabilities[groups]
    known = {_place(row): dual for row, dual in zip(other.constraints, solved.duals.tolist(), strict=True)}
    duals: FloatArray = np.zeros(declared.matrix.rows)
    for r, row in enumerate(declared.constraints):
        name, index, s = _place(row)
        if s < 0:
            duals[r] = known.get((name, index, s), 0.0)
        else:
            duals[r] = share[s] * known.get((name, index, int(groups[s])), 0.0)
    priced = Solved(solved.status, "priced by groups of scenarios", 0.0, 0.0, None, duals)
    cut, _ = layout(joined_frame, other.matrix, other.variables, len(small.demand.probabilities))
    orders = ordering(cut)
    at = {(v.parent_component().local_name, v.index()): c for c, v in enumerate(declared.variables)}
    names = [(other.variables[c].parent_component().local_name, other.variables[c].index()) for c in orders.tolist()]
    return priced, Small(cut, solved.x, orders, np.array([at[name] for name in names], dtype=np.int64))


def _place(row: Any) -> tuple[str, tuple[Any, ...], int]:
    """A row's name, the rest of its index and its scenario (-1: none)."""
    name, index = row.parent_component().local_name, row.index()
    index = index if isinstance(index, tuple) else (index,)
    if name in WITHOUT_SCENARIO:
        return name, index, -1
    at = len(index) - 2 if name == "capacity" else len(index) - 1
    return name, index[:at] + index[at + 1 :], int(index[at])
