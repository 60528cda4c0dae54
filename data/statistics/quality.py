"""Can this history be planned from? Span, gaps, plateaus, doubles, seasons, and what the planner falls back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from data.dataset import Source
from data.records import FloatArray
from data.statistics.arrivals import Arrivals
from data.statistics.counts import Counts, hourly_series
from data.units import HOURS_PER_WEEK

PLATEAU_HOURS = 6
LEAST_HOURS = 24
SEASONAL = 0.3
"""Autocorrelation (or strength) from which on a season is worth following."""
ERRATIC_DISPERSION = 1000.0
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


def _verdict(hours: int, arrivals: Arrivals) -> tuple[Verdict, str, str]:
    """Whether the hourly history can be forecast, why, and what the planner then does (forecast/portfolio.py)."""
    if hours < LEAST_HOURS:
        advice = "declare volumes (traffic source `synthetic`) and take the token lengths from this dataset"
        return "not plannable", f"{hours} whole hours: the planner needs {LEAST_HOURS}", advice
    if hours < HOURS_PER_WEEK:
        advice = "the planner repeats the days it has, with intervals from a stated prior (grade D)"
        return "short", f"{hours} h: no weekly season can be seen", advice
    said = (
        arrivals.autocorrelation_24h, arrivals.autocorrelation_168h, arrivals.daily_strength, arrivals.weekly_strength,
    )  # fmt: skip
    strongest = max((value for value in said if value is not None), default=0.0)
    dispersion = next((one.dispersion for one in arrivals.rates if one.width_s == 3600), 0.0)
    if strongest < SEASONAL and dispersion > ERRATIC_DISPERSION:
        at_day = "unknown" if said[0] is None else f"{said[0]:.2f}"
        reason = (
            f"hourly index of dispersion {dispersion:,.0f}, autocorrelation at 24 h {at_day}: volumes come in "
            "episodes, not in seasons"
        )
        advice = (
            "the planner keeps its forecast and grades it by its past errors (D where they are large): plan for its "
            "upper quantiles, or declare a volume with the tenant behind it"
        )
        return "erratic", reason, advice
    if hours < 3 * HOURS_PER_WEEK:
        advice = "the planner widens the level's uncertainty to its prior (grade C at best)"
        return "short", f"{hours} h: the weekly season rests on fewer than three weeks", advice
    if strongest < SEASONAL:
        reason = f"no season is visible (strongest {strongest:.2f}), and volumes are steady enough for a level"
        return "forecastable", reason, "none needed: the forecast is close to a constant level"
    return "forecastable", f"a season is visible (strongest {strongest:.2f})", "none needed"


def quality(counts: Counts, arrivals: Arrivals) -> Quality:
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
    verdict, reason, fallback = _verdict(len(hours) - int(np.isnan(hours).sum()), arrivals)
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
        verdict=verdict,
        reason=reason,
        fallback=fallback,
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
