"""At which value of which variable does the decision itself change? Answered by planning anew, and bisection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from configs.sensitivity import Spread
from cost.fixed_fleet import FixedFleet
from data.plan_records import FleetPlan, FleetProblem
from data.sensitivity_records import Switch, Switching
from flows.resolve import WORTH, Say, counted, my_planner, same, silent, workers
from flows.worlds import worlds_at
from optimizer.again import Replanned
from optimizer.sets import PoolKey

STEPS = 16
"""The value is found to within this part of the way from the base to the end."""
MOST = 120
"""Plans that are made at most, two a value tried."""
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

    def value(self, i: int) -> float:
        """The variable at a step."""
        return self.base + (self.end - self.base) * i / (len(self.steps) - 1)


@dataclass(frozen=True, slots=True)
class Probe:
    """A world to be planned twice: with the base's lots and pools, and anew."""

    world: FleetProblem
    lots: Mapping[tuple[int, int], int]
    pools: frozenset[PoolKey]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a probe found; None where there is no plan."""

    kept: Replanned | None
    anew: Replanned | None

    @property
    def saved(self) -> float:
        """What planning anew saves over keeping the base's decision."""
        if self.anew is None:
            return -inf
        return inf if self.kept is None else self.kept.usd - self.anew.usd

    @property
    def other(self) -> Replanned | None:
        """The plan made anew where that is worth it."""
        worth = self.anew is not None and self.saved > WORTH * abs(self.anew.usd)
        return self.anew if worth else None

    @property
    def sure(self) -> str:
        """Whether the saving is more than chance: see data.sensitivity_records.Switch."""
        if self.anew is None or self.kept is None or self.kept.bound_usd > self.anew.usd:
            return "proven"
        relaxed = self.kept.bound_usd - self.anew.bound_usd
        return "likely" if relaxed > WORTH * abs(self.anew.usd) else "within the gap"


def _planned(world: FleetProblem) -> Replanned | None:
    return my_planner().plan(world)


def _tried(one: Probe) -> Tried:
    mine = my_planner()
    return Tried(mine.plan(one.world, one.lots, one.pools, closed=True), mine.plan(one.world))


def sides_of(fleet: FixedFleet, spreads: Mapping[str, Spread]) -> list[Side]:
    """Every variable's ends that differ from its base."""
    found = []
    for name, spread in spreads.items():
        for end in (spread.low, spread.high):
            if end == spread.base:
                continue
            cases = [{name: spread.base + (end - spread.base) * i / STEPS} for i in range(STEPS + 1)]
            found.append(Side(name, spread.base, end, tuple(worlds_at(fleet, spreads, cases))))
    return found


@dataclass(frozen=True, slots=True)
class Found:
    """Switches, what was tried by (side, step), and whether the search went to its end."""

    switches: tuple[Switch, ...]
    tried: Mapping[tuple[int, int], Tried]
    whole: bool


def search(
    each: Callable[[Callable[[Probe], Tried], Sequence[Probe]], Iterable[Tried]], sides: Sequence[Side],
    base: Replanned, most: int = MOST, say: Say = silent,
) -> Found:  # fmt: skip
    """The switches along sides; each: a map, in this process or in others, which have a planner.

    Every end is tried, then bisection goes on along all variables together, a step at a time, until the values are
    found or `most` plans are made, where the most is at stake first. Where the decision changes more than once on the
    way, one of the changes is found.
    """
    seen: dict[tuple[int, int], Tried] = {}

    def look(wanted: Sequence[tuple[int, int]], what: str) -> None:
        probes = [Probe(sides[s].steps[i], base.lots, base.pools) for s, i in wanted]
        found = counted(each(_tried, probes), len(probes), what, say)
        seen.update(zip(wanted, found, strict=True))

    def decided(s: int, i: int) -> Replanned:
        return seen[s, i].other or base

    look([(s, STEPS) for s in range(len(sides))], "ends of variables tried")
    open_ = {
        (s, aspect): (0, STEPS)
        for s in range(len(sides))
        for aspect in ASPECTS
        if differs(base, decided(s, STEPS), aspect)
    }
    whole = True
    while whole and any(high - low > 1 for low, high in open_.values()):
        middles = {key: (low + high) // 2 for key, (low, high) in open_.items() if high - low > 1}
        wanted = sorted(
            {(s, i) for (s, _), i in middles.items()} - set(seen), key=lambda one: (-seen[one[0], STEPS].saved, one)
        )
        room = max((most - 1) // 2 - len(seen), 0)
        whole = len(wanted) <= room
        look(wanted[:room], "values between tried")
        for (s, aspect), i in middles.items():
            if (s, i) in seen:
                low, high = open_[s, aspect]
                open_[s, aspect] = (low, i) if differs(base, decided(s, i), aspect) else (i, high)
    switches = tuple(
        Switch(
            sides[s].variable, sides[s].base, sides[s].end, aspect, sides[s].value(low), sides[s].value(high),
            in_words(base, decided(s, high), aspect), in_words(decided(s, high), base, aspect),
            float(seen[s, STEPS].saved), seen[s, STEPS].sure,
        )
        for (s, aspect), (low, high) in open_.items()
    )  # fmt: skip
    return Found(switches, seen, whole)


def switching(
    fleet: FixedFleet, plan: FleetPlan, spreads: Mapping[str, Spread], processes: int = 2, most: int = MOST,
    say: Say = silent,
) -> Switching | None:  # fmt: skip
    """Where each variable, alone, between its 5 % and 95 % values, changes what is bought, on which GPUs an LLM runs
    and where; None where the base has no plan."""
    start, sides = time.perf_counter(), sides_of(fleet, spreads)
    with workers(fleet.problem, plan, [side.steps[-1] for side in sides], processes) as team:
        base = next(team.each(_planned, [sides[0].steps[0]]))
        if base is None:
            return None
        found = search(team.each, sides, base, most, say)
    moved = {one.variable for one in found.switches}
    gaps = [one.gap for tried in found.tried.values() for one in (tried.kept, tried.anew) if one is not None]
    return Switching(
        found.switches, tuple(name for name in spreads if name not in moved), 1 + 2 * len(found.tried),
        max([base.gap, *gaps]), found.whole, time.perf_counter() - start,
    )  # fmt: skip
