"""What past errors teach: a bank of daily error shapes and the sizes of weekly and window level errors.

Errors are kept in relative square roots, r = sqrt(y / f) - 1, so that a busy hour and a quiet one share a scale and a
path can never be negative. Each backtest window's mean level error is taken out of its days and kept apart: days are
drawn independently, levels persist.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.records import BoolArray, FloatArray, IntArray

FLOOR_SHARE = 0.02
"""Forecasts below this share of the mean are raised to it: relative errors of near zero mean nothing."""


@dataclass(frozen=True, slots=True)
class ErrorBank:
    """days: [n, 24] relative square-root errors of whole days, level removed; quiet: [n], weekend or holiday;
    date: [n], number of the calendar day (blocks of 24 hours since 1970, see `day_numbers`); origin: [n], which window.

    level: log of actual over forecast total of each window, shape [windows]; level_date: [windows], its first day.
    """

    days: FloatArray
    quiet: BoolArray
    date: IntArray
    origin: IntArray
    level: FloatArray
    level_date: IntArray


def day_numbers(index: pd.DatetimeIndex) -> IntArray:
    """The calendar day of each 24-hour block of an hourly index, as days since 1970; shape [ceil(hours / 24)]."""
    return np.asarray(index[::24].tz_convert("UTC").tz_localize(None).to_numpy("datetime64[D]").astype(np.int64))


def relative_errors(actual: FloatArray, forecast: FloatArray, scale: float) -> FloatArray:
    """sqrt(actual / forecast) - 1, with the forecast raised to a floor of FLOOR_SHARE x scale."""
    base = np.maximum(forecast, max(FLOOR_SHARE * scale, 1e-9))
    return np.sqrt(np.maximum(actual, 0.0) / base) - 1.0


def level_error(actual: FloatArray, forecast: FloatArray) -> float:
    """log of actual over forecast total, bounded to a factor of 20 so that an empty window stays finite."""
    total, expected = float(np.nansum(actual)), float(forecast[~np.isnan(actual)].sum())
    if expected <= 0.0:
        return 0.0 if total <= 0.0 else 3.0
    return float(np.clip(np.log(max(total, 1e-9) / expected), -3.0, 3.0))


def bank_from_windows(windows: list[tuple[FloatArray, FloatArray, BoolArray, IntArray]], scale: float) -> ErrorBank:
    """A bank from (actual [h], forecast [h], quiet [h / 24], date [h / 24]) of every window; days with NaN are skipped.

    Windows start at midnight of the series' clock or anywhere else: hour j of a day in the bank is hour j of the
    window's day, and paths are drawn on the same grid.
    """
    days, quiet, dates, origin, level = [], [], [], [], []
    for number, (actual, forecast, is_quiet, date) in enumerate(windows):
        shift = level_error(actual, forecast)
        level.append(shift)
        error = relative_errors(actual, forecast * np.exp(shift), scale)
        for day, flag in enumerate(is_quiet):
            block = error[day * 24 : (day + 1) * 24]
            if len(block) == 24 and not np.isnan(block).any():
                days.append(block)
                quiet.append(flag)
                dates.append(date[day])
                origin.append(number)
    return ErrorBank(
        days=np.asarray(days, dtype=np.float64).reshape(-1, 24),
        quiet=np.asarray(quiet, dtype=np.bool_),
        date=np.asarray(dates, dtype=np.int64),
        origin=np.asarray(origin, dtype=np.int64),
        level=np.asarray(level, dtype=np.float64),
        level_date=np.asarray([one[3][0] for one in windows], dtype=np.int64),
    )
