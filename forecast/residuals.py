"""What past errors teach about hours: standardised errors of whole days, by calendar date.

Errors are kept on square roots, e = sqrt(y) - sqrt(f), in units of s(f) with s^2 = a + b f: counting noise has a
constant deviation there and proportional noise one that grows with sqrt(f), so a busy hour and a quiet one share a
scale, an hour that is expected empty cannot blow up, and a path can never be negative. The level error of each week of
a window is taken out first and kept apart (forecast/level.py): days are drawn independently, levels persist.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from data.records import BoolArray, FloatArray, IntArray
from data.units import HOURS_PER_WEEK
from forecast.gaps import DAY, completed_days, observed_days

SHRINK_HOURS = 12.0
"""How many days of evidence the common scale counts for against an hour's own."""


@dataclass(frozen=True, slots=True)
class ErrorBank:
    """days: [n, 24] standardised errors of complete days, sorted by date, level removed; date: [n], days since 1970
    (see `day_numbers`); quiet: [n], weekend or holiday; constant, slope: a and b above; hour_scale: [2, 24], by kind of
    day and hour, about 1; reach: hours by which one step moves a drawn day."""

    days: FloatArray
    date: IntArray
    quiet: BoolArray
    constant: float
    slope: float
    hour_scale: FloatArray
    reach: int = 1

    def spread(self, forecast: FloatArray) -> FloatArray:
        """s(f): standard deviation of the square root of demand around the square root of its forecast."""
        return np.asarray(np.sqrt(self.constant + self.slope * np.maximum(forecast, 0.0)))


@dataclass(frozen=True, slots=True)
class PastErrors:
    """What one window saw: actual (NaN: not to learn from) and forecast [hours], quiet and date [days]."""

    actual: FloatArray
    forecast: FloatArray
    quiet: BoolArray
    date: IntArray


def day_numbers(index: pd.DatetimeIndex) -> IntArray:
    """The calendar day of each 24-hour block of an hourly index, as days since 1970; shape [ceil(hours / 24)]."""
    return np.asarray(index[::DAY].tz_convert("UTC").tz_localize(None).to_numpy("datetime64[D]").astype(np.int64))


def level_error(actual: FloatArray, forecast: FloatArray) -> float:
    """log of actual over forecast total, bounded to a factor of 20 so that an empty window stays finite."""
    total, expected = float(np.nansum(actual)), float(forecast[~np.isnan(actual)].sum())
    if expected <= 0.0:
        return 0.0 if total <= 0.0 else 3.0
    return float(np.clip(np.log(max(total, 1e-9) / expected), -3.0, 3.0))


def _relevelled(one: PastErrors) -> FloatArray:
    """The forecast with each week moved to the week's actual level."""
    base = one.forecast.astype(np.float64).copy()
    for start in range(0, len(base), HOURS_PER_WEEK):
        week = slice(start, start + HOURS_PER_WEEK)
        if len(base) - start >= HOURS_PER_WEEK or start == 0:
            base[week] *= np.exp(level_error(one.actual[week], base[week]))
        else:
            base[week] *= np.exp(
                level_error(one.actual[start - HOURS_PER_WEEK :], one.forecast[start - HOURS_PER_WEEK :])
            )
    return base


def spread_law(base: FloatArray, squared: FloatArray) -> tuple[float, float]:
    """a and b of s^2 = a + b f by least squares over ten bins of f, neither negative."""
    mean = float(squared.mean()) if len(squared) else 0.0
    scale = float(base.mean()) if len(base) else 0.0
    # Where next to nothing was expected, errors have one scale and no slope.
    if mean <= 0.0 or scale <= 1e-9 * mean:
        return max(mean, 0.0), 0.0
    order = np.argsort(base, kind="stable")
    bins = [part for part in np.array_split(order, 10) if len(part)]
    f = np.array([base[part].mean() for part in bins]) / scale
    e = np.array([squared[part].mean() for part in bins]) / mean
    weight = 1.0 / (0.1 + e)  # relative errors count: the quiet hours' scale matters as much as the busy hours'
    design = np.stack([np.ones(len(f)), f], axis=1) * weight[:, None]
    a, b = np.linalg.lstsq(design, e * weight, rcond=None)[0]
    if a < 0.0:
        a, b = 0.0, float((weight**2 * e * f).sum() / (weight**2 * f * f).sum())
    if b < 0.0:
        a, b = float((weight**2 * e).sum() / (weight**2).sum()), 0.0
    return float(a * mean), float(b * mean / scale)


def bank_from_windows(windows: list[PastErrors], elsewhere: PastErrors | None = None) -> ErrorBank:
    """A bank from past windows; a day seen by several takes the mean of its errors. Of a day that lacks some hours
    (NaN), they are taken from days like it (forecast/gaps.py); a day that lacks most is left out. `elsewhere` gives the
    days that no window has seen.

    Hour j of a day in the bank is hour j of the windows' 24-hour blocks; paths are drawn on the same grid.
    """
    empty = np.zeros((0, DAY))
    every_base, every_error = [empty], [empty]
    if elsewhere is not None:
        seen = np.concatenate([np.zeros(0, np.int64), *(one.date for one in windows)])
        unseen = elsewhere.actual.copy()
        unseen[np.repeat(np.isin(elsewhere.date, seen), DAY)[: len(unseen)]] = np.nan
        windows = [*windows, replace(elsewhere, actual=unseen)]
    for one in windows:
        whole = len(one.actual) // DAY * DAY
        moved = _relevelled(one)[:whole].reshape(-1, DAY)
        every_base.append(moved)
        every_error.append(np.sqrt(np.maximum(one.actual[:whole], 0.0)).reshape(-1, DAY) - np.sqrt(moved))
    days = [(one.date[: len(one.actual) // DAY], one.quiet[: len(one.actual) // DAY]) for one in windows]
    base_rows, error_rows = np.concatenate(every_base), np.concatenate(every_error)
    keep = observed_days(error_rows)
    row_date = np.concatenate([np.zeros(0, np.int64), *(date for date, _ in days)])[keep]
    row_quiet = np.concatenate([np.zeros(0, np.bool_), *(kind for _, kind in days)])[keep]
    dates, first, which = np.unique(row_date, return_index=True, return_inverse=True)
    count = np.bincount(which, minlength=len(dates))[:, None]
    quiet = row_quiet[first]
    errors, base = np.zeros((len(dates), DAY)), np.zeros((len(dates), DAY))
    np.add.at(errors, which, error_rows[keep])
    np.add.at(base, which, base_rows[keep])
    errors, base = errors / count, base / count
    seen = ~np.isnan(errors)
    constant, slope = spread_law(base[seen], np.square(errors[seen]))
    spread = np.sqrt(constant + slope * base)
    standard = np.divide(errors, spread, out=np.zeros_like(errors), where=spread > 0.0)
    hour_scale = np.ones((2, DAY))
    for kind in (0, 1):
        mine = standard[quiet == bool(kind)]
        # Capped: one event must not scale its hour of the day for good, nor shrink itself when drawn for another hour.
        count = (~np.isnan(mine)).sum(axis=0)
        square = (np.nansum(np.minimum(np.square(mine), 6.25), axis=0) + SHRINK_HOURS) / (count + SHRINK_HOURS)
        hour_scale[kind] = np.sqrt(np.clip(square, 0.1, 10.0))
    standard = completed_days(standard / hour_scale[quiet.astype(np.int64)])
    return ErrorBank(standard, dates, quiet, constant, slope, hour_scale)
