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
    """A named scenario: expected cash and decision cost of the plan, share of months short, what was set."""

    name: str
    description: str
    cash_usd: float
    usd: float
    short: float
    set: Mapping[str, float]
    best_option: str


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
    """GPUs needed in a region by month, quantiles over draws [month][level], beside what is committed and what quota
    allows (None: no quota); run_out: date by which the median and the 95 % need pass the quota, and the chance that
    they do within the horizon."""

    region: str
    gpu: str
    levels: tuple[float, ...]
    need: tuple[tuple[float, ...], ...]
    committed: tuple[float, ...]
    quota: float | None
    run_out_p50: str | None
    run_out_p95: str | None
    run_out_chance: float


@dataclass(frozen=True, slots=True)
class AssumptionAge:
    """An assumption the answer rests on, where it comes from and how many days old it is; None where undated."""

    name: str
    value: str
    source: Source
    days: int | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Full re-solves: how many, their objectives, in how many the first month's commitments differ from the plan's by
    more than a tenth of their GPUs or in what is bought, and by variable the rank correlation with committed GPUs."""

    solves: int
    seconds: float
    usd: tuple[float, ...]
    committed_gpus: tuple[float, ...]
    changed: float
    drivers: Mapping[str, float]
    decisions: tuple[tuple[str, float], ...]
    """What is committed to in the first month, as text, and in which share of solves."""


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
    notes: tuple[str, ...] = ()
