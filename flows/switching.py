"""At which value of which variable does the decision itself change? Answered by planning anew, and bisection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from configs.sensitivity import Spread
from cost.fixed_fleet import FixedFleet
from data.plan_records import FleetPlan, FleetProblem
from data.sensitivity_records import Switch, Switching
from flows.resolve import my_planner, same, workers
from flows.worlds import worlds_at
from optimizer.again import Replanned

STEPS = 16
"""The value is found to within this part of the way from the base to the end."""
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

    Bisection between the base and the end: where the decision changes more than once on the way, one of the changes is
    found.
    """
    plan, seen = my_planner(), dict[int, Replanned | None]()

    def at(i: int) -> Replanned | None:
        if i not in seen:
            seen[i] = plan.plan(side.steps[i])
        return seen[i]

    last = len(side.steps) - 1
    base, end = at(0), at(last)
    if base is None or end is None:
        return (), len(seen), 0.0
    found, extra, keep = [], 0, float("nan")
    for aspect in ASPECTS:
        if not differs(base, end, aspect):
            continue
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            one = at(middle)
            low, high = (low, middle) if one is None or differs(base, one, aspect) else (middle, high)
        other = at(high)
        if other is None:
            continue
        if keep != keep:
            extra += 1
            held = plan.plan(side.steps[last], base.lots, base.pools)
            keep = float("inf") if held is None else held.usd - end.usd

        def value(i: int) -> float:
            return side.base + (side.end - side.base) * i / last

        found.append(
            Switch(
                side.variable, side.base, side.end, aspect, value(low), value(high),
                in_words(base, other, aspect), in_words(other, base, aspect), keep,
            )
        )  # fmt: skip
    gaps = [one.gap for one in seen.values() if one is not None]
    return tuple(found), len(seen) + extra, max(gaps)


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
