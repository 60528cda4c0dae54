"""Blocks of a month that cannot matter are left out of the model, and the answer is checked for it.

Where a block's demand is nowhere above another's, replicas that serve the other in full serve it too, along the same
routes: its rows say nothing then. Only what is shed, or bought from an API, can differ. So the most loaded blocks are
kept and those just below them, where it shows whether anything is shed at all outside the peak; the rest is left out.
Leaving rows and costs out can only lower the optimum, so the bound holds for the whole; and a plan that sheds nothing
in the blocks just below the peak costs the same in the whole. Where one does, it is completed in the whole, its bound
goes with it, and what is left of the time is spent there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.plan_records import FleetProblem
from data.records import Demand, FloatArray
from optimizer.matrix import Declared, Solved, run

SERVED_RPS = 1e-6


def _undominated(demand: Demand, among: list[int]) -> list[int]:
    """Blocks of `among` that no other of them exceeds everywhere; of equals the first."""
    rps, found = demand.rps, []
    for b in among:
        over = [o for o in among if o != b and (rps[:, :, o] >= rps[:, :, b]).all()]
        if not any((rps[:, :, o] > rps[:, :, b]).any() or o < b for o in over):
            found.append(b)
    return found


def layers(demand: Demand) -> tuple[list[int], list[int]]:
    """The blocks to keep, in order, and those of them that must be served in full for the rest not to matter."""
    every = list(range(len(demand.blocks)))
    first = _undominated(demand, every)
    second = _undominated(demand, [b for b in every if b not in first])
    rest = [b for b in every if b not in first and b not in second]
    return (sorted(first + second), second) if rest else (every, [])


def thinned(problem: FleetProblem, kept: list[int]) -> FleetProblem:
    """The problem with these blocks alone."""
    demand = problem.demand
    if len(kept) == len(demand.blocks):
        return problem
    blocks = tuple(demand.blocks[b] for b in kept)
    return replace(problem, demand=replace(demand, blocks=blocks, rps=np.ascontiguousarray(demand.rps[:, :, kept])))


def served(declared: Declared, x: FloatArray, blocks: list[int]) -> bool:
    """Whether a point sheds nothing, and buys nothing from an API, in these blocks of its model."""
    return all(
        x[c] <= SERVED_RPS or variable.index()[2] not in blocks
        for c, variable in enumerate(declared.variables)
        if variable.parent_component().local_name in ("shed", "api")
    )


def expanded(slim: Declared, x: FloatArray, whole: Declared) -> Solved:
    """The point of the model with every block that has the replicas, openings and commitments of a point without some:
    flows, what is shed and hourly supply that is not bought in whole lots are found anew, a linear program."""
    names = [variable.parent_component().local_name for variable in slim.variables]
    settled = {
        (name, variable.index()): value
        for name, variable, value, fixed in zip(names, slim.variables, x.tolist(), slim.matrix.integer, strict=True)
        if fixed
    }
    lower, upper = whole.matrix.lower.copy(), whole.matrix.upper.copy()
    for c, variable in enumerate(whole.variables):
        value = settled.get((variable.parent_component().local_name, variable.index()))
        if value is not None:
            lower[c] = upper[c] = value
    return run(replace(whole.matrix, lower=lower, upper=upper), relax=True)


def priced_by_name(slim: Declared, duals: FloatArray | None, whole: Declared) -> FloatArray | None:
    """Duals of the model without some blocks, for the rows of the model with every block: those of blocks left out
    say nothing, and are worth nothing."""
    if duals is None:
        return None
    rows = ((row.parent_component().local_name, row.index()) for row in slim.constraints)
    known = dict(zip(rows, duals.tolist(), strict=True))
    places = ((row.parent_component().local_name, row.index()) for row in whole.constraints)
    return np.array([known.get(place, 0.0) for place in places])
