"""History made ready for models: complete, finite, and never negative."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.records import BoolArray, FloatArray, IntArray
from data.units import HOURS_PER_WEEK

LAUNCH_HOURS = 72
LEAST_USE_HOURS = 6
BUSY = 0.75
LEAST_BUSY_HOURS, FAR_LONGER = 24, 5
"""Zeros of at least three days before the first request were before the launch where most hours since had some, or
where they are five times as long as any without since, a day of hours with requests having shown what it does
(assumptions, 2026-11): nights, weekends and holidays without any come again, rare requests have zeros throughout."""
NEAR_DAYS, MONTH_DAYS, FAR_DAYS = 3.0, 21.0, 60
"""How many days away a day tells a third as much of the level of a gap, and of that of its month; beyond the last one,
nothing."""
PRIOR_DAYS = 1.0
"""Days about a gap that the month's level counts for (chosen with the two above on generated series)."""
PER_HOUR = {"s": 3600, "ms": 3600 * 10**3, "us": 3600 * 10**6, "ns": 3600 * 10**9}


def launched(observed: pd.Series) -> tuple[pd.Series, int]:
    """The series from its first request on, and how many hours without any were before: a service that was there but
    not in use is not one whose demand was zero. The whole series where zeros are its nature, or too little remains.
    """
    known = observed.to_numpy(dtype=np.float64)
    first = len(known) - in_use(observed)
    since = known[first:][~np.isnan(known[first:])] > 0.0
    if first < LAUNCH_HOURS or len(since) < LEAST_USE_HOURS:
        return observed, 0
    natural = since.sum() < LEAST_BUSY_HOURS or first < FAR_LONGER * longest(~since)
    if since.mean() < BUSY and natural:
        return observed, 0
    return observed.iloc[first:], first


def longest(flags: BoolArray) -> int:
    """The most in a row that are true."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((ends[1::2] - ends[::2]).max(initial=0))


def in_use(observed: pd.Series) -> int:
    """Hours from the first request to the end; 0 without one."""
    busy = np.nan_to_num(observed.to_numpy(dtype=np.float64)) > 0.0
    return len(busy) - int(busy.argmax()) if busy.any() else 0


def seen_in_use(observed: pd.Series) -> int:
    """Observed hours from the first request on: zeros before it say nothing of a service's level."""
    return int(observed.iloc[len(observed) - in_use(observed) :].notna().sum())


def filled(values: pd.Series) -> tuple[pd.Series, BoolArray]:
    """The series with unobserved hours filled, and a mask of those hours.

    A missing hour takes what its hour of the week is on average (else its hour of the day, else all hours), at the
    level of the days about it: models see a plausible level, scores never see these hours.
    """
    mask = values.isna().to_numpy()
    if not mask.any():
        return values.astype(float), mask
    hours = hour_of_week(pd.DatetimeIndex(values.index))
    known = values.to_numpy(dtype=np.float64)
    day = np.arange(len(known)) // 24
    level = np.ones(len(known))
    for _ in range(2):
        season = week_means(known[~mask] / level[~mask], hours[~mask])
        level = day_levels(known, season[hours])[day]
    # Means of roots lie under means where hours scatter: what is filled adds up as what was seen does.
    fit = season[hours] * level
    seen = float(fit[~mask].sum())
    fit *= float(known[~mask].sum()) / seen if seen > 0.0 else 1.0
    complete = np.where(mask, fit, known)
    return pd.Series(complete, index=values.index), mask


def week_means(values: FloatArray, hours: IntArray) -> FloatArray:
    """Mean by hour of the week, [168]: where there is none that of the hour of the day, else of all; 0 without any."""
    by_week, by_day = (group_means(values, hours % season, season) for season in (HOURS_PER_WEEK, 24))
    overall = float(values.mean()) if len(values) else 0.0
    return np.nan_to_num(np.where(np.isnan(by_week), np.tile(by_day, 7), by_week), nan=overall)


def day_levels(known: FloatArray, season: FloatArray) -> FloatArray:
    """What observed hours were relative to their season by day [days], positive, by square roots over the days about
    it. Where few of those were observed (a holiday between two gaps is no level), the month about them counts more.
    known: [hours], NaN where unobserved; season: [hours]."""
    count = -(-len(known) // 24)
    day = np.arange(len(known)) // 24
    seen = ~np.isnan(known)
    root = np.sqrt(np.where(seen, season, 0.0))
    weight = np.bincount(day, weights=root * root, minlength=count)
    total = np.bincount(day, weights=root * np.sqrt(np.where(seen, known, 0.0)), minlength=count)
    level, unit = np.ones(count), PRIOR_DAYS * 24.0 * float(season.mean())
    for days in (MONTH_DAYS, NEAR_DAYS):
        near = np.exp(-np.abs(np.arange(-FAR_DAYS, FAR_DAYS + 1)) / days)
        about, sure = (np.convolve(one, near)[FAR_DAYS : FAR_DAYS + count] for one in (total, weight))
        level = np.divide(about + unit * level, sure + unit, out=level.copy(), where=sure + unit > 0.0)
    return np.asarray(np.square(level))


def group_means(values: FloatArray, group: IntArray, groups: int) -> FloatArray:
    """Mean by group number, [groups]; NaN where a group is empty."""
    count = np.bincount(group, minlength=groups)
    total = np.bincount(group, weights=values, minlength=groups)
    return np.asarray(np.divide(total, count, out=np.full(groups, np.nan), where=count > 0))


def hour_of_week(index: pd.DatetimeIndex) -> IntArray:
    """0 for Monday 00:00 UTC to 167; index in UTC."""
    # 1970-01-01 was a Thursday. The calendar fields of pandas give the same at twenty times the cost.
    return np.asarray((index.asi8 // PER_HOUR[index.unit] + 3 * 24) % HOURS_PER_WEEK, dtype=np.int64)


def last_weeks(values: pd.Series, weeks: int) -> pd.Series:
    """The last `weeks` whole weeks, or all there is."""
    return values.iloc[-weeks * HOURS_PER_WEEK :]
