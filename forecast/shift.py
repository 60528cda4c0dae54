"""Level shifts: a migration or a launch moves demand for good, and history before it is not today's level.

A shift is declared where nearly all days since it lie on one side of nearly all days of the four weeks before it,
weekdays against weekdays: a test of ranks, which bursts, outages and trends do not pass. History before is scaled to
the level since, so that its shape is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.records import FloatArray

LEAST_DAYS = 7
BEFORE_DAYS = 28
LEAST_STEP = float(np.log(1.3))
"""Smaller steps are left to the weekly level (forecast/level.py), which follows them within two weeks."""
TAIL = 0.1
SEASON_DAYS = 7


@dataclass(frozen=True, slots=True)
class Shift:
    """The first day of the new level and its factor on the old one."""

    day: pd.Timestamp
    factor: float


def _day_levels(values: FloatArray) -> FloatArray:
    """Log of daily totals less their mean by day of the week, NaN for empty days; values end at a day's end."""
    days = len(values) // 24
    totals = values[len(values) - days * 24 :].reshape(days, 24).sum(axis=1)
    log = np.log(np.where(totals > 0.0, totals, np.nan))
    return np.asarray(log)


def _step(log: FloatArray, at: int) -> tuple[float, float]:
    """Log step at day `at` if nearly all days after and before it lie apart, else 0; and the mean absolute deviation
    of the days on either side from their own level."""
    before, after = log[max(at - BEFORE_DAYS, 0) : at], log[at : at + BEFORE_DAYS]
    if np.isnan(before).mean() > 0.1 or np.isnan(after).mean() > 0.1:
        return 0.0, 0.0
    # Compared weekday by weekday: a weekend is not a shift.
    kind_before = (np.arange(len(before)) - len(before)) % SEASON_DAYS
    kind_after = np.arange(len(after)) % SEASON_DAYS
    base = np.array([np.nanmedian(before[kind_before == k]) for k in range(SEASON_DAYS)])
    low, high = before - base[kind_before], after - base[kind_after]
    step = float(np.nanmedian(high) - np.nanmedian(low))
    if abs(step) < LEAST_STEP:
        return 0.0, 0.0
    sign = np.sign(step)
    gap = np.nanquantile(sign * high, TAIL) - np.nanquantile(sign * low, 1.0 - TAIL)
    # The days on either side must lie apart by a good part of the step, not only on average.
    apart = np.concatenate([low - np.nanmedian(low), high - np.nanmedian(high)])
    return (step if gap > 0.4 * abs(step) else 0.0), float(np.nanmean(np.abs(apart)))


def latest_shift(history: pd.Series) -> Shift | None:
    """The clearest level shift of the last eight weeks of a filled history, None without one; needs three weeks."""
    values = history.to_numpy()
    log = _day_levels(values)
    n = len(log)
    best, at, least = 0.0, -1, np.inf
    for day in range(max(2 * SEASON_DAYS, n - 8 * SEASON_DAYS), n - LEAST_DAYS + 1):
        with np.errstate(all="ignore"):
            step, rest = _step(log, day)
        if step != 0.0 and rest / abs(step) < least:
            best, at, least = step, day, rest / abs(step)
    if at < 0:
        return None
    start = len(values) - (n - at) * 24
    return Shift(pd.DatetimeIndex(history.index)[start], float(np.exp(best)))


def settled(history: pd.Series) -> tuple[pd.Series, Shift | None]:
    """The history with everything before its latest shift at the level since, and that shift."""
    shift = latest_shift(history)
    if shift is None:
        return history, None
    return history.where(history.index >= shift.day, history * shift.factor), shift
