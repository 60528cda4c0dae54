"""What the duals and the rules of a plan say: what one more request costs, and which rules contradict each other."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from data.plan_records import FleetProblem, MarginalCost
from data.records import Demand
from optimizer.cost import USD_SCALE
from optimizer.frame import Frame
from optimizer.matrix import compiled, run
from optimizer.merge import Members, merge
from optimizer.model import build_model
from optimizer.rules import switches
from optimizer.sets import build_sets

CONFLICT_INTEGERS = 400
"""Up to here a conflict is looked for in whole replicas; larger models are asked as relaxations."""
SHORT_RPS = 1e-4


def marginal_costs(
    frame: Frame, whole: Demand, duals: Mapping[str, float], members: Members
) -> tuple[MarginalCost, ...]:
    """What one more request/s of mean demand, spread as demand is now, costs over the horizon, by series.

    frame: of the merged problem, whole: its demand with every block; the members of a series share its price. Duals of
    the linear relaxation, so that the last replica is paid by the share of it that is used.
    """
    demand, pi = frame.problem.demand, frame.problem.demand.probabilities
    hours = np.array([block.hours for block in whole.blocks])
    usd = np.zeros(len(demand.series))
    for name, dual in duals.items():
        row, _, rest = name.rstrip("]").partition("[")
        if row not in ("flow_balance", "rounding", "failover"):
            continue
        at = [int(i) for i in rest.split(",")]
        if row == "flow_balance":
            m, k, b, s = at
            usd[k] += dual * float(demand.rps[k, m, b, s])
        elif row == "failover":
            m, _, k, b, s = at
            usd[k] += dual * float(demand.rps[k, m, b, s])
        else:
            m, q, s = at
            for k, rate in frame.into[q]:
                usd[k] += dual * float(demand.rps[k, m, 0, s]) / rate
    found = []
    for k, key in enumerate(demand.series):
        mean = float(np.einsum("mbs,b,s->", whole.rps[k], hours, pi)) / float(hours.sum() * len(demand.months))
        if mean > 0.0:
            price = float(usd[k]) / USD_SCALE / mean
            found += [MarginalCost(str(one), mean, "req/s", price) for one, _ in members[key]]
    return tuple(sorted(found, key=lambda one: (-one.usd_per_unit, one.where)))


def broken_promise(problem: FleetProblem, seconds: float) -> bool | None:
    """Whether protected load within the planning quantile cannot all be served, or not after the loss of a region that
    the plan is to carry; None where time ran out."""
    alike, _ = merge(problem)
    frame = Frame(alike, build_sets(alike))
    declared = compiled(build_model(frame))
    relax = int(declared.matrix.integer.sum()) > CONFLICT_INTEGERS
    # An exposure is priced for an hour a month only: within a wide gap it might be left where it need not be.
    gap = 1e-4 if problem.reserves.region_loss else 1e-2
    solved = run(declared.matrix, relax=relax, gap=gap, time_limit_s=seconds, seed=problem.seed)
    if solved.x is None:
        return None
    for variable, value in zip(declared.variables, solved.x.tolist(), strict=True):
        name = variable.parent_component().local_name
        if value <= SHORT_RPS or name not in ("shed", "exposed"):
            continue
        _, k, _, s = variable.index() if name == "shed" else variable.index()[1:]
        if frame.protected[k] and s in frame.promised:
            return True
    return False


def conflict(problem: FleetProblem, seconds: float) -> tuple[str, ...]:
    """Names of rules that cannot be kept together with the promise to protected classes, and can without any one of
    them: a smallest such set by deletion. Empty where no rule is to blame, or time ran out.

    Only called for plans that are short: a rule that contradicts nothing is then out of the set.
    """
    stop = time.perf_counter() + seconds
    rules = switches(problem)

    def broken(kept: list[str]) -> bool | None:
        given = problem
        for name, lift in rules.items():
            if name not in kept:
                given = lift(given)
        left = stop - time.perf_counter()
        return broken_promise(given, left) if left > 0.0 else None

    if broken([]) is not False or broken(list(rules)) is not True:
        return ()
    kept = list(rules)
    for name in rules:
        without = [one for one in kept if one != name]
        answer = broken(without)
        if answer is None:
            return ()
        if answer:
            kept = without
    return tuple(kept)
