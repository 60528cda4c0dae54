"""A service that stopped: many days without a request where days had them are an end, or a pause, and no low level.

Nothing in a history says whether it comes back. It is taken as gone on most paths and as back, as large as it was, on a
stated share of them that shrinks the longer nothing comes; hours that nobody saw are no silence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.units import HOURS_PER_WEEK
from forecast.clean import longest

LEAST_SILENT_HOURS = HOURS_PER_WEEK
LEAST_BUSY_DAYS, BUSY_DAYS, RECENT_DAYS = 7, 0.6, 56
"""A stop is a stop of something: at least a week of days with requests, and most of the last eight weeks' before."""
LONGER = 2
"""Its silence is at least twice as long as any before: closed weekends and holidays come again."""
COMES_BACK = 0.2
"""Share of chance that a service which was silent for a week is back by what is forecast, falling as one over the
silence (assumption, 2026-11; no public trace shows ends of services)."""


def silent_hours(observed: pd.Series) -> int:
    """For how many hours up to its end a series that was busy had none, 0 where it did not stop."""
    values = observed.to_numpy(dtype=np.float64)
    busy = np.nan_to_num(values) > 0.0
    if not busy.any():
        return 0
    stop = len(busy) - int(busy[::-1].argmax())
    seen = int((~np.isnan(values[stop:])).sum())
    if seen < LEAST_SILENT_HOURS:
        return 0
    before = values[int(busy.argmax()) : stop]
    zeros = ~(before[~np.isnan(before)] > 0.0)
    whole = len(before) // 24 * 24
    days = before[len(before) - whole :].reshape(-1, 24)[-RECENT_DAYS:]
    known = days[~np.isnan(days).all(axis=1)]
    used = (np.nan_to_num(known) > 0.0).any(axis=1)
    if used.sum() < LEAST_BUSY_DAYS or used.mean() < BUSY_DAYS or seen < LONGER * longest(zeros):
        return 0
    return len(values) - stop


def as_it_ran(observed: pd.Series, silent: int) -> pd.Series:
    """The series with its silence unobserved: what it would do were it back."""
    return observed.mask(np.arange(len(observed)) >= len(observed) - silent)


def chance_of_return(silent: int) -> float:
    """Share of chance that it comes back."""
    return min(COMES_BACK * LEAST_SILENT_HOURS / silent, COMES_BACK)
