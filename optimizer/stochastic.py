"""What it is worth to commit with all scenarios in view instead of their mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.plan_records import FleetProblem
from data.scenario_records import StochasticValue
from optimizer.cost import USD_SCALE
from optimizer.frame import Frame
from optimizer.matrix import Declared, compiled, run
from optimizer.model import build_model
from optimizer.sets import build_sets


def stochastic_value(
    problem: FleetProblem, declared: Declared, relaxed_usd: float, seconds: float
) -> StochasticValue | None:
    r"""The value of the stochastic solution (Birge, 1982), by linear relaxations:

    .. math:: VSS = \min_x \{ Q(x) : B = B^{EV} \} - \min_x Q(x)

    B^EV are the commitments that are best for mean demand, Q the plan's objective over all scenarios. problem and
    declared: merged and compiled; relaxed_usd: its relaxation's value. None where there is one scenario, nothing to
    commit to, or no time.
    """
    demand = problem.demand
    at = {
        variable.index(): c
        for c, variable in enumerate(declared.variables)
        if variable.parent_component().local_name == "buy"
    }
    if len(demand.probabilities) < 2 or not at:
        return None
    mean = replace(demand, probabilities=np.ones(1), rps=(demand.rps @ demand.probabilities)[..., None])
    one = replace(problem, demand=mean)
    small = compiled(build_model(Frame(one, build_sets(one))))
    solved = run(small.matrix, relax=True, time_limit_s=seconds, seed=problem.seed)
    if solved.x is None:
        return None
    lower, upper = declared.matrix.lower.copy(), declared.matrix.upper.copy()
    for variable, value in zip(small.variables, solved.x.tolist(), strict=True):
        if variable.parent_component().local_name == "buy":
            c = at[variable.index()]
            lower[c] = upper[c] = min(max(value, lower[c]), upper[c])
    fixed = replace(declared.matrix, lower=lower, upper=upper)
    lived = run(fixed, relax=True, time_limit_s=seconds, seed=problem.seed)
    if lived.status != "optimal":
        return None
    return StochasticValue(relaxed_usd, lived.objective / USD_SCALE)
