"""Level shifts: a migration or a launch moves demand for good, and history before it is not today's level.

A shift is declared where nearly all days since it lie on one side of nearly all days of the four weeks before it,
weekdays against weekdays: a test of ranks, which bursts, outages and trends do not pass. History before is scaled to
the level since, so that its shape is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.records import FloatArray, IntArray

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


def _quantile(rows: FloatArray, level: float) -> FloatArray:
    """Quantile along the last axis, NaN left out, linear between order statistics; NaN where all are."""
    ordered = np.sort(rows, axis=-1)
    count = (~np.isnan(ordered)).sum(axis=-1)
    place = level * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    bottom = np.take_along_axis(ordered, low[..., None], axis=-1)[..., 0]
    top = np.take_along_axis(ordered, high[..., None], axis=-1)[..., 0]
    return np.asarray(bottom + (place - low) * (top - bottom))


def _steps(log: FloatArray, at: IntArray) -> tuple[FloatArray, FloatArray]:
    """For each day `at`: the log step there if nearly all days after and before it lie apart, else 0; and the mean
    absolute deviation of the days on either side from their own level."""
    weeks = BEFORE_DAYS // SEASON_DAYS
    around = np.concatenate([np.full(BEFORE_DAYS, np.nan), log, np.full(BEFORE_DAYS, np.nan)])
    span = np.arange(BEFORE_DAYS)
    before, after = around[at[:, None] + span], around[at[:, None] + BEFORE_DAYS + span]
    # Most days may not be missing: up to a tenth of those that history reaches.
    enough = ((~np.isnan(before)).sum(axis=1) >= 0.9 * np.minimum(at, BEFORE_DAYS)) & (
        (~np.isnan(after)).sum(axis=1) >= 0.9 * np.minimum(len(log) - at, BEFORE_DAYS)
    )
    # Compared weekday by weekday: a weekend is not a shift.
    base = _quantile(np.swapaxes(before.reshape(-1, weeks, SEASON_DAYS), 1, 2), 0.5)
    low, high = before - np.tile(base, weeks), after - np.tile(base, weeks)
    middle_low, middle_high = _quantile(low, 0.5), _quantile(high, 0.5)
    step = np.where(enough, np.nan_to_num(middle_high - middle_low), 0.0)
    large = np.flatnonzero(np.abs(step) >= LEAST_STEP)
    found, rest = np.zeros(len(at)), np.zeros(len(at))
    sign = np.sign(step[large])[:, None]
    gap = _quantile(sign * high[large], TAIL) - _quantile(sign * low[large], 1.0 - TAIL)
    # The days on either side must lie apart by a good part of the step, not only on average.
    found[large] = np.where(gap > 0.4 * np.abs(step[large]), step[large], 0.0)
    apart = np.abs(np.concatenate([low - middle_low[:, None], high - middle_high[:, None]], axis=1)[large])
    rest[large] = np.nansum(apart, axis=1) / np.maximum((~np.isnan(apart)).sum(axis=1), 1)
    return found, rest


def latest_shift(history: pd.Series) -> Shift | None:
    """The clearest level shift of the last eight weeks of a filled history, None without one; needs three weeks."""
    values = history.to_numpy()
    log = _day_levels(values)
    n = len(log)
    days = np.arange(max(2 * SEASON_DAYS, n - 8 * SEASON_DAYS), n - LEAST_DAYS + 1)
    if not len(days):
        return None
    step, rest = _steps(log, days)
    clear = np.divide(rest, np.abs(step), out=np.full(len(days), np.inf), where=step != 0.0)
    best = int(np.argmin(clear))
    if step[best] == 0.0:
        return None
    start = len(values) - (n - int(days[best])) * 24
    return Shift(pd.DatetimeIndex(history.index)[start], float(np.exp(step[best])))


def settled(history: pd.Series) -> tuple[pd.Series, Shift | None]:
    """The history with everything before its latest shift at the level since, and that shift."""
    shift = latest_shift(history)
    if shift is None:
        return history, None
    return history.where(history.index >= shift.day, history * shift.factor), shift
