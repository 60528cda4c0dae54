"""One series: every vintage against what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.ledger.records import HOUR, Actual, Vintage
from data.records import FloatArray, SeriesKey
from data.units import HOURS_PER_DAY
from reconcile.drift import Drift, drift
from reconcile.expected import expected
from reconcile.tally import (
    Score,
    by_horizon,
    intervals,
    matched,
    naive_scale,
    point_sums,
    score,
    seasonal_naive,
    tally,
)


@dataclass(frozen=True, slots=True)
class MonthScore:
    """A month as a vintage saw it: medians and intervals of its total and peak hour, and what came.

    observed_share under 1 is a month to date: its total is not compared then (NaN), its peak only from above.
    """

    month: str
    observed_share: float
    total_error: float
    total_inside: dict[float, bool]
    peak_error: float
    peak_inside: dict[float, bool]


@dataclass(frozen=True, slots=True)
class VintageScore:
    """One vintage of one series, scored; `spread` holds the factors by which the distance of the lower and the upper
    quantiles from the median would have had to be multiplied to cover as stated, around the level that came where a
    level is off (see on_level; NaN under two weeks of hours); judged: whether drift and spread are told from it."""

    run_id: str
    issued_from: np.datetime64
    hourly: Score
    months: tuple[MonthScore, ...]
    spread: tuple[float, float]
    judged: bool


@dataclass(frozen=True, slots=True)
class Corrected:
    """What is corrected already in a series: the last hour behind the level and quantile corrections in force, and the
    runs of the plans that were made with all of them."""

    until: np.datetime64
    runs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SeriesScore:
    """All vintages of one series; horizons [horizons, columns] and days [n, 3] are sums to build groups from.

    drift: of the track of what was last said before each day; track_start: its first day; since: the hour from which
    its ratio holds.
    """

    key: SeriesKey
    levels: tuple[float, ...]
    vintages: tuple[VintageScore, ...]
    horizons: FloatArray
    days: FloatArray
    drift: Drift
    track_start: np.datetime64
    since: np.datetime64


def spread_factors(real: FloatArray, quantiles: FloatArray, levels: tuple[float, ...]) -> tuple[float, float]:
    """How much wider each side of the outermost central interval had to be: the empirical quantile of the actual's
    distance from the median in units of the stated one (split conformal, one factor a side)."""
    found = intervals(levels)
    seen = ~np.isnan(real)
    if not found or seen.sum() < 14 * HOURS_PER_DAY:
        return float("nan"), float("nan")
    low, high = found[max(found)]
    y, q = real[seen], quantiles[seen]
    middle = q[:, levels.index(0.5)]
    factors = []
    for side, column in ((-1.0, low), (1.0, high)):
        stated = np.maximum(side * (q[:, column] - middle), 1e-9 + 1e-6 * middle)
        level = levels[high]
        factors.append(float(np.quantile(side * (y - middle) / stated, level)))
    return factors[0], factors[1]


def on_level(real: FloatArray, vintage: Vintage, since: np.datetime64) -> FloatArray:
    """The hourly quantiles of a vintage on the level that came, [hours, levels]: times what came over what was said,
    before `since` (datetime64[h]) and from it on. What a level correction mends is not the spread's to mend again."""
    volume = expected(vintage)
    later = vintage.first_hour + np.arange(len(real)) * HOUR >= since
    scaled = vintage.hourly.copy()
    for part in (~later, later):
        seen = part & ~np.isnan(real)
        said = float(volume[seen].sum())
        if said > 0.0:
            scaled[part] *= float(real[seen].sum()) / said
    return scaled


def month_scores(vintage: Vintage, actual: Actual) -> tuple[MonthScore, ...]:
    """Totals and peak hours of the months that a vintage spoke of and of which something was observed."""
    if vintage.monthly_total is None or vintage.monthly_peak_hour is None:
        return ()
    found = []
    middle, pairs = vintage.levels.index(0.5), intervals(vintage.levels)
    for m, month in enumerate(vintage.months):
        start = np.datetime64(month, "M")
        stop = (start + np.timedelta64(1, "M")).astype("datetime64[h]")
        hours = actual.between(start.astype("datetime64[h]"), stop)
        seen = ~np.isnan(hours)
        if not seen.any():
            continue
        whole = bool(seen.all())
        total, peak = float(hours[seen].sum()), float(hours[seen].max())
        stated_total, stated_peak = vintage.monthly_total[m], vintage.monthly_peak_hour[m]
        found.append(
            MonthScore(
                month,
                float(seen.mean()),
                float(stated_total[middle]) / total - 1.0 if whole and total > 0 else float("nan"),
                {n: bool(stated_total[a] <= total <= stated_total[b]) for n, (a, b) in pairs.items()} if whole else {},
                float(stated_peak[middle]) / peak - 1.0 if whole and peak > 0 else float("nan"),
                # A peak that is already too high stays so; one that is still low may come.
                {n: bool(stated_peak[a] <= peak <= stated_peak[b]) for n, (a, b) in pairs.items()}
                if whole
                else {n: False for n, (_, b) in pairs.items() if peak > stated_peak[b]},
            )
        )
    return tuple(found)


