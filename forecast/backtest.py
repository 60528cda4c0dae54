"""Rolling-origin backtest: the forecast as it would have been made, several times in the past, and its scores.

Quantiles of a window are simulated from the errors of the other windows only, so that coverage is honest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.forecast_records import Accuracy
from data.records import BoolArray, FloatArray, IntArray
from data.units import HOURS_PER_WEEK
from forecast.accuracy import bias, covered, mase, pinball, wape
from forecast.calendar import as_sundays, holiday_hours, without_holidays
from forecast.clean import filled
from forecast.members import combined, four_week_mean, seasonal_naive
from forecast.paths import level_sigma, simulate
from forecast.residuals import ErrorBank, bank_from_windows, day_numbers

LEVELS = (0.8, 0.95)
PATHS = 300
CEILING = 4.0
"""Paths stop at this multiple of the largest hour in history; growth declared by the user comes on top."""


@dataclass(frozen=True, slots=True)
class Window:
    """One past origin: what was forecast and what came; arrays [hours], quiet and date [days].

    actual is what came, holidays included: they are scored, though no model learns from them. ordinary is the same
    with holidays unobserved: what the error bank learns from.
    """

    history: FloatArray
    actual: FloatArray
    ordinary: FloatArray
    forecast: FloatArray
    naive: FloatArray
    four_week: FloatArray
    quiet: BoolArray
    date: IntArray


def quiet_days(future: pd.DatetimeIndex, country: str | None = None) -> BoolArray:
    """Whether each 24-hour block of a horizon starts on a weekend day or a holiday; shape [ceil(hours / 24)]."""
    starts = future[::24]
    weekend = np.asarray(starts.day_of_week >= 5)
    return weekend if country is None else weekend | holiday_hours(starts, country)


def window_hours(length: int, horizon_days: int) -> int:
    """Hours of a backtest window: the wanted horizon, at most a third of the history, whole days."""
    return min(horizon_days, max(length // 24 // 3, 1)) * 24


def rolling_windows(observed: pd.Series, count: int, horizon_days: int, country: str | None = None) -> list[Window]:
    """Up to `count` windows ending at the end of history, spaced evenly; training keeps at least half of the rest.

    Each window's history is filled on its own, from what was known then, without the holidays of `country`; its actual
    hours keep them.
    """
    length = len(observed)
    hours = window_hours(length, horizon_days)
    least = max(min(2 * HOURS_PER_WEEK, length // 2), 24)
    last = length - hours
    if last < least:
        return []
    span = min(last - least, (count - 1) * hours)
    cuts = sorted({last - round(span * i / max(count - 1, 1)) // 24 * 24 for i in range(count)})
    windows = []
    clean = without_holidays(observed, country)
    for cut in cuts:
        actual = observed.iloc[cut : cut + hours]
        history, _ = filled(clean.iloc[:cut])
        future = pd.DatetimeIndex(actual.index)
        point, _, _ = combined(history, future)
        windows.append(
            Window(
                history.to_numpy(),
                actual.to_numpy(dtype=np.float64),
                clean.iloc[cut : cut + hours].to_numpy(dtype=np.float64),
                as_sundays(point, future, country),
                seasonal_naive(filled(observed.iloc[:cut])[0], future),
                as_sundays(four_week_mean(history, future), future, country),
                quiet_days(future, country),
                day_numbers(future),
            )
        )
    return windows


def bank_of(windows: list[Window], scale: float) -> ErrorBank:
    """The error bank of the combined forecast over some windows."""
    return bank_from_windows([(w.ordinary, w.forecast, w.quiet, w.date) for w in windows], scale)


def _point(name: str, windows: list[Window], forecasts: list[FloatArray]) -> dict[str, float]:
    actual = np.concatenate([w.actual for w in windows])
    joined = np.concatenate(forecasts)
    scaled = [mase(w.actual, f, w.history, HOURS_PER_WEEK) for w, f in zip(windows, forecasts, strict=True)]
    return {"wape": wape(actual, joined), "bias": bias(actual, joined), "mase": float(np.mean(scaled))}


def _yardstick(name: str, windows: list[Window], forecasts: list[FloatArray]) -> Accuracy:
    """A method that gives points only: its quantiles are its points shifted by its own past errors' quantiles."""
    errors = [w.actual - f for w, f in zip(windows, forecasts, strict=True)]
    losses, hits = [], {level: [] for level in LEVELS}  # type: ignore[var-annotated]
    for i, (w, f) in enumerate(zip(windows, forecasts, strict=True)):
        others = np.concatenate([e for j, e in enumerate(errors) if j != i]) if len(errors) > 1 else errors[i]
        losses.append(pinball(w.actual, np.maximum(f + np.nanquantile(others, 0.95), 0.0), 0.95))
        for level in LEVELS:
            low, high = np.nanquantile(others, [(1 - level) / 2, (1 + level) / 2])
            hits[level].append(covered(w.actual, f + low, f + high))
    hour = {level: float(np.nanmean(found)) for level, found in hits.items()}
    return Accuracy(
        name, len(windows), **_point(name, windows, forecasts), pinball95=float(np.mean(losses)),
        hour_coverage=hour, peak_coverage={}, total_coverage={},
    )  # fmt: skip


def score(windows: list[Window], method: str, scale: float, rng: np.random.Generator) -> tuple[Accuracy, ...]:
    """Accuracy of the method and of the two yardsticks over the same windows; empty without windows."""
    if not windows:
        return ()
    losses: list[float] = []
    hits: dict[str, dict[float, list[float]]] = {k: {lv: [] for lv in LEVELS} for k in ("hour", "peak", "total")}
    for i, w in enumerate(windows):
        bank = bank_of([other for j, other in enumerate(windows) if j != i], scale)
        hours = len(w.actual)
        sigma = np.array([level_sigma(bank, hours, hours)])
        ceiling = np.array([CEILING * w.history.max()])
        paths = simulate(w.forecast[None, :], [bank], w.quiet, sigma, 0.0, 0.0, ceiling, PATHS, rng)[0]
        losses.append(pinball(w.actual, np.quantile(paths, 0.95, axis=0), 0.95))
        seen = ~np.isnan(w.actual)
        for level in LEVELS:
            q = [(1 - level) / 2, (1 + level) / 2]
            low, high = np.quantile(paths, q, axis=0)
            hits["hour"][level].append(covered(w.actual, low, high))
            for name, values, truth in (
                ("peak", paths[:, seen].max(axis=1), w.actual[seen].max()),
                ("total", paths[:, seen].sum(axis=1), w.actual[seen].sum()),
            ):
                low, high = np.quantile(values, q)
                hits[name][level].append(float(low <= truth <= high))
    mean = {name: {lv: float(np.nanmean(found)) for lv, found in by.items()} for name, by in hits.items()}
    own = Accuracy(
        method, len(windows), **_point(method, windows, [w.forecast for w in windows]),
        pinball95=float(np.mean(losses)), hour_coverage=mean["hour"], peak_coverage=mean["peak"],
        total_coverage=mean["total"],
    )  # fmt: skip
    return (
        own,
        _yardstick("seasonal naive", windows, [w.naive for w in windows]),
        _yardstick("four-week mean", windows, [w.four_week for w in windows]),
    )
