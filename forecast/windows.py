"""Past origins: the forecast as it would have been made several times in the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.records import BoolArray, FloatArray, IntArray
from data.units import HOURS_PER_WEEK
from forecast.calendar import as_sundays, holiday_hours, without_holidays
from forecast.clean import filled, hour_of_week
from forecast.gaps import DAY
from forecast.level import weekly_levels
from forecast.members import combined, four_week_mean, seasonal_naive
from forecast.residuals import PastErrors, day_numbers
from forecast.shift import settled

MOST_FILLED = 0.5


@dataclass(frozen=True, slots=True)
class Window:
    """One past origin: what was forecast and what came; arrays [hours], quiet and date [days].

    actual is what came, holidays included: they are scored, though no model learns from them. ordinary is the same
    with holidays unobserved: what the error bank learns from. history is what was known, filled, and seen which
    of its hours were; levels are those of its weeks [weeks], NaN where hardly observed; last_week is its last week,
    repeated as ordinary days and Sundays.
    """

    history: FloatArray
    seen: BoolArray
    levels: FloatArray
    actual: FloatArray
    ordinary: FloatArray
    forecast: FloatArray
    naive: FloatArray
    four_week: FloatArray
    last_week: FloatArray
    quiet: BoolArray
    date: IntArray


def quiet_days(future: pd.DatetimeIndex, country: str | None = None) -> BoolArray:
    """Whether each 24-hour block of a horizon starts on a weekend day or a holiday; shape [ceil(hours / 24)]."""
    starts = future[::DAY]
    weekend = hour_of_week(starts) >= 5 * 24
    return weekend if country is None else weekend | holiday_hours(starts, country)


def window_hours(length: int, horizon_days: int) -> int:
    """Hours of a backtest window: the wanted horizon, at most a third of the history, whole days."""
    return min(horizon_days, max(length // DAY // 3, 1)) * DAY


def rolling_windows(observed: pd.Series, count: int, horizon_days: int, country: str | None = None) -> list[Window]:
    """Up to `count` windows ending at the end of history, spaced evenly; training keeps four weeks, or a third of the
    history where that is less.

    Each window's history is filled on its own, from what was known then, without the holidays of `country`; its actual
    hours keep them. A window without one observed hour is left out.
    """
    length = len(observed)
    hours = window_hours(length, horizon_days)
    least = max(min(4 * HOURS_PER_WEEK, length // 3), DAY)
    last = length - hours
    if last < least:
        return []
    span = min(last - least, (count - 1) * hours)
    cuts = sorted({last - round(span * i / max(count - 1, 1)) // DAY * DAY for i in range(count)})
    windows = []
    clean = without_holidays(observed, country)
    for cut in cuts:
        actual = observed.iloc[cut : cut + hours]
        if not (actual.notna().any() and clean.iloc[:cut].notna().any()):
            continue
        complete, missing = filled(clean.iloc[:cut])
        history, _ = settled(complete)
        levels = weekly_levels(history.to_numpy(), ~missing)
        future = pd.DatetimeIndex(actual.index)
        point, _, _ = combined(history, future, levels)
        windows.append(
            Window(
                history.to_numpy(),
                ~missing,
                levels,
                actual.to_numpy(dtype=np.float64),
                clean.iloc[cut : cut + hours].to_numpy(dtype=np.float64),
                as_sundays(point, future, country),
                seasonal_naive(filled(observed.iloc[:cut])[0], future),
                as_sundays(four_week_mean(history, future), future, country),
                as_sundays(seasonal_naive(history, future), future, country),
                quiet_days(future, country),
                day_numbers(future),
            )
        )
    return windows


def in_sample(history: pd.Series, observed: pd.Series, country: str | None) -> PastErrors | None:
    """All history against its own weekly shape and levels (under two weeks: daily), for the days that no window covers;
    None under two days.

    history: filled; observed: with NaN where hours are not to be learnt from. Errors are widened for the degrees of
    freedom that the shape takes.
    """
    season = HOURS_PER_WEEK if len(history) >= 2 * HOURS_PER_WEEK else DAY
    cycles = len(history) // season
    if cycles < 2:
        return None
    seen = observed.to_numpy(dtype=np.float64)[-cycles * season :].reshape(cycles, season)
    # Weeks that were mostly filled agree with the mean they were filled with: nothing is learnt from them.
    whole = np.isnan(seen).mean(axis=1) <= MOST_FILLED
    cycles = int(whole.sum())
    if cycles < 2:
        return None
    days = np.repeat(whole, season // DAY)
    values = history.to_numpy()[-len(whole) * season :].reshape(-1, season)[whole]
    mean = np.maximum(values.mean(axis=1, keepdims=True), 1e-300)
    shape = np.square(np.sqrt(values / mean).mean(axis=0))
    fitted = (mean * shape / max(float(shape.mean()), 1e-300)).ravel()
    index = pd.DatetimeIndex(history.index[-len(whole) * season :])
    widen = np.sqrt(cycles / (cycles - 1.0))
    root = np.sqrt(fitted) + widen * (np.sqrt(seen[whole].ravel()) - np.sqrt(fitted))
    quiet, date = quiet_days(index, country)[days], day_numbers(index)[days]
    return PastErrors(np.square(np.maximum(root, 0.0)), fitted, quiet, date)
