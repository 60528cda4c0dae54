"""Candidate plans held in every scenario: the regret matrix, and the plan whose largest regret is least.

Candidates are the plan itself, the plans made for each named scenario, and the base's a month later. Each one's
commitments are held in each scenario, where everything else is planned anew, with the pools of the scenario's own plan
or of any, whichever is cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from configs.sensitivity import Spread
from cost.fixed_fleet import FixedFleet
from data.plan_records import FleetPlan, FleetProblem
from data.sensitivity_records import NamedOutcome, RegretMatrix
from flows.resolve import Say, counted, my_planner, silent, workers
from flows.worlds import worlds_at
from optimizer.again import Replanned
from optimizer.merge import merge
from optimizer.sets import PoolKey, build_sets

THE_PLAN = "the plan"
WAIT = "base, a month later"


@dataclass(frozen=True, slots=True)
class Held:
    """A candidate's commitments to be held in a scenario."""

    world: FleetProblem
    lots: Mapping[tuple[int, int], int]
    pools: frozenset[PoolKey]


def _anew(world: FleetProblem) -> Replanned | None:
    return my_planner().plan(world)


def _held(one: Held) -> Replanned | None:
    return my_planner().plan(one.world, one.lots, one.pools)


def later(lots: Mapping[tuple[int, int], int], months: int) -> dict[tuple[int, int], int]:
    """Lots by (offer, start), started a month later; what would start after the horizon is not bought."""
    return {(o, start + 1): n for (o, start), n in lots.items() if start + 1 < months}


def matrix(
    names: Sequence[str], scenarios: Sequence[str], usd: Sequence[Sequence[float]], bounds: Sequence[Sequence[float]],
    best_bounds: Sequence[float], commitments: Sequence[str], gap: float, seconds: float = 0.0,
) -> RegretMatrix:  # fmt: skip
    """Regrets of costs [candidate][scenario], and the candidate whose largest is least (ties: the cheaper in all).

    bounds: what each candidate's commitments cost at least there, by linear relaxations; best_bounds: what any do. A
    cost is no less than its bound and a scenario's best no more than the least cost found: the difference is proven.
    """
    columns = range(len(scenarios))
    least = [min(row[j] for row in usd) for j in columns]
    floor = [min(row[j] for row in bounds) for j in columns]

    def over(rows: Sequence[Sequence[float]], best: Sequence[float]) -> list[list[float]]:
        return [[max(row[j] - best[j], 0.0) if row[j] < inf else inf for j in columns] for row in rows]

    regret, proven, relaxed = over(usd, least), over(bounds, least), over(bounds, floor)
    possible = over(usd, best_bounds)

    def choice(regrets: Sequence[Sequence[float]], costs: Sequence[Sequence[float]]) -> str:
        return names[min(range(len(names)), key=lambda i: (max(regrets[i]), sum(costs[i])))]

    def frozen(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
        return tuple(map(tuple, rows))

    return RegretMatrix(
        tuple(names), tuple(scenarios), frozen(usd), frozen(regret), tuple(commitments), choice(regret, usd), gap,
        frozen(proven), frozen(possible), frozen(relaxed), choice(relaxed, bounds), seconds,
    )  # fmt: skip


def regrets(
    fleet: FixedFleet, plan: FleetPlan, spreads: Mapping[str, Spread], named: Sequence[NamedOutcome],
    processes: int = 2, say: Say = silent,
) -> RegretMatrix | None:  # fmt: skip
    """The matrix over the named scenarios; None where a scenario has no plan."""
    start = time.perf_counter()
    worlds = worlds_at(fleet, spreads, [dict(one.set) for one in named])
    with workers(fleet.problem, plan, worlds, processes) as team:
        found = counted(team.each(_anew, worlds), len(worlds), "scenarios planned", say)
        made = [one for one in found if one is not None]
        if len(made) < len(named):
            return None
        signed = planned_lots(fleet.problem, plan)
        candidates = _candidates([one.name for one in named], made, signed, len(fleet.problem.demand.months))
        every = frozenset[PoolKey]().union(*(one.pools for one in made))
        cases = [Held(world, lots, pools) for _, lots in candidates for j, world in enumerate(worlds)
                 for pools in dict.fromkeys((made[j].pools, every))]  # fmt: skip
        answers = list(counted(team.each(_held, cases), len(cases), "commitments held in scenarios", say))
    usd = [[inf] * len(worlds) for _ in candidates]
    bounds = [[inf] * len(worlds) for _ in candidates]
    rows = {id(lots): i for i, (_, lots) in enumerate(candidates)}
    columns = {id(world): j for j, world in enumerate(worlds)}
    for case, one in zip(cases, answers, strict=True):
        i, j = rows[id(case.lots)], columns[id(case.world)]
        if one is not None:
            usd[i][j], bounds[i][j] = min(usd[i][j], one.usd), min(bounds[i][j], one.bound_usd)
    for j, one in enumerate(made):
        # A scenario's own plan is one way to hold its own commitments.
        i = next(i for i, (_, lots) in enumerate(candidates) if lots == dict(one.lots))
        usd[i][j] = min(usd[i][j], one.usd)
    gaps, floors = [one.gap for one in (*made, *answers) if one is not None], [one.bound_usd for one in made]
    words = [_words(fleet, lots) for _, lots in candidates]
    names = [name for name, _ in candidates]
    spent = time.perf_counter() - start
    return matrix(names, [one.name for one in named], usd, bounds, floors, words, max(gaps), spent)


def planned_lots(problem: FleetProblem, plan: FleetPlan) -> dict[tuple[int, int], int]:
    """The plan's own commitments as lots by (offer, start)."""
    offers = build_sets(merge(problem)[0]).commitments
    months = problem.demand.months
    found: dict[tuple[int, int], int] = {}
    for one in plan.purchases:
        if one.term_months:
            o = next(
                o for o, offer in enumerate(offers)
                if (offer.region, offer.gpu, offer.option, offer.term_months)
                == (one.region, one.gpu, one.option, one.term_months)
            )  # fmt: skip
            lots = round(one.gpus / (offers[o].gpus_per_node if problem.whole_nodes else 1))
            key = (o, months.index(one.month))
            found[key] = found.get(key, 0) + lots
    return found


def _candidates(
    names: Sequence[str], made: Sequence[Replanned], signed: Mapping[tuple[int, int], int], months: int
) -> list[tuple[str, dict[tuple[int, int], int]]]:
    """What is worth comparing: commitments of the plan and of each scenario's plan, alike ones once, and the base's a
    month later."""
    found: list[tuple[str, dict[tuple[int, int], int]]] = []

    def add(name: str, lots: dict[tuple[int, int], int]) -> None:
        for i, (other, theirs) in enumerate(found):
            if lots == theirs:
                found[i] = (f"{other}, {name}", theirs)
                return
        found.append((name, lots))

    add(THE_PLAN, dict(signed))
    for name, one in zip(names, made, strict=True):
        add(f"for {name}", dict(one.lots))
    for name, one in zip(names, made, strict=True):
        if name == "base" and one.lots:
            add(WAIT, later(one.lots, months))
    return found


def _words(fleet: FixedFleet, lots: Mapping[tuple[int, int], int]) -> str:
    """Commitments in words."""
    problem = fleet.problem
    offers = build_sets(merge(problem)[0]).commitments
    months = problem.demand.months
    found = []
    for (o, start), n in sorted(lots.items()):
        offer = offers[o]
        unit = offer.gpus_per_node if problem.whole_nodes else 1
        found.append(f"{n * unit} {offer.gpu} in {offer.region} {offer.option} from {months[start]}")
    return ", ".join(found) or "nothing"
