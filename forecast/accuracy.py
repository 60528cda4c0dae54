"""Scores of forecasts against what happened: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from scipy import stats

from data.records import FloatArray


def wape(actual: FloatArray, forecast: FloatArray) -> float:
    """Sum of absolute errors over the sum of actuals, over observed hours; 0 where both are empty."""
    seen = ~np.isnan(actual)
    total = float(np.abs(actual[seen]).sum())
    error = float(np.abs(actual[seen] - forecast[seen]).sum())
    return error / total if total > 0 else float(error > 0)


def bias(actual: FloatArray, forecast: FloatArray) -> float:
    """Forecast total over actual total, minus 1, over observed hours."""
    seen = ~np.isnan(actual)
    total = float(actual[seen].sum())
    return float(forecast[seen].sum()) / total - 1.0 if total > 0 else 0.0


def mase(actual: FloatArray, forecast: FloatArray, history: FloatArray, season: int) -> float:
    """Mean absolute error over the in-sample error of the seasonal naive (Hyndman and Koehler, 2006)."""
    season = season if len(history) > season else max(1, min(24, len(history) - 1))
    naive = np.nanmean(np.abs(history[season:] - history[:-season]))
    error = np.nanmean(np.abs(actual - forecast))
    return float(error / naive) if naive > 0 else float(error > 0)


def pinball(actual: FloatArray, quantile: FloatArray, level: float) -> float:
    """Mean quantile loss over mean demand, over observed hours."""
    seen = ~np.isnan(actual)
    gap = actual[seen] - quantile[seen]
    loss = float(np.maximum(level * gap, (level - 1.0) * gap).mean())
    mean = float(np.abs(actual[seen]).mean())
    return loss / mean if mean > 0 else loss


def covered(actual: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Share of observed values within [low, high]."""
    seen = ~np.isnan(actual)
    return float(((actual >= low) & (actual <= high))[seen].mean()) if seen.any() else float("nan")


def diebold_mariano(ours: FloatArray, theirs: FloatArray) -> float | None:
    """Two-sided p-value that two forecasts' losses by day [n] have the same mean, None under 21 days or without spread.

    Newey-West variance over a week of lags, and the small-sample correction of Harvey, Leybourne and Newbold (1997)
    against Student's t.
    """
    n, lags = len(ours), 7
    if n < 3 * lags or n != len(theirs):
        return None
    gap = ours - theirs
    centred = gap - gap.mean()
    variance = float(centred @ centred) / n
    for lag in range(1, lags + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(centred[lag:] @ centred[:-lag]) / n
    if variance <= 1e-12 * float(np.square(ours + theirs).mean() + 1e-300):
        return None
    small = np.sqrt((n + 1.0 - 2.0 * lags + lags * (lags - 1.0) / n) / n)
    statistic = float(gap.mean()) / np.sqrt(variance / n) * small
    return float(2.0 * stats.t.sf(abs(statistic), n - 1))
