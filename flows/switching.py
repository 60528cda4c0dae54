"""At which value of which variable does the decision itself change? Answered by planning anew, and bisection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from configs.sensitivity import Spread
from cost.fixed_fleet import FixedFleet
from data.plan_records import FleetPlan, FleetProblem
from data.sensitivity_records import Switch, Switching
from flows.resolve import my_planner, same, workers
from flows.worlds import worlds_at
from optimizer.again import Replanned

STEPS = 16
"""The value is found to within this part of the way from the base to the end."""
WORTH = 0.0025
"""A decision changes where another saves at least this share of the cost."""
SHARE = 0.15
"""An LLM is on a GPU type or in a region that holds at least this share of its GPUs."""
ASPECTS = ("purchases", "GPU types", "placement")


def main_places(plan: Replanned, at: int) -> dict[str, frozenset[str]]:
    """LLM -> its regions (at = 1) or GPU types (2), by share of its GPUs."""
    sums: dict[str, dict[str, float]] = {}
    for place, gpus in plan.gpus.items():
        mine = sums.setdefault(place[0], {})
        mine[place[at]] = mine.get(place[at], 0.0) + gpus
    return {
        llm: frozenset(name for name, gpus in mine.items() if gpus >= SHARE * sum(mine.values()))
        for llm, mine in sums.items()
    }


def differs(one: Replanned, other: Replanned, aspect: str) -> bool:
    """Whether two plans decide otherwise."""
    if aspect == "purchases":
        return not same(one.commitments, other.commitments)
    at = 2 if aspect == "GPU types" else 1
    return main_places(one, at) != main_places(other, at)


def in_words(plan: Replanned, other: Replanned, aspect: str) -> str:
    """What one plan decides where the other decides otherwise."""
    if aspect == "purchases":
        apart = sorted(
            key
            for key in {*plan.commitments, *other.commitments}
            if plan.commitments.get(key, 0) != other.commitments.get(key, 0)
        )
        return ", ".join(f"{plan.commitments.get(key, 0)} {key}" for key in apart) or "the same"
    at = 2 if aspect == "GPU types" else 1
    mine, theirs = main_places(plan, at), main_places(other, at)
    return "; ".join(
        f"{llm} {'on' if at == 2 else 'in'} {' and '.join(sorted(mine.get(llm, frozenset()))) or 'nothing'}"
        for llm in sorted({*mine, *theirs})
        if mine.get(llm) != theirs.get(llm)
    )


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a variable, to be looked at: problems at STEPS equal steps from the base (first) to the end (last)."""

    variable: str
    base: float
    end: float
    steps: tuple[FleetProblem, ...]


def switches_of(side: Side) -> tuple[tuple[Switch, ...], int, float]:
    """Switches towards one end, how many plans that took, and the largest gap of them.

    The decision has changed where a plan made anew saves WORTH over keeping the base's commitments and pools. Bisection
    between the base and the end: where the decision changes more than once on the way, one of the changes is found.
    """
    planner, gaps = my_planner(), list[float]()

    def made(i: int, keep: Replanned | None = None) -> Replanned | None:
        lots, pools = (None, ()) if keep is None else (keep.lots, keep.pools)
        found = planner.plan(side.steps[i], lots, pools)
        gaps.append(0.0 if found is None else found.gap)
        return found

    base = made(0)
    if base is None:
        return (), len(gaps), max(gaps)
    seen = {0: (base, 0.0)}

    def at(i: int) -> tuple[Replanned, float]:
        """What is decided there, and what it saves over keeping what the base decides."""
        if i not in seen:
            kept, anew = made(i, base), made(i)
            saved = -np.inf if anew is None else np.inf if kept is None else kept.usd - anew.usd
            moved = anew is not None and saved > WORTH * abs(anew.usd)
            seen[i] = (anew, saved) if moved and anew is not None else (base, 0.0)
        return seen[i]

    def value(i: int) -> float:
        return side.base + (side.end - side.base) * i / last

    found, last = [], len(side.steps) - 1
    end, saved = at(last)
    for aspect in ASPECTS:
        if not differs(base, end, aspect):
            continue
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if differs(base, at(middle)[0], aspect) else (middle, high)
        other = at(high)[0]
        found.append(
            Switch(
                side.variable, side.base, side.end, aspect, value(low), value(high),
                in_words(base, other, aspect), in_words(other, base, aspect), float(saved),
            )
        )  # fmt: skip
    return tuple(found), len(gaps), max(gaps)


def switching(fleet: FixedFleet, plan: FleetPlan, spreads: Mapping[str, Spread], processes: int = 2) -> Switching:
    """Where each variable, alone, between its 5 % and 95 % values, changes what is bought, on which GPUs an LLM runs
    and where."""
    sides = []
    for name, spread in spreads.items():
        for end in (spread.low, spread.high):
            if end == spread.base:
                continue
            cases = [{name: spread.base + (end - spread.base) * i / STEPS} for i in range(STEPS + 1)]
            sides.append(Side(name, spread.base, end, tuple(worlds_at(fleet, spreads, cases))))
    ends = [side.steps[-1] for side in sides]
    with workers(fleet.problem, plan, ends, processes) as team:
        answers = list(team.each(switches_of, sides))
    found = tuple(one for switches, _, _ in answers for one in switches)
    moved = {one.variable for one in found}
    return Switching(
        found, tuple(name for name in spreads if name not in moved), sum(n for _, n, _ in answers),
        max((gap for _, _, gap in answers), default=0.0),
    )  # fmt: skip
