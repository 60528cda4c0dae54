"""How much of the last week goes into a forecast: none, unless past windows say so.

A slow course of weather or of the year can make the last week as good as any model, and a portfolio of bounded levels
worse than it. Up to half of the last week is mixed in where that would have erred less over the past windows, by more
than its share of a small penalty: with a few windows, small gains are chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.records import FloatArray
from forecast.windows import Window

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
PENALTY = 0.02
"""Share of the absolute error by which a forecast that was the last week alone would have to be better (assumption,
chosen on generated series)."""
LEAST_WINDOWS = 2
EXACT = 1e-6
"""Errors below this share of demand are rounding."""


def mixed(forecast: FloatArray, last_week: FloatArray, share: float) -> FloatArray:
    """The forecast with a share of the last week, on square roots; [hours]."""
    if share == 0.0:
        return forecast
    return np.asarray(np.square((1.0 - share) * np.sqrt(forecast) + share * np.sqrt(last_week)))


def last_week_share(windows: Sequence[Window]) -> float:
    """The share with the least absolute error over the windows; 0 where they are too few to tell."""
    if len(windows) < LEAST_WINDOWS:
        return 0.0
    errors = [
        sum(float(np.nansum(np.abs(w.actual - mixed(w.forecast, w.last_week, share)))) for w in windows)
        for share in SHARES
    ]
    if errors[0] <= EXACT * sum(float(np.nansum(w.actual)) for w in windows):
        return 0.0
    penalised = [error + PENALTY * share * errors[0] for error, share in zip(errors, SHARES, strict=True)]
    return SHARES[int(np.argmin(penalised))]


def with_last_week(windows: Sequence[Window], share: float) -> list[Window]:
    """The windows as they would have been forecast with that share."""
    return [replace(w, forecast=mixed(w.forecast, w.last_week, share)) for w in windows]