def track(vintages: Sequence[Vintage], actual: Actual) -> tuple[FloatArray, NDArray[np.datetime64]]:
    """For every whole observed day from the first vintage on: what happened and what the latest vintage issued before
    the day said, shape [days, 2], and the days (datetime64[D]). Days in a gap are left out of both."""
    first = min(one.first_hour for one in vintages)
    start = first.astype("datetime64[D]")
    if start.astype("datetime64[h]") < first:
        start = start + np.timedelta64(1, "D")
    hours = int((actual.end - start.astype("datetime64[h]")) / HOUR)
    said = np.full(max(hours, 0) // HOURS_PER_DAY * HOURS_PER_DAY, np.nan)
    for one in sorted(vintages, key=lambda v: v.first_hour):
        shift = int((one.first_hour - start.astype("datetime64[h]")) / HOUR)
        # From the first whole day after the vintage on, it is what was last said.
        skip = (-shift) % HOURS_PER_DAY if shift > 0 else -shift
        at = shift + skip
        values = expected(one)[skip : skip + max(len(said) - at, 0)]
        said[at : at + len(values)] = values
    real = actual.between(start.astype("datetime64[h]"), start.astype("datetime64[h]") + len(said) * HOUR)
    sums = np.stack([real, said], axis=1).reshape(-1, HOURS_PER_DAY, 2).sum(axis=1)
    whole = ~np.isnan(sums).any(axis=1)
    return np.asarray(sums[whole]), start + np.flatnonzero(whole)


def reconcile_series(
    key: SeriesKey, vintages: Sequence[Vintage], actual: Actual, corrected: Corrected | None = None
) -> SeriesScore | None:
    """Scores of all vintages of a series of which something was observed; None where nothing was.

    corrected: what is corrected already is not found again. Drift and spread are told from the vintages of plans that
    were made with all of it, or, where there are none, from those issued after what it rests on.

    All vintages must hold the median; those whose levels differ from the last one's are left to it (levels change
    with the configuration, and sums over different levels would mean nothing).
    """
    levels = vintages[-1].levels
    met = [
        (one, real)
        for one in vintages
        if one.levels == levels and one.first_hour < actual.end and not np.isnan(real := matched(one, actual)).all()
    ]
    if not met:
        return None
    fresh = [corrected is None or one.run_id in corrected.runs for one, _ in met]
    if corrected is not None and not any(fresh):
        fresh = [bool(one.issued_from >= corrected.until) for one, _ in met]
    used = [one for (one, _), judged in zip(met, fresh, strict=True) if judged]
    told, when = track(used, actual) if used else (np.zeros((0, 2)), np.zeros(0, "datetime64[D]"))
    found = drift(told[:, 0], told[:, 1])
    # Days are counted without those in a gap: the calendar says when a level began.
    when = when if len(when) else np.array([actual.end.astype("datetime64[D]")])
    start, since = when[0], when[found.since].astype("datetime64[h]")
    scored, ahead_of, days = [], [], []
    for (one, real), judged in zip(met, fresh, strict=True):
        naive = seasonal_naive(actual, one.first_hour, len(real))
        volume = expected(one)
        rows = tally(real, one.hourly, levels, volume, naive, naive_scale(actual, one.first_hour))
        ahead = by_horizon(rows)
        ahead_of.append(ahead)
        days.append(point_sums(real, volume, naive, one.first_hour))
        spread = float("nan"), float("nan")
        if judged:
            spread = spread_factors(real, on_level(real, one, since) if found.level_off else one.hourly, levels)
        scored.append(
            VintageScore(
                one.run_id,
                one.issued_from,
                score(ahead.sum(axis=0), levels),
                month_scores(one, actual),
                spread,
                judged,
            )
        )
    horizons = np.sum(ahead_of, axis=0)
    return SeriesScore(key, levels, tuple(scored), horizons, np.concatenate(days), found, start, since)
