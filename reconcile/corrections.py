"""Corrections: proposed with their evidence, applied once accepted. They are data; no code changes with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from data.ledger.records import Correction
from data.records import FloatArray
from reconcile.capacity import CapacityScore, more_short_than_stated, worst_month
from reconcile.drift import SUP_F_5_PERCENT
from reconcile.fleet import Reconciliation
from reconcile.series import SeriesScore

SPREAD_TOLERANCE = 1.25
"""Quantiles that would have to move by less than this factor are left alone."""
SPREAD_PRIOR_HOURS = 336.0
"""How many hours of evidence the stated spread itself counts for."""
RATIO_TOLERANCE = 0.05
"""Measured token lengths, cache hits and goodputs within this of what was assumed are left alone."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Something assumed and then measured: kind lengths, cache or goodput; target labels; assumed and measured by name,
    in the same unit; n: how many requests or runs the measurement rests on."""

    kind: str
    target: Mapping[str, str]
    assumed: Mapping[str, float]
    measured: Mapping[str, float]
    n: int


def _level(scenario: str, one: SeriesScore, until: str) -> Correction | None:
    d = one.drift
    if not d.level_off:
        return None
    since = str(one.since)
    direction = "over" if d.ratio < 1 else "under"
    shift = "no single break stands out"
    if d.shift_statistic >= SUP_F_5_PERCENT:
        told = "level shift" if d.since else "a break too small or too fresh to be measured by itself"
        shift = f"{told}, sup F {d.shift_statistic:.1f} ({SUP_F_5_PERCENT} is 5 %)"
    return Correction(
        scenario,
        "level",
        asdict(one.key),
        {"factor": round(d.ratio, 6)},
        since,
        until,
        f"{direction}-forecast by {abs(1.0 / d.ratio - 1.0):.1%} over {d.days - d.since} days from {since}; "
        f"{d.severity}: tracking signal {d.tracking_signal:+.1f} (limit 4; {d.chance:.0%} by chance); {shift}",
    )


def _spread(scenario: str, one: SeriesScore, until: str) -> Correction | None:
    """Where a level is proposed as well, the spread is that around it, and no side is narrowed: errors around a level
    that is known by now do not tell how unsure a level is beforehand, which the stated quantiles hold."""
    scored = [v for v in one.vintages if not math.isnan(v.spread[0])]
    if one.drift.silent:
        return None
    hours = sum(v.hourly.observed for v in scored)
    if not hours:
        return None
    weight = hours / (hours + SPREAD_PRIOR_HOURS)
    lower, upper = (
        float(np.exp(weight * np.average(np.log([max(v.spread[side], 0.1) for v in scored]), weights=_hours(scored))))
        for side in (0, 1)
    )
    around = "the median"
    if one.drift.level_off:
        lower, upper, around = max(lower, 1.0), max(upper, 1.0), "the median on the level that came"
    if max(lower, upper, 1 / lower, 1 / upper) < SPREAD_TOLERANCE:
        return None
    coverage = max(scored[-1].hourly.coverage.items())
    return Correction(
        scenario,
        "quantiles",
        asdict(one.key),
        {"lower": round(lower, 4), "upper": round(upper, 4)},
        "",
        until,
        f"over {hours} hours of {len(scored)} vintages quantiles had to be {lower:.2f} (low side) and "
        f"{upper:.2f} (high side) times as far from {around}; the last vintage's {coverage[0]:.0%} interval held "
        f"{coverage[1]:.0%}",
    )


def _hours(scored: Sequence[object]) -> FloatArray:
    return np.array([v.hourly.observed for v in scored], dtype=np.float64)  # type: ignore[attr-defined]


def _measured(scenario: str, one: Measured, until: str) -> Correction | None:
    values, told = {}, []
    for name, assumed in sorted(one.assumed.items()):
        found = one.measured.get(name)
        if found is None or (assumed <= 0 and one.kind != "cache"):
            continue
        off = abs(found - assumed) if one.kind == "cache" else abs(found / assumed - 1.0)
        if off > RATIO_TOLERANCE:
            values[name] = round(found if one.kind == "cache" else found / assumed, 6)
            told.append(f"{name}: assumed {assumed:,.4g}, measured {found:,.4g}")
    if not values:
        return None
    return Correction(scenario, one.kind, dict(one.target), values, "", until, f"{'; '.join(told)} (n = {one.n:,})")


def _margin(scenario: str, llm: str, scores: Sequence[CapacityScore], until: str) -> Correction | None:
    chance = more_short_than_stated(scores)
    if chance >= 0.05:
        return None
    worst = worst_month(scores)
    short = sum(one.short_hours > 0 for one in scores)
    factor = 1.0 + worst.worst_short_rps / max(worst.carried_rps, 1e-9)
    return Correction(
        scenario,
        "margin",
        {"llm": llm},
        {"factor": round(factor, 4)},
        "",
        until,
        f"{short} of {len(scores)} months were short, stated risk {worst.stated_risk:.0%} a month "
        f"({chance:.1%} by chance); the worst hour lacked {worst.worst_short_rps:.3g} req/s",
    )


def propose(
    scenario: str,
    found: Reconciliation,
    measured: Iterable[Measured] = (),
    capacity: Sequence[CapacityScore] = (),
) -> tuple[Correction, ...]:
    """Everything that the evidence speaks for; a person decides (see `fleetcast review`)."""
    proposals: list[Correction | None] = []
    for one in found.series:
        proposals += [_level(scenario, one, found.until), _spread(scenario, one, found.until)]
    proposals += [_measured(scenario, one, found.until) for one in measured]
    for llm in sorted({one.llm for one in capacity}):
        proposals.append(_margin(scenario, llm, [one for one in capacity if one.llm == llm], found.until))
    return tuple(one for one in proposals if one is not None)


def ended(found: Reconciliation) -> tuple[str, ...]:
    """Series of which nothing came, in words, with what to do: no factor on their history makes them right."""
    return tuple(
        f"{one.key}: sent nothing, or next to it, over {one.drift.days - one.drift.since} days from {one.since}: no "
        "level is proposed. Leave the series out of `traffic.series` if it was retired; say under `forecast.events` "
        "where its traffic went if it moved; else look whether the export misses it."
        for one in found.series
        if one.drift.measured and one.drift.silent
    )


def applies(correction: Correction, labels: Mapping[str, str]) -> bool:
    """Whether every label that a correction names has its value."""
    return all(labels.get(name) == value for name, value in correction.target.items())
