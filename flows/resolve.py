"""Full re-solves of the fleet problem in parallel processes: what a plan made in another world would be.

Every process declares the model once and gives it every world's numbers (optimizer/again.py). Whether these are what a
declaration of their own would give is checked on two worlds; where they are not, every world is declared anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from scipy.stats import spearmanr

from configs.sensitivity import Spread
from cost.draws import Draws, some
from cost.fixed_fleet import FixedFleet
from data.plan_records import FleetPlan, FleetProblem
from data.records import FloatArray
from data.sensitivity_records import Resolved
from flows.progress import report
from flows.worlds import changed, worlds, worlds_at
from optimizer.again import Replanned, Stencil, in_step, replan, stencil
from optimizer.sets import PoolKey

T = TypeVar("T")
R = TypeVar("R")
METHOD = "planned anew in full: the declared model with each world's numbers, whole replicas and commitments"


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans worlds of one problem. ready: None where each must be declared anew."""

    problem: FleetProblem
    ready: Stencil | None
    pools: frozenset[PoolKey]

    def plan(
        self, world: FleetProblem, keep: Mapping[tuple[int, int], int] | None = None, pools: Collection[PoolKey] = ()
    ) -> Replanned | None:
        """A world's plan from the plan's pools, or from those given; see optimizer.again.replan."""
        ready = stencil(self.problem, [world]) if self.ready is None else self.ready
        return replan(ready, world, pools or self.pools, keep)


def planner(problem: FleetProblem, plan: FleetPlan, known: Sequence[FleetProblem], check: bool = True) -> Planner:
    """A planner for worlds like those known."""
    pools = frozenset(PoolKey(pool.region, pool.configuration) for pool in plan.pools)
    ready: Stencil | None = stencil(problem, known)
    if check and ready is not None and not all(in_step(ready, world) for world in (known[0], known[-1])):
        ready = None
    return Planner(problem, ready, pools)


_mine: list[Planner] = []
"""The planner of a process."""


def _begin(problem: FleetProblem, plan: FleetPlan, known: Sequence[FleetProblem]) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    _mine[:] = [planner(problem, plan, known)]


def my_planner() -> Planner:
    """The planner of this process, for functions that `workers` maps."""
    return _mine[0]


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes that each have a planner (`my_planner`)."""

    pool: ProcessPoolExecutor

    def each(self, what: Callable[[T], R], over: Sequence[T]) -> Iterator[R]:
        """A parallel map, answers in order; each is told as progress."""
        for number, one in enumerate(self.pool.map(what, over), start=1):
            report(f"  plan {number} of {len(over)}")
            yield one


@contextmanager
def workers(problem: FleetProblem, plan: FleetPlan, known: Sequence[FleetProblem], processes: int) -> Iterator[Workers]:
    """Processes that plan worlds like those known."""
    # Spawned: a fork after JAX has started would hang.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(problem, plan, known)
    ) as pool:
        yield Workers(pool)


def _planned(world: FleetProblem) -> Replanned | None:
    return my_planner().plan(world)


def same(one: Mapping[str, int], other: Mapping[str, int], within: float = 0.1) -> bool:
    """Whether two decisions buy the same things in amounts that differ by no more than a share of the larger's GPUs."""
    total = max(sum(one.values()), sum(other.values()))
    apart = sum(abs(one.get(key, 0) - other.get(key, 0)) for key in {*one, *other})
    return apart <= within * total


def resolve(
    fleet: FixedFleet, plan: FleetPlan, spreads: Mapping[str, Spread], draws: Draws, count: int, processes: int = 2
) -> Resolved:
    """`count` of the draws, evenly picked, each planned anew in full, beside the base planned in the same way."""
    start = time.perf_counter()
    mine = some(draws, np.linspace(0, len(draws) - 1, count).astype(np.int64))
    base = worlds_at(fleet, spreads, [{}])
    problems = [*base, *(changed(fleet.problem, world) for world in worlds(fleet, mine))]
    with workers(fleet.problem, plan, _outer(problems), processes) as team:
        first, *answers = team.each(_planned, problems)
    spent = time.perf_counter() - start
    found = [i for i, one in enumerate(answers) if one is not None]
    made = [one for one in answers if one is not None]
    decided = first.commitments if first is not None else {}
    gpus = np.array([float(sum(one.commitments.values())) for one in made])
    kinds: dict[str, int] = {}
    for one in made:
        text = ", ".join(sorted(one.commitments)) or "nothing"
        kinds[text] = kinds.get(text, 0) + 1
    ranked = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    gaps = [one.gap for one in made] or [0.0]
    return Resolved(
        solves=len(found),
        seconds=spent,
        usd=tuple(one.usd for one in made),
        committed_gpus=tuple(gpus.tolist()),
        changed=float(np.mean([not same(decided, one.commitments) for one in made])) if made else 0.0,
        drivers={name: correlation(value[found], gpus) for name, value in mine.values.items()},
        decisions=tuple((text, n / len(found)) for text, n in ranked),
        method=METHOD,
        gap_median=float(np.median(gaps)),
        gap_most=float(max(gaps)),
        base_usd=first.usd if first is not None else float("nan"),
    )


def _outer(problems: Sequence[FleetProblem]) -> list[FleetProblem]:
    """Some worlds that between them want every pool: processes get these instead of all."""
    from optimizer.merge import merge
    from optimizer.sets import build_sets

    found: list[FleetProblem] = []
    seen: set[PoolKey] = set()
    for problem in problems:
        pools = set(build_sets(merge(problem)[0]).pools)
        if not pools <= seen:
            seen |= pools
            found.append(problem)
    return found if len(found) > 1 else [found[0], problems[-1]]


def correlation(x: FloatArray, y: FloatArray) -> float:
    """Spearman's rank correlation; 0 where either does not vary."""
    if len(x) < 3 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return 0.0
    return float(spearmanr(x, y).statistic)


def mean_value(problem: FleetProblem, seconds: float) -> FleetPlan:
    """The plan for the expected demand alone: the yardstick of what planning for scenarios is worth."""
    from optimizer.solve import solve

    demand = problem.demand
    mean = (demand.rps * demand.probabilities).sum(axis=-1, keepdims=True)
    return solve(replace(problem, demand=replace(demand, rps=mean, probabilities=np.ones(1)), time_limit_s=seconds))
