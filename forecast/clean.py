"""History made ready for models: complete, finite, and never negative."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.records import BoolArray, IntArray
from data.units import HOURS_PER_WEEK


def filled(values: pd.Series) -> tuple[pd.Series, BoolArray]:
    """The series with unobserved hours filled, and a mask of those hours.

    A missing hour takes the mean of the same hour of the week within the last four observed weeks around it, else of
    the same hour of the day, else the overall mean: models see a plausible level, scores never see these hours.
    """
    mask = values.isna().to_numpy()
    if not mask.any():
        return values.astype(float), mask
    index = pd.DatetimeIndex(values.index)
    by_week = values.groupby([index.day_of_week, index.hour]).transform("mean")
    by_day = values.groupby(index.hour).transform("mean")
    complete = values.fillna(by_week).fillna(by_day).fillna(values.mean())
    return complete.fillna(0.0).astype(float), mask


def hour_of_week(index: pd.DatetimeIndex) -> IntArray:
    """0 for Monday 00:00 UTC to 167."""
    return np.asarray(index.day_of_week * 24 + index.hour, dtype=np.int64)


def last_weeks(values: pd.Series, weeks: int) -> pd.Series:
    """The last `weeks` whole weeks, or all there is."""
    return values.iloc[-weeks * HOURS_PER_WEEK :]
