"""Another world's plan, fast: the same model with other numbers (optimizer/renumber.py), started from a plan's pools.

1. The linear relaxation, from the basis of the template's: a bound for this world, and prices.
2. Whole commitments for the relaxation of everything else; months in order in whole replicas; commitments and hours
   anew for these. With the pools of the plan or those that the relaxation uses, whichever is cheaper once commitments
   are whole. Where that ends far above the relaxation, with the other, with every pool, and at last as a whole.

A heuristic with a proven gap, much the same in every world, so that differences between worlds are not those of how
long a search happened to take. Deterministic as long as no time limit is hit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from data.plan_records import FleetProblem
from data.records import FloatArray
from data.units import SECONDS_PER_HOUR
from optimizer.blocks import layers, thinned
from optimizer.cost import USD_SCALE, shed_usd
from optimizer.frame import Frame
from optimizer.matrix import Matrix, Solved, open_solver, run
from optimizer.merge import merge
from optimizer.parts import Layout, price
from optimizer.pools import GAP, USED, in_months, ordered, roof, used
from optimizer.renumber import renumbered, same_as_declared
from optimizer.sets import PoolKey, build_sets
from optimizer.template import Template, template

FAR = 0.2
"""A plan this share above the relaxation is not let stand: more pools are tried, then the whole model."""
SECONDS = 10.0
"""A limit for each of the solver's runs, which take tenths of a second."""


@dataclass(frozen=True)
class Stencil:
    """A problem ready to be solved for many worlds. whole: merged, with every block; kept and second: as in
    optimizer/blocks.py; start: solver basis of the template's relaxation."""

    whole: FleetProblem
    known: Template
    kept: tuple[int, ...]
    second: tuple[int, ...]
    start: object


@dataclass(frozen=True, slots=True)
class Replanned:
    """A world's plan: objective and bound (US dollars, as FleetPlan's), lots by (offer, start), committed GPUs by what
    is bought, mean GPUs by (LLM, region, GPU) over months and scenarios, and the pools that run."""

    usd: float
    bound_usd: float
    lots: Mapping[tuple[int, int], int]
    commitments: Mapping[str, int]
    gpus: Mapping[tuple[str, str, str], float]
    pools: frozenset[PoolKey]

    @property
    def gap(self) -> float:
        return (self.usd - self.bound_usd) / max(abs(self.usd), 1e-9)


def stencil(problem: FleetProblem, worlds: Collection[FleetProblem] = ()) -> Stencil:
    """Declares a problem once, with the pools that any of the worlds could want."""
    whole, _ = merge(problem)
    kept, second = layers(whole.demand)
    slim = thinned(whole, kept)
    wanted = {pool for world in worlds for pool in build_sets(merge(world)[0]).pools}
    known = template(slim, frozenset(wanted))
    solver = open_solver(known.declared.matrix, relax=True)
    solver.run()
    return Stencil(whole, known, tuple(kept), tuple(kept.index(b) for b in second), solver.getBasis())


def in_step(ready: Stencil, world: FleetProblem) -> bool:
    """Whether a world's numbers in the template are those of declaring it anew."""
    slim = thinned(merge(world)[0], list(ready.kept))
    _, matrix = renumbered(ready.known, slim)
    return same_as_declared(ready.known, slim, matrix)


def replan(
    ready: Stencil, world: FleetProblem, planned: Collection[PoolKey],
    keep: Mapping[tuple[int, int], int] | None = None, closed: bool = False,
) -> Replanned | None:  # fmt: skip
    """The world's plan, None where no plan is found. planned: the pools to start from; keep: lots by (offer, start)
    that must be bought as they are (after the world's lead time), and then only the planned pools may run. The bound is
    that of keeping these lots with any pools; closed: with the planned ones alone."""
    whole, _ = merge(world)
    frame, matrix = renumbered(ready.known, thinned(whole, list(ready.kept)))
    mine = frozenset(p for p, pool in enumerate(frame.sets.pools) if pool in planned)
    if keep is not None:
        matrix = _holding(ready.known, frame, matrix, keep)
        if closed and mine:
            matrix = replace(matrix, upper=np.minimum(matrix.upper, roof(ready.known.layouts[0], mine)))
    relaxed = _relaxation(matrix, ready.start)
    if relaxed.x is None or relaxed.duals is None:
        return None
    cut = replace(ready.known.layouts[0], matrix=matrix)
    prices = price(cut, relaxed.duals)
    gpus = np.array([pool.configuration.gpus for pool in frame.sets.pools])
    best: tuple[float, FloatArray] | None = None
    every = [mine] if keep is not None and mine else [mine, used(cut, gpus, relaxed.x, USED[0]), frozenset(frame.P)]
    for pools, bought in _ranked(cut, every):
        x = in_months(cut, prices, pools, bought, SECONDS * cut.months, 0)
        if x is None:
            continue
        usd = float(matrix.cost @ x) + matrix.offset + _lost_below(ready, frame, whole, x)
        if best is None or usd < best[0]:
            best = usd, x
        if usd <= relaxed.objective + FAR * abs(relaxed.objective):
            break
    if best is None or best[0] > relaxed.objective + FAR * abs(relaxed.objective):
        # Scarce GPUs: months one after the other may shed what a look at all of them would not.
        start = None if best is None else best[1]
        found = run(matrix, gap=GAP, time_limit_s=SECONDS, seed=world.seed, start=start)
        if found.x is not None:
            x = np.where(matrix.integer, np.round(found.x), found.x)
            usd = float(matrix.cost @ x) + matrix.offset + _lost_below(ready, frame, whole, x)
            best = (usd, x) if best is None or usd < best[0] else best
    return None if best is None else _read(ready.known, frame, best[0], relaxed.objective, best[1])


