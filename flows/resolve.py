"""Full re-solves of the fleet problem in parallel processes: what a plan made in another world would be.

Every process declares the model once and gives it every world's numbers (optimizer/again.py). Whether these are what a
declaration of their own would give is checked on two worlds; where they are not, every world is declared anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from flows.worlds import changed, worlds, worlds_at
from optimizer.again import Replanned, Stencil, in_step, keeping_bound_usd, replan, stencil
from optimizer.merge import merge
from optimizer.sets import PoolKey, build_sets

T = TypeVar("T")
R = TypeVar("R")
WORTH = 0.0025
"""A decision is another where it saves at least this share of the cost."""
METHOD = "planned anew in full: the declared model with each world's numbers, whole replicas and commitments"


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans worlds of one problem. ready: None where each must be declared anew."""

    problem: FleetProblem
    ready: Stencil | None
    pools: frozenset[PoolKey]

    def plan(
        self, world: FleetProblem, keep: Mapping[tuple[int, int], int] | None = None, pools: Collection[PoolKey] = (),
        closed: bool = False,
    ) -> Replanned | None:  # fmt: skip
        """A world's plan from the plan's pools, or from those given; see optimizer.again.replan."""
        return replan(self._stencil(world), world, pools or self.pools, keep, closed)

    def keeping_bound_usd(self, world: FleetProblem, keep: Mapping[tuple[int, int], int]) -> float:
        """See optimizer.again.keeping_bound_usd."""
        return keeping_bound_usd(self._stencil(world), world, keep)

    def _stencil(self, world: FleetProblem) -> Stencil:
        return stencil(self.problem, [world]) if self.ready is None else self.ready


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

    def each(self, what: Callable[[T], R], over: Iterable[T]) -> Iterator[R]:
        """A parallel map, answers in order."""
        return self.pool.map(what, over)


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


@dataclass(frozen=True, slots=True)
class Beside:
    """A world to be planned, beside the lots of the base."""

    world: FleetProblem
    lots: Mapping[tuple[int, int], int]


def _beside(one: Beside) -> tuple[Replanned | None, float]:
    """The world's plan, and the least that it costs with the base's lots (inf where these have no plan)."""
    mine = my_planner()
    anew = mine.plan(one.world)
    if anew is None or anew.lots == one.lots:
        return anew, float("nan") if anew is None else anew.bound_usd
    return anew, mine.keeping_bound_usd(one.world, one.lots)


Say = Callable[[str], None]


def silent(_: str) -> None:
    """Tells nobody."""


def counted(found: Iterable[R], total: int, what: str, say: Say) -> Iterator[R]:
    """The same, with word of every tenth of them."""
    step = max(total // 10, 1)
    for i, one in enumerate(found, 1):
        if i % step == 0 or i == total:
            say(f"  {i} of {total} {what}")
        yield one


def same(one: Mapping[str, int], other: Mapping[str, int], within: float = 0.1) -> bool:
    """Whether two decisions buy the same things in amounts that differ by no more than a share of the larger's GPUs."""
    total = max(sum(one.values()), sum(other.values()))
    apart = sum(abs(one.get(key, 0) - other.get(key, 0)) for key in {*one, *other})
    return apart <= within * total


def resolve(
    fleet: FixedFleet, plan: FleetPlan, spreads: Mapping[str, Spread], draws: Draws, count: int, processes: int = 2,
    say: Say = silent,
) -> Resolved:  # fmt: skip
    """`count` of the draws, evenly picked, each planned anew in full, beside the base planned in the same way, and
    whether keeping the base's commitments would cost more than the search's own noise."""
    start = time.perf_counter()
    mine = some(draws, np.linspace(0, len(draws) - 1, count).astype(np.int64))
    base = worlds_at(fleet, spreads, [{}])
    problems = [changed(fleet.problem, world) for world in worlds(fleet, mine)]
    with workers(fleet.problem, plan, _outer([*base, *problems]), processes) as team:
        first = next(team.each(_planned, base))
        lots = first.lots if first is not None else {}
        pairs = team.each(_beside, [Beside(problem, lots) for problem in problems])
        answers = list(counted(pairs, count, "draws planned anew", say))
    spent = time.perf_counter() - start
    found = [i for i, (one, _) in enumerate(answers) if one is not None]
    made = [one for one, _ in answers if one is not None]
    kept = [usd for one, usd in answers if one is not None]
    decided = first.commitments if first is not None else {}
    gpus = np.array([float(sum(one.commitments.values())) for one in made])
    kinds: dict[str, int] = {}
    for one in made:
        text = ", ".join(sorted(one.commitments)) or "nothing"
        kinds[text] = kinds.get(text, 0) + 1
    ranked = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    gaps = [one.gap for one in made] or [0.0]
    other = [not same(decided, one.commitments) for one in made]
    worth = [o and usd - one.bound_usd > WORTH * one.usd for o, one, usd in zip(other, made, kept, strict=True)]
    proven = [o and usd > one.usd for o, one, usd in zip(other, made, kept, strict=True)]
    return Resolved(
        solves=len(found),
        seconds=spent,
        usd=tuple(one.usd for one in made),
        committed_gpus=tuple(gpus.tolist()),
        changed=float(np.mean(other)) if made else 0.0,
        drivers={name: correlation(value[found], gpus) for name, value in mine.values.items()},
        decisions=tuple((text, n / len(found)) for text, n in ranked),
        method=METHOD,
        gap_median=float(np.median(gaps)),
        gap_most=float(max(gaps)),
        base_usd=first.usd if first is not None else float("nan"),
        worthwhile=float(np.mean(worth)) if made else 0.0,
        proven=float(np.mean(proven)) if made else 0.0,
        keeping_usd=tuple(usd - one.bound_usd for one, usd in zip(made, kept, strict=True)),
    )


def _outer(problems: Sequence[FleetProblem]) -> list[FleetProblem]:
    """Some worlds that between them want every pool: processes get these instead of all."""
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
