"""How a plan's cost and risk move with what it assumes. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.records import Source


@dataclass(frozen=True, slots=True)
class Bar:
    """A variable of the tornado: its ends, the plan's expected decision cost at each and at the base, the expected
    share of months short there, and the option that is best at each end. decides: whether that differs from the base's.
    """

    variable: str
    low: float
    high: float
    base_usd: float
    low_usd: float
    high_usd: float
    low_short: float
    high_short: float
    low_best: str
    high_best: str
    decides: bool

    @property
    def swing_usd(self) -> float:
        return abs(self.high_usd - self.low_usd)


@dataclass(frozen=True, slots=True)
class NamedOutcome:
    """A named scenario: expected cash and decision cost of the plan, share of months short, what was set, the decision
    that costs least there, and the plan's regret over it."""

    name: str
    description: str
    cash_usd: float
    usd: float
    short: float
    set: Mapping[str, float]
    best_option: str
    regret_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class OptionOutcome:
    """A decision over the joint draws: mean cost and its spread, chance that any protected month is short, regret
    against the best option of each draw, how often it is that best, and whether no other option has both less cash and
    less risk."""

    name: str
    usd: float
    cash_usd: float
    usd_p5: float
    usd_p95: float
    short: float
    regret: float
    regret_p95: float
    regret_max: float
    best_share: float
    efficient: bool


@dataclass(frozen=True, slots=True)
class CellOutlook:
    """GPUs needed in a region by month, quantiles over draws [month][level], beside what is committed, what the plan
    provisions in all and what quota allows (None: no quota); run_out: date by which the median and the 95 % need pass
    the quota, and the chance that they do within the horizon."""

    region: str
    gpu: str
    levels: tuple[float, ...]
    need: tuple[tuple[float, ...], ...]
    committed: tuple[float, ...]
    quota: float | None
    run_out_p50: str | None
    run_out_p95: str | None
    run_out_chance: float
    planned: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class AssumptionAge:
    """An assumption the answer rests on, where it comes from and how many days old it is; None where undated."""

    name: str
    value: str
    source: Source
    days: int | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Full re-solves: how many, their objectives, in which share the commitments differ from those of the base, planned
    in the same way, by more than a tenth of their GPUs or in what is bought, and by variable the rank correlation with
    committed GPUs. gap_median, gap_most: of the worlds' objectives to their proven bounds.

    A search with a gap finds other commitments by chance too. keeping_usd: what the base's commitments cost more in
    each world, by linear relaxations, which have no such chance; worthwhile: the share of worlds where commitments
    differ and that is at least a quarter percent; proven: where it is more than the gap too.
    """

    solves: int
    seconds: float
    usd: tuple[float, ...]
    committed_gpus: tuple[float, ...]
    changed: float
    drivers: Mapping[str, float]
    decisions: tuple[tuple[str, float], ...]
    """What is committed to, as text, and in which share of solves."""
    method: str
    gap_median: float
    gap_most: float
    base_usd: float
    """Objective of the base planned in the same way."""
    worthwhile: float = 0.0
    proven: float = 0.0
    keeping_usd: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Switch:
    """A value of one variable at which something about the decision changes, found by planning anew.

    aspect: "purchases", "GPU types" or "placement"; value: between `last_same` and `first_other`, the closest values
    tried on both sides; before and after: the decision on both, in words; keep_usd: what keeping the base's commitments
    and pools would cost at the variable's end, over planning anew there; sure: "proven" (more than the gaps of both
    plans), "likely" (their linear relaxations, which have no gap, differ too), or "within the gap".
    """

    variable: str
    base: float
    end: float
    aspect: str
    last_same: float
    first_other: float
    before: str
    after: str
    keep_usd: float
    sure: str = "within the gap"

    @property
    def value(self) -> float:
        return (self.last_same + self.first_other) / 2


@dataclass(frozen=True, slots=True)
class Switching:
    """Every switch, the variables without one, how many plans were made (bounded: `whole` says whether every value was
    looked for to the end) and their largest gap."""

    switches: tuple[Switch, ...]
    steady: tuple[str, ...]
    """Variables that change the cost but no part of the decision, between their 5 % and 95 % ends."""
    solves: int
    gap_most: float
    """Differences in cost smaller than this share of it may be the planning's own."""
    whole: bool = True
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RegretMatrix:
    """Candidate plans held in scenarios: cost by [candidate][scenario] with everything but the commitments planned
    anew, regret over the scenario's least, what each candidate commits to, and the candidate whose largest regret is
    least.

    Costs are those of a search that ends within a gap of its bound. proven: what a regret is at least, whatever a
    longer search would find (0: it is within the gap); possible: what it is at most; relaxed: the same regret by linear
    relaxations, which have no gap, and least_relaxed whose largest is least of these.
    """

    candidates: tuple[str, ...]
    scenarios: tuple[str, ...]
    usd: tuple[tuple[float, ...], ...]
    regret: tuple[tuple[float, ...], ...]
    commitments: tuple[str, ...]
    least: str
    gap_most: float
    proven: tuple[tuple[float, ...], ...] = ()
    possible: tuple[tuple[float, ...], ...] = ()
    relaxed: tuple[tuple[float, ...], ...] = ()
    least_relaxed: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The whole answer. method says how scenarios were priced."""

    scenario: str
    method: str
    months: tuple[str, ...]
    samples: int
    seconds: float
    cash_p5: float
    cash_p50: float
    cash_p95: float
    short_any: float
    """Share of draws in which a protected class is short in some month."""
    short_by_month: tuple[float, ...]
    bars: tuple[Bar, ...]
    named: tuple[NamedOutcome, ...]
    options: tuple[OptionOutcome, ...]
    least_regret: str
    wait_regret_usd: float
    """Expected cost of waiting one month over deciding now."""
    cells: tuple[CellOutlook, ...]
    ages: tuple[AssumptionAge, ...]
    stochastic_usd: float | None = None
    """Value of the stochastic solution: what planning for the mean demand alone would cost more; None if not solved."""
    resolved: Resolved | None = None
    switching: Switching | None = None
    """By planning anew; None if not asked for."""
    regrets: RegretMatrix | None = None
    notes: tuple[str, ...] = ()
