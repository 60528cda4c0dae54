"""Series that cannot be forecast hour by hour: their future is drawn from their past.

Any model of such a series is confidently wrong: near zero most of the time, a thousand times that on some days. Whole
days of history are drawn instead, about one flat level that moves as weekly levels have moved, so that a planned
quantile is a quantile of what has happened, widened for what has not.
"""

from __future__ import annotations

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from forecast.gaps import DAY, completed_days, observed_days
from forecast.residuals import ErrorBank

MOST_DAYS = 84
FREE_REACH = 4
"""Without a profile of the day a drawn day may come up to 12 hours early or late: its bursts keep no hours."""
WEEKEND_T = 2.0
PROFILE_F = 2.0
"""Hours of the day count as different where their means vary by twice what chance makes them vary."""


def flat_level(history: FloatArray) -> float:
    """Mean of the last twelve weeks."""
    recent = history[-MOST_DAYS * DAY :]
    return float(recent.mean()) if len(recent) else 0.0


def has_profile(values: FloatArray) -> bool:
    """Whether the mean of the hours of some days [days, 24] differ by more than days differ."""
    if len(values) < 2:
        return False
    root = np.sqrt(values)
    chance = float(root.var(axis=0, ddof=1).mean()) / len(values)
    return float(root.mean(axis=0).var(ddof=1)) > PROFILE_F * chance


def has_weekend(values: FloatArray, quiet: BoolArray) -> bool:
    """Whether quiet days [days] carry more or less than others by twice what chance makes of it; values [days, 24]."""
    if quiet.sum() < 4 or (~quiet).sum() < 4:
        return False
    root = np.sqrt(values.sum(axis=1))
    low, high = root[quiet], root[~quiet]
    chance = low.var(ddof=1) / len(low) + high.var(ddof=1) / len(high)
    return float(np.square(low.mean() - high.mean())) > WEEKEND_T**2 * float(chance)


def empirical_bank(history: FloatArray, last_date: int, seen: BoolArray | None = None) -> ErrorBank:
    """The days of history as a bank about their flat level; history ends with day `last_date` (days since 1970). seen:
    [hours], which were observed and not filled: of a day that lacks some, they are taken from days like it.

    With no constant part, scaling the level scales the drawn hours alike: a path is history times its level.
    """
    days = min(len(history) // DAY, MOST_DAYS)
    level = flat_level(history)
    date: IntArray = np.arange(last_date - days + 1, last_date + 1, dtype=np.int64)
    values = history[len(history) - days * DAY :].reshape(days, DAY) if days else np.zeros((0, DAY))
    if seen is not None and days:
        values = np.where(seen[len(seen) - days * DAY :].reshape(days, DAY), values, np.nan)
        keep = observed_days(values)
        values, date = completed_days(values[keep]), date[keep]
    slope = float(np.square(np.sqrt(values) - np.sqrt(level)).mean() / level) if level > 0.0 and len(date) else 0.0
    scale = np.sqrt(slope * level)
    standard = (np.sqrt(values) - np.sqrt(level)) / scale if scale > 0.0 else np.zeros_like(values)
    reach = 1 if has_profile(values) else FREE_REACH
    # The day of the week of 1970-01-01 was a Thursday (3).
    kind = np.asarray((date + 3) % 7 >= 5)
    if not has_weekend(values, kind):
        kind = np.zeros(len(date), dtype=np.bool_)
    return ErrorBank(standard, date, kind, 0.0, slope, np.ones((2, DAY)), reach)
