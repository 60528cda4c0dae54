"""Scenario paths: whole futures whose hours, peaks and totals spread as past errors did.

A path is  f(t) x level(t) x (1 + r(t))^2,  r drawn in blocks of whole days from the error bank (weekdays from
weekdays), the same calendar day for every series (forecast/joint.py), so that what moved together moves together;
level(t) is a lognormal shock per path that persists, correlated across series, plus the declared growth and its
uncertainty.
"""

from __future__ import annotations

import numpy as np

from data.records import BoolArray, Float32Array, FloatArray
from data.units import HOURS_PER_MONTH
from forecast.joint import calendar, common_factor, draw_days, rows_by_date
from forecast.residuals import ErrorBank

LEVEL_FLOOR = 0.02
"""Least standard deviation of the log level: no history shows that next month's level is known better than 2 %."""
PRIOR_LEVEL = 0.35
"""Assumption (2026-11) where no backtest window fits: level known within about a factor of 1.4 (one sigma)."""
PRIOR_WINDOWS = 2.0
"""How many windows of evidence the floor counts for when few windows are there."""


def level_sigma(bank: ErrorBank, window_hours: int, horizon_hours: int) -> float:
    """Standard deviation of the log level over the horizon.

    Root mean square of the windows' level errors, widened for the small number of windows; longer horizons than the
    windows drift on like a random walk (square root of time).
    """
    n = len(bank.level)
    if n == 0:
        return PRIOR_LEVEL
    square = float((bank.level**2).sum() + PRIOR_WINDOWS * LEVEL_FLOOR**2) / (n + PRIOR_WINDOWS)
    small = np.sqrt(1.0 + 1.0 / n)
    return float(np.sqrt(square) * small * np.sqrt(max(horizon_hours / max(window_hours, 1), 1.0)))


def correlation(banks: list[ErrorBank]) -> FloatArray:
    """Correlation of level errors across series over their common windows, shrunk half-way to independence; shape
    [series, series]. Pairs with under three common windows take a stated middle of 0.5: services of one company grow
    and fade together."""
    matrix = np.eye(len(banks))
    measured = 0.5 * matrix + 0.5
    by_date = [dict(zip(bank.level_date.tolist(), bank.level.tolist(), strict=True)) for bank in banks]
    for i in range(len(banks)):
        for j in range(i):
            common = sorted(by_date[i].keys() & by_date[j].keys())
            if len(common) < 3:
                continue
            one, two = (np.array([by_date[k][date] for date in common]) for k in (i, j))
            spread = one.std() > 1e-9 and two.std() > 1e-9
            measured[i, j] = measured[j, i] = 0.5 * np.corrcoef(one, two)[0, 1] if spread else 0.0
    mixed = measured
    # Clip to the nearest positive semidefinite matrix: sampled correlations of few windows need not be one.
    values, vectors = np.linalg.eigh(mixed)
    fixed = vectors @ np.diag(np.maximum(values, 1e-6)) @ vectors.T
    scale = 1.0 / np.sqrt(np.diag(fixed))
    return np.asarray(fixed * np.outer(scale, scale))


def simulate(
    forecasts: FloatArray,
    banks: list[ErrorBank],
    quiet: BoolArray,
    sigma: FloatArray,
    growth_per_month: float,
    growth_sd: float,
    ceiling: FloatArray,
    paths: int,
    rng: np.random.Generator,
) -> Float32Array:
    """Paths of every series, shape [series, paths, hours], float32, never negative.

    forecasts: [series, hours] point forecasts; quiet: [days] of the horizon, weekend or holiday; sigma: [series]
    log-level deviations; ceiling: [series] requests an hour that no path exceeds (a multiple of what was ever seen: one
    wild day in a short history must not multiply itself).
    """
    series, hours = forecasts.shape
    days = len(quiet)
    months = np.arange(hours) / HOURS_PER_MONTH
    root = np.linalg.cholesky(correlation(banks))
    shocks = root @ rng.standard_normal((series, paths))
    drift = rng.standard_normal(paths)[:, None] * growth_sd * months
    base = np.log1p(growth_per_month) * months
    uniform, which = rng.random((paths, days)), rng.random((paths, days))
    dates, kinds = calendar(banks)
    factor = common_factor(banks, dates)
    # One draw of calendar days for all series.
    drawn = draw_days(kinds, quiet, uniform) if len(dates) else None
    result = np.empty((series, paths, hours), dtype=np.float32)
    for i, bank in enumerate(banks):
        level = np.exp(np.clip(shocks[i][:, None] * sigma[i] - 0.5 * sigma[i] ** 2 + drift + base, -3.0, 3.0))
        error = np.zeros((paths, days * 24), dtype=np.float32)
        if drawn is not None and len(bank.days):
            rows, bounds = rows_by_date(bank, dates, kinds, factor)
            width = bounds[drawn + 1] - bounds[drawn]
            picked = rows[bounds[drawn] + (which * width).astype(np.int64)]
            error = bank.days.astype(np.float32)[picked].reshape(paths, days * 24)
        path = forecasts[i] * level * np.square(np.maximum(1.0 + error[:, :hours], 0.0))
        result[i] = np.minimum(path, ceiling[i] * np.exp(base))
    return result