def keeping_bound_usd(ready: Stencil, world: FleetProblem, keep: Mapping[tuple[int, int], int]) -> float:
    """What a world costs at least with these lots and no others, by the linear relaxation; inf where it has no plan.

    Beside a plan's own bound, the same relaxation with lots free, it says what keeping lots costs without the noise of
    a search; above that plan's cost, it proves that another choice is cheaper.
    """
    frame, matrix = renumbered(ready.known, thinned(merge(world)[0], list(ready.kept)))
    relaxed = _relaxation(_holding(ready.known, frame, matrix, keep), ready.start)
    return float("inf") if relaxed.x is None else relaxed.objective / USD_SCALE


def _relaxation(matrix: Matrix, start: object) -> Solved:
    """The linear relaxation from a basis of another world's."""
    solver = open_solver(matrix, relax=True)
    solver.setBasis(start)
    solver.run()
    info, solution = solver.getInfo(), solver.getSolution()
    if solver.modelStatusToString(solver.getModelStatus()) != "Optimal":
        return run(matrix, relax=True, time_limit_s=SECONDS)
    value = float(info.objective_function_value)
    return Solved("optimal", "Optimal", value, value, np.asarray(solution.col_value), np.asarray(solution.row_dual))


def _holding(known: Template, frame: Frame, matrix: Matrix, keep: Mapping[tuple[int, int], int]) -> Matrix:
    """The matrix with commitments fixed; those that would start before the lead time start after it."""
    lots = dict.fromkeys(((o, start) for o, start in (known.column_index[c] for c in known.columns("buy").tolist())), 0)
    for (o, start), n in keep.items():
        allowed = frame.starts(o)
        if len(allowed):
            lots[o, max(start, allowed[0])] += n
    lower, upper = matrix.lower.copy(), matrix.upper.copy()
    for c in known.columns("buy").tolist():
        lower[c] = upper[c] = float(lots[known.column_index[c][0], known.column_index[c][1]])
    committed = known.columns("committed")
    upper[committed] = np.inf
    return replace(matrix, lower=lower, upper=upper)


def _ranked(cut: Layout, every: list[frozenset[int]]) -> Iterator[tuple[frozenset[int], FloatArray]]:
    """Sets of pools with whole commitments bought for each, everything else relaxed: the cheaper of the first two, the
    other, then the rest."""
    first = []
    for i, pools in enumerate(every):
        if pools and pools not in every[:i]:
            found = ordered(cut, pools, SECONDS, 0) if i < 2 else None
            if found is not None and found.x is not None:
                first.append((found.objective, i, pools, found.x))
    for _, _, pools, x in sorted(first, key=lambda one: one[:2]):
        yield pools, x
    for pools in every[2:]:
        found = ordered(cut, pools, SECONDS, 0)
        if found.x is not None:
            yield pools, found.x


def _lost_below(ready: Stencil, frame: Frame, whole: FleetProblem, x: FloatArray) -> float:
    """What the blocks left out of the template shed at most, in the objective's units: they are served along the
    routes of the least of the blocks kept, as far as that is served itself."""
    demand, found = whole.demand, 0.0
    left = [b for b in range(len(demand.blocks)) if b not in ready.kept]
    if not left or not ready.second:
        return 0.0
    lost = np.zeros((len(demand.series), len(demand.months), len(ready.kept), len(demand.probabilities)))
    for name in ("shed", "api"):
        for c in ready.known.columns(name).tolist():
            m, k, b, s = ready.known.column_index[c]
            lost[k, m, b, s] += x[c]
    served = np.max([demand.rps[:, :, ready.kept[b]] - lost[:, :, b] for b in ready.second], axis=0)
    for b in left:
        short = np.maximum(demand.rps[:, :, b] - served - 1e-6, 0.0)
        for k, m, s in np.argwhere(short > 0.0).tolist():
            usd = shed_usd(frame, k, s) * float(demand.probabilities[s]) * demand.blocks[b].hours * SECONDS_PER_HOUR
            found += USD_SCALE * usd * float(short[k, m, s])
    return found


def _read(known: Template, frame: Frame, value: float, bound: float, x: FloatArray) -> Replanned:
    lots: dict[tuple[int, int], int] = {}
    commitments: dict[str, int] = {}
    for c in known.columns("buy").tolist():
        if round(x[c]) > 0:
            o, start = known.column_index[c]
            offer = frame.sets.commitments[o]
            lots[o, start] = round(x[c])
            what = f"{offer.gpu} in {offer.region} {offer.option}"
            commitments[what] = commitments.get(what, 0) + round(x[c]) * frame.unit(offer)
    gpus: dict[tuple[str, str, str], float] = {}
    ran: set[PoolKey] = set()
    weight = frame.problem.demand.probabilities / len(frame.M)
    for c in known.columns("replicas").tolist():
        if round(x[c]) > 0:
            _, p, s = known.column_index[c]
            pool = frame.sets.pools[p]
            one = pool.configuration
            ran.add(pool)
            place = (one.llm, pool.region, one.gpu)
            gpus[place] = gpus.get(place, 0.0) + float(weight[s]) * round(x[c]) * one.gpus
    return Replanned(value / USD_SCALE, bound / USD_SCALE, lots, commitments, gpus, frozenset(ran))
