"""Can this history be planned from? Span, gaps, plateaus, doubles, seasons, and what the planner falls back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from data.dataset import Source
from data.records import FloatArray
from data.statistics.arrivals import seasonal_strength
from data.statistics.counts import Counts, hourly_series
from data.units import HOURS_PER_WEEK
from data.workload import autocorrelation

PLATEAU_HOURS = 6
LEAST_HOURS = 24
SEASONAL = 0.3
"""Autocorrelation (or strength) from which on a season is worth following."""
ERRATIC_CV = 1.0
"""Standard deviation over mean of the hourly rate, counting noise taken out."""
Verdict = Literal["forecastable", "short", "erratic", "not plannable"]


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one class. gaps: runs of unobserved hours; plateaus: runs of at least 6 equal hours above zero; seasons: those
    of which the span shows two periods; supports_yearly needs two years."""

    first: str | None
    last: str | None
    hours: int
    gaps: int
    longest_gap_h: int
    zero_hours: int
    plateaus: int
    longest_plateau_h: int
    quietest_hour_utc: int | None
    seasons: tuple[str, ...]
    verdict: Verdict
    reason: str
    fallback: str


@dataclass(frozen=True, slots=True)
class DataReport:
    """Of the dataset: sources by format, rows and what became of them, rows alike in everything, notes."""

    sources: int
    formats: tuple[str, ...]
    rows_in: int
    rejected_share: float
    repaired_share: float
    alike_share: float
    notes: tuple[str, ...]


def runs(mask: FloatArray | pd.Series) -> list[int]:
    """Lengths of the runs of true values."""
    flags = np.concatenate([[0], np.asarray(mask, dtype=np.int8), [0]])
    edges = np.flatnonzero(np.diff(flags))
    return [int(b - a) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def plateaus(hours: FloatArray) -> list[int]:
    """Runs, in hours, of at least 6 hours of the same count above zero: a stuck exporter or a filled-in gap."""
    same = np.concatenate([[False], (hours[1:] == hours[:-1]) & (hours[1:] > 0)])
    return [length + 1 for length in runs(same.astype(np.float64)) if length + 1 >= PLATEAU_HOURS]


@dataclass(frozen=True, slots=True)
class Prospect:
    """Whether an hourly history can be forecast, why, and what the planner does about it (forecast/single.py)."""

    verdict: Verdict
    reason: str
    fallback: str


def forecastable(hours: FloatArray) -> Prospect:
    """hours [n]: requests by hour, NaN where unobserved.

    Erratic: no season stands out, and the hours vary by more than their mean beyond what Poisson counting explains
    (which leaves out classes that are merely rare, and busy ones whose index of dispersion is large by volume alone).
    """
    seen = hours[np.isfinite(hours)]
    if len(seen) < LEAST_HOURS:
        advice = "declare volumes (traffic source `synthetic`) and take the token lengths from this dataset"
        return Prospect("not plannable", f"{len(seen)} whole hours: the planner needs {LEAST_HOURS}", advice)
    if len(seen) < HOURS_PER_WEEK:
        advice = (
            "the planner repeats the shape of the days it has, borrows the week's from other series of the class, and "
            "takes its intervals from a stated prior (grade D)"
        )
        return Prospect("short", f"{len(seen)} h: no weekly season can be seen", advice)
    at_day, at_week = autocorrelation(hours, 24), autocorrelation(hours, HOURS_PER_WEEK)
    said = (at_day, at_week, seasonal_strength(hours, 24), seasonal_strength(hours, HOURS_PER_WEEK))
    strongest = max((value for value in said if value is not None), default=0.0)
    mean = float(seen.mean())
    dispersion = float(seen.var() / mean) if mean > 0 else 0.0
    if mean > 0 and strongest < SEASONAL and (dispersion - 1.0) / mean > ERRATIC_CV**2:
        shown = "unknown" if at_day is None else f"{at_day:.2f}"
        reason = (
            f"hourly index of dispersion {dispersion:,.0f}, autocorrelation at 24 h {shown}: volumes come in "
            "episodes, not in seasons"
        )
        advice = (
            "hours are not forecast: where the backtest's WAPE exceeds 0.8 too, the planner draws whole days of this "
            "class's own past, at a level that moves as its weeks have (grade D). Plan for an upper quantile, or "
            "declare a volume with whoever sends it"
        )
        return Prospect("erratic", reason, advice)
    if len(seen) < 3 * HOURS_PER_WEEK:
        advice = (
            "the planner keeps the weekly profile it can tell from noise and widens its intervals (grade C at best)"
        )
        return Prospect("short", f"{len(seen)} h: the weekly season rests on fewer than three weeks", advice)
    if strongest < SEASONAL:
        reason = f"no season is visible (strongest {strongest:.2f}), and volumes are steady enough for a level"
        return Prospect("forecastable", reason, "none needed: the forecast is close to a constant level")
    return Prospect("forecastable", f"a season is visible (strongest {strongest:.2f})", "none needed")


def quality(counts: Counts) -> Quality:
    """Quality of one class's hourly history."""
    series = hourly_series(counts)
    hours = series.to_numpy(dtype=np.float64)
    missing = runs(np.isnan(hours).astype(np.float64))
    flat = plateaus(hours)
    quiet: int | None = None
    if np.isfinite(hours).sum() >= 2 * 24:
        by_hour = series.groupby(pd.DatetimeIndex(series.index).hour).mean()
        smooth = np.convolve(np.tile(by_hour.to_numpy(), 3), np.ones(5) / 5, mode="same")[24:48]
        quiet = int(np.nanargmin(smooth)) if len(by_hour) == 24 else None
    spans = (("daily", 48), ("weekly", 2 * HOURS_PER_WEEK), ("yearly", 2 * 8760))
    prospect = forecastable(hours)
    return Quality(
        first=f"{series.index[0]:%Y-%m-%d %H:%M}Z" if len(series) else None,
        last=f"{series.index[-1]:%Y-%m-%d %H:%M}Z" if len(series) else None,
        hours=len(hours),
        gaps=len(missing),
        longest_gap_h=max(missing, default=0),
        zero_hours=int((hours == 0).sum()),
        plateaus=len(flat),
        longest_plateau_h=max(flat, default=0),
        quietest_hour_utc=quiet,
        seasons=tuple(name for name, least in spans if len(hours) >= least),
        verdict=prospect.verdict,
        reason=prospect.reason,
        fallback=prospect.fallback,
    )


def data_report(sources: Sequence[Source], alike: int, rows: int) -> DataReport:
    """The books of a dataset over all its sources; `alike` of its `rows` repeat another in everything they say."""
    rows_in = sum(one.rows_in for one in sources)
    notes = [f"{one.name}: {note}" for one in sources for note in one.notes]
    if rows and alike / rows > 0.05:
        notes.append(
            f"{alike / rows:.0%} of the requests repeat another one in everything the log says: either the clock is "
            "coarse or an export was concatenated with itself"
        )
    return DataReport(
        sources=len(sources),
        formats=tuple(sorted({one.format for one in sources})),
        rows_in=rows_in,
        rejected_share=sum(one.rejected for one in sources) / max(rows_in, 1),
        repaired_share=sum(one.repaired for one in sources) / max(rows_in, 1),
        alike_share=alike / max(rows, 1),
        notes=tuple(notes),
    )
