"""History made ready for models: complete, finite, and never negative."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.records import BoolArray, FloatArray, IntArray
from data.units import HOURS_PER_WEEK

LAUNCH_HOURS = 72
BUSY = 0.75
"""Zeros of at least three days before the first request were before the launch, where most hours since had some
(assumption, 2026-11): nights and weekends without any are shorter, and rare requests have zeros throughout."""
PER_HOUR = {"s": 3600, "ms": 3600 * 10**3, "us": 3600 * 10**6, "ns": 3600 * 10**9}


def launched(observed: pd.Series) -> tuple[pd.Series, int]:
    """The series from its first request on, and how many hours without any were before: a service that was there but
    not in use is not one whose demand was zero. The whole series where zeros are its nature, or a day would not remain.
    """
    values = np.nan_to_num(observed.to_numpy(dtype=np.float64))
    busy = values > 0.0
    first = int(busy.argmax())
    since = busy[first:][observed.notna().to_numpy()[first:]]
    if first < LAUNCH_HOURS or len(since) < 24 or since.mean() < BUSY:
        return observed, 0
    return observed.iloc[first:], first


def filled(values: pd.Series) -> tuple[pd.Series, BoolArray]:
    """The series with unobserved hours filled, and a mask of those hours.

    A missing hour takes the mean of the same hour of the week, else of the same hour of
    the day, else the overall mean: models see a plausible level, scores never see these hours.
    """
    mask = values.isna().to_numpy()
    if not mask.any():
        return values.astype(float), mask
    hours = hour_of_week(pd.DatetimeIndex(values.index))
    known = values.to_numpy(dtype=np.float64)
    by_week, by_day = (group_means(known[~mask], hours[~mask] % season, season) for season in (HOURS_PER_WEEK, 24))
    expected = np.where(np.isnan(by_week), np.tile(by_day, 7), by_week)
    overall = float(known[~mask].mean()) if not mask.all() else 0.0
    complete = np.where(mask, np.nan_to_num(expected[hours], nan=overall), known)
    return pd.Series(complete, index=values.index), mask


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
