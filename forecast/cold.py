"""A new series borrows the shape of the week from those that have one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.records import FloatArray
from data.units import HOURS_PER_WEEK
from forecast.clean import filled, hour_of_week

DONOR_WEEKS = 4


def week_shape(observed: pd.Series) -> FloatArray | None:
    """Share of a week's requests by hour of the week, sum 1, [168]; None under four weeks or without traffic."""
    if int(observed.notna().sum()) < DONOR_WEEKS * HOURS_PER_WEEK:
        return None
    values = filled(observed)[0].iloc[-8 * HOURS_PER_WEEK :]
    hours = hour_of_week(pd.DatetimeIndex(values.index))
    total = np.bincount(hours, weights=values.to_numpy(), minlength=HOURS_PER_WEEK)
    count = np.bincount(hours, minlength=HOURS_PER_WEEK)
    mean = total / count
    return np.asarray(mean / mean.sum()) if mean.sum() > 0.0 else None


def pooled_shape(shapes: list[FloatArray]) -> FloatArray | None:
    """Mean of some shapes, each series counting once whatever its size; None without any."""
    return np.asarray(np.mean(shapes, axis=0)) if shapes else None


def from_shape(observed: pd.Series, shape: FloatArray, future: pd.DatetimeIndex) -> FloatArray:
    """The shape at the level of what was observed; [future hours]."""
    known = observed.dropna()
    expected = float(shape[hour_of_week(pd.DatetimeIndex(known.index))].sum())
    scale = float(known.sum()) / expected if expected > 0.0 else 0.0
    return np.asarray(scale * shape[hour_of_week(future)])
