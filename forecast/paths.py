"""Scenario paths: whole futures whose hours, peaks and totals spread as past errors did.

A path is  f(t) x level(t) x (1 + r(t))^2,  r drawn in blocks of whole days from the error bank (weekdays from
weekdays), the same day of the bank for every series, so that what moved together moves together; level(t) is a
lognormal shock per path that persists, correlated across series, plus the declared growth and its uncertainty.
"""

from __future__ import annotations

import numpy as np

from data.records import Float32Array, FloatArray
from data.units import HOURS_PER_MONTH
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
    """Correlation of level errors across series, shrunk half-way to independence; shape [series, series]."""
    count = min(len(bank.level) for bank in banks)
    matrix = np.eye(len(banks))
    if len(banks) == 1 or count < 3:
        # Too few windows to measure: a stated middle, since services of one company grow and fade together.
        return 0.5 * matrix + 0.5
    levels = np.stack([bank.level[-count:] for bank in banks])
    spread = levels.std(axis=1) > 1e-9
    measured = np.eye(len(banks))
    if spread.sum() > 1:
        measured[np.ix_(spread, spread)] = np.corrcoef(levels[spread])
    mixed = 0.5 * measured + 0.5 * matrix
    # Clip to the nearest positive semidefinite matrix: sampled correlations of few windows need not be one.
    values, vectors = np.linalg.eigh(mixed)
    fixed = vectors @ np.diag(np.maximum(values, 1e-6)) @ vectors.T
    scale = 1.0 / np.sqrt(np.diag(fixed))
    return np.asarray(fixed * np.outer(scale, scale))


def simulate(
    forecasts: FloatArray,
    banks: list[ErrorBank],
    weekend: FloatArray,
    sigma: FloatArray,
    growth_per_month: float,
    growth_sd: float,
    ceiling: FloatArray,
    paths: int,
    rng: np.random.Generator,
) -> Float32Array:
    """Paths of every series, shape [series, paths, hours], float32, never negative.

    forecasts: [series, hours] point forecasts; weekend: [days] of the horizon; sigma: [series] log-level deviations;
    ceiling: [series] requests an hour that no path exceeds (a multiple of what was ever seen: one wild day in a short
    history must not multiply itself).
    """
    series, hours = forecasts.shape
    days = len(weekend)
    months = np.arange(hours) / HOURS_PER_MONTH
    root = np.linalg.cholesky(correlation(banks))
    shocks = root @ rng.standard_normal((series, paths))
    drift = rng.standard_normal(paths)[:, None] * growth_sd * months
    base = np.log1p(growth_per_month) * months
    # One draw of day numbers for all series: banks built on the same windows hold the same calendar days in order.
    uniform = rng.random((paths, days))
    result = np.empty((series, paths, hours), dtype=np.float32)
    for i, bank in enumerate(banks):
        level = np.exp(np.clip(shocks[i][:, None] * sigma[i] - 0.5 * sigma[i] ** 2 + drift + base, -3.0, 3.0))
        error = np.zeros((paths, days * 24), dtype=np.float32)
        if len(bank.days):
            pool = {flag: np.flatnonzero(bank.weekend == flag) for flag in (False, True)}
            everything = np.arange(len(bank.days))
            for day in range(days):
                rows = pool[bool(weekend[day])]
                rows = rows if len(rows) >= 3 else everything
                picked = rows[(uniform[:, day] * len(rows)).astype(np.int64)]
                error[:, day * 24 : (day + 1) * 24] = bank.days[picked]
        path = forecasts[i] * level * np.square(np.maximum(1.0 + error[:, :hours], 0.0))
        result[i] = np.minimum(path, ceiling[i] * np.exp(base))
    return result
