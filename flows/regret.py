"""Candidate plans held in every scenario: the regret matrix, and the plan whose largest regret is least.

Candidates are the plans made for each named scenario, and the base's a month later. Each one's commitments are held in
each scenario, where everything else is planned anew, with the pools of the scenario's own plan or of any, whichever is
cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from configs.sensitivity import Spread
from cost.fixed_fleet import FixedFleet
from data.plan_records import FleetPlan, FleetProblem
from data.sensitivity_records import NamedOutcome, RegretMatrix
from flows.resolve import my_planner, workers
from flows.worlds import worlds_at
from optimizer.again import Replanned
from optimizer.sets import PoolKey

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
    names: Sequence[str], scenarios: Sequence[str], usd: Sequence[Sequence[float]], commitments: Sequence[str],
    gap: float,
) -> RegretMatrix:  # fmt: skip
    """Regrets of a cost matrix [candidate][scenario], and the candidate whose largest is least (ties: the cheaper in
    all)."""
    least = [min(row[j] for row in usd) for j in range(len(scenarios))]
    regret = [[row[j] - least[j] if row[j] < inf else inf for j in range(len(scenarios))] for row in usd]
    best = min(range(len(names)), key=lambda i: (max(regret[i]), sum(usd[i])))
    return RegretMatrix(
        tuple(names), tuple(scenarios), tuple(map(tuple, usd)), tuple(map(tuple, regret)), tuple(commitments),
        names[best], gap,
    )  # fmt: skip


def regrets(
    fleet: FixedFleet, plan: FleetPlan, spreads: Mapping[str, Spread], named: Sequence[NamedOutcome], processes: int = 2
) -> RegretMatrix | None:
    """The matrix over the named scenarios; None where a scenario has no plan."""
    worlds = worlds_at(fleet, spreads, [dict(one.set) for one in named])
    with workers(fleet.problem, plan, worlds, processes) as team:
        made = [one for one in team.each(_anew, worlds) if one is not None]
        if len(made) < len(named):
            return None
        candidates = _candidates([one.name for one in named], made, len(fleet.problem.demand.months))
        every = frozenset[PoolKey]().union(*(one.pools for one in made))
        cases = [Held(world, lots, pools) for _, lots in candidates for j, world in enumerate(worlds)
                 for pools in (made[j].pools, every)]  # fmt: skip
        answers = list(team.each(_held, cases))
    cost = iter([float("inf") if one is None else one.usd for one in answers])
    usd = [[min(next(cost), next(cost)) for _ in worlds] for _ in candidates]
    for j, one in enumerate(made):
        # A scenario's own plan is one way to hold its own commitments.
        i = next(i for i, (_, lots) in enumerate(candidates) if lots == dict(one.lots))
        usd[i][j] = min(usd[i][j], one.usd)
    gaps = [one.gap for one in (*made, *answers) if one is not None]
    words = [_words(fleet, lots) for _, lots in candidates]
    return matrix([name for name, _ in candidates], [one.name for one in named], usd, words, max(gaps))


def _candidates(
    names: Sequence[str], made: Sequence[Replanned], months: int
) -> list[tuple[str, dict[tuple[int, int], int]]]:
    """What is worth comparing: commitments of each scenario's plan, alike ones once, and the base's a month later."""
    found: list[tuple[str, dict[tuple[int, int], int]]] = []

    def add(name: str, lots: dict[tuple[int, int], int]) -> None:
        for i, (other, theirs) in enumerate(found):
            if lots == theirs:
                found[i] = (f"{other}, {name}", theirs)
                return
        found.append((name, lots))

    for name, one in zip(names, made, strict=True):
        add(f"for {name}", dict(one.lots))
    for name, one in zip(names, made, strict=True):
        if name == "base" and one.lots:
            add(WAIT, later(one.lots, months))
    return found


def _words(fleet: FixedFleet, lots: Mapping[tuple[int, int], int]) -> str:
    """Commitments in words."""
    from optimizer.merge import merge
    from optimizer.sets import build_sets

    problem = fleet.problem
    offers = build_sets(merge(problem)[0]).commitments
    months = problem.demand.months
    found = []
    for (o, start), n in sorted(lots.items()):
        offer = offers[o]
        unit = offer.gpus_per_node if problem.whole_nodes else 1
        found.append(f"{n * unit} {offer.gpu} in {offer.region} {offer.option} from {months[start]}")
    return ", ".join(found) or "nothing"
