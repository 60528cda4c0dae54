"""What stands under every answer: how often it is short of capacity, and how old what it rests on is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from data.ages import Age, ages_of
from data.scaling_records import PoolScaling
from data.scenario_records import SampleCheck
from data.sensitivity_records import Sensitivity
from reports.assumptions import assumptions
from reports.bundle import PlanBundle
from reports.decision import shortfall_risk


@dataclass(frozen=True, slots=True)
class Standing:
    """How often an answer is short, in words, and the ages of its assumptions by kind."""

    short: str
    ages: tuple[Age, ...]

    @property
    def lines(self) -> tuple[str, str]:
        """The two lines that are printed below an answer."""
        return f"Short of capacity: {self.short}", f"Rests on: {ages_words(self.ages)}"

    @property
    def document(self) -> dict[str, Any]:
        """The same for machines."""
        return {"short_of_capacity": self.short, "assumption_ages": [asdict(one) for one in self.ages]}


def ages_words(ages: Iterable[Age]) -> str:
    """Every kind with its oldest, and how many of it have no date."""
    found = []
    for one in ages:
        parts = [] if one.oldest_days is None else [f"up to {one.oldest_days:,} days old ({one.oldest})"]
        if one.undated:
            parts.append("undated" if one.undated == one.count else f"{one.undated} of {one.count} undated")
        found.append(f"{one.kind} {', '.join(parts)}")
    return "; ".join(found) or "nothing that has an age"


def sample_words(found: SampleCheck) -> str:
    """A plan in fresh scenarios."""
    return (
        f"protected load is lost in {found.months_short:.1%} of months of {found.scenarios:,} fresh scenarios, "
        f"{found.hours_short_per_month:.2g} h a month; a reserve is called on in {found.months_over:.1%} (stated risk "
        f"{found.stated_risk:.0%})"
    )


def risk_words(bundle: PlanBundle) -> str:
    """A plan in its own demand scenarios."""
    beyond_steady, beyond_all = shortfall_risk(bundle)
    cut = "".join(f"; {text}" for text in bundle.broken)
    return (
        f"the peak passes all capacity in {beyond_all:.0%} of the plan's demand scenarios, and calls on a reserve in "
        f"{beyond_steady:.0%}{cut}"
    )


def of_plan(bundle: PlanBundle, today: date) -> Standing:
    """A plan's: in fresh scenarios where it was tried on some, else in its own."""
    kinds = {"price": "GPU prices", "mix": "request mixes", "service curve": "GPU figures"}
    dated = [(kinds[str(one["kind"])], str(one["as_of"])) for one in assumptions(bundle)]
    dated += [("cost assumptions", source.as_of) for _, _, source in bundle.costs.assumptions.values()]
    sample = bundle.plan.sample
    return Standing(risk_words(bundle) if sample is None else sample_words(sample), ages_of(dated, today))


def of_sensitivity(answer: Sensitivity, today: date) -> Standing:
    """A sensitivity's: over its draws."""
    priced = "GPU prices"
    dated = [(priced if one.name == priced else "ranges of variables", one.source.as_of) for one in answer.ages]
    short = f"a protected class in {answer.short_any:.1%} of {answer.samples:,} draws"
    return Standing(short, ages_of(dated, today))


def of_scaling(pools: Sequence[PoolScaling], today: date) -> Standing:
    """A scaling's: seconds of the days it was tried on."""
    rows = [(verdict.short_s, pool) for pool in pools for verdict in pool.chosen.verdicts]
    worst = max((seconds for seconds, _ in rows), default=0.0)
    days = sum(seconds > 0.0 for seconds, _ in rows)
    allowed = max((pool.burst.short_s for pool in pools), default=0.0)
    short = (
        f"on {days} of {len(rows)} days tried, at most {worst:,.0f} s of a day ({allowed:,.0f} s are allowed), by the "
        "policies chosen"
    )
    return Standing(short, ages_of([one for pool in pools for one in pool.assumed], today))
