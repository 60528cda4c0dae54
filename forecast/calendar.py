"""Public holidays: not learnt from as ordinary days, and forecast as the Sunday of their week."""

from __future__ import annotations

from functools import lru_cache

import holidays
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from configs.errors import InputError
from data.records import BoolArray, FloatArray
from forecast.clean import hour_of_week


def holiday_hours(index: pd.DatetimeIndex, country: str) -> BoolArray:
    """Which hours, in rising order, fall on a public holiday of an ISO 3166 country or part of one (UTC days).

    InputError where it is not known.
    """
    days = index.tz_localize(None).to_numpy("datetime64[D]")
    if not len(days):
        return np.zeros(0, dtype=np.bool_)
    years = range(int(index[0].year), int(index[-1].year) + 1)
    return np.isin(days, np.concatenate([_holidays(country, year) for year in years]))


@lru_cache(maxsize=256)
def _holidays(country: str, year: int) -> NDArray[np.datetime64]:
    try:
        name, _, part = country.partition("-")
        days = holidays.country_holidays(name, subdiv=part or None, years=[year])
    except NotImplementedError:
        raise InputError(
            "forecast.holidays_country", "an ISO 3166 code such as US, DE or AU-VIC", repr(country), "Correct it."
        ) from None
    return np.array(sorted(days), dtype="datetime64[D]")


def without_holidays(values: pd.Series, country: str | None) -> pd.Series:
    """History with holidays unobserved: a model fills them as the ordinary days they were not."""
    if country is None:
        return values
    return values.mask(holiday_hours(pd.DatetimeIndex(values.index), country))


def as_sundays(point: FloatArray, future: pd.DatetimeIndex, country: str | None) -> FloatArray:
    """A forecast in which every holiday takes the hours of the next Sunday of the horizon, or else of the last one."""
    if country is None:
        return point
    hours = hour_of_week(future)
    sunday, clock = hours >= 6 * 24, hours % 24
    moved = point.copy()
    for hour in np.flatnonzero(holiday_hours(future, country) & ~sunday):
        same = np.flatnonzero(sunday & (clock == clock[hour]))
        if len(same):
            later = same[same > hour]
            moved[hour] = point[later[0] if len(later) else same[-1]]
    return moved
