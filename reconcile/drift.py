"""Is a forecast off by more than chance, and since when?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data.records import FloatArray

TRACKING_LIMIT = 4.0
"""Brown (1963): a tracking signal beyond this many mean absolute deviations is acted upon."""
SUP_F_5_PERCENT = 8.85
"""Andrews (1993), table 1: 5 % critical value of sup F, one parameter, trimming 15 %."""
LEAST_SHIFT = 0.02
"""A break smaller than this changes nothing that is planned, however sure it is."""
LEAST_DAYS = 7
"""A level is measured on a week at least: days of the week differ."""
LEVEL_TOLERANCE = 0.02
"""A level is known no better than this (the floor of the forecast's own level uncertainty): less is not proposed."""
LEAST_SHARE = 1e-3
"""Less than this share of what was said is nothing: a series that has ended, of which no level can be told."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What the daily errors of a track of forecasts say.

    ratio: actual over forecast since `since` (a position among the days: 0, or where the level shifted a week ago or
    earlier); tracking_signal: cumulative error over mean absolute deviation, positive where actuals exceed; chance:
    probability of a tracking signal at least as large without any bias, daily errors being independent;
    shift_statistic: sup F of one shift in level. severity: none, watch (tracking signal beyond its limit), alarm (that
    and chance under 5 %, or a level shift at 5 %).
    """

    days: int
    ratio: float
    since: int
    tracking_signal: float
    chance: float
    shift_statistic: float
    severity: str

    @property
    def measured(self) -> bool:
        """Whether there are days enough to measure a level."""
        return self.days - self.since >= LEAST_DAYS

    @property
    def silent(self) -> bool:
        """Whether next to nothing came of what was said."""
        return self.ratio < LEAST_SHARE

    @property
    def level_off(self) -> bool:
        """Whether the level is another one, by more than it can be known, and long enough to be measured."""
        return self.measured and not self.silent and abs(math.log(self.ratio)) > math.log1p(LEVEL_TOLERANCE)


def tracking_signal(actual: FloatArray, forecast: FloatArray) -> tuple[float, float]:
    """Cumulative error over mean absolute deviation, and the chance of one as large without bias.

    For n independent normal errors of mean zero the cumulative error has standard deviation sqrt(n) sigma and the mean
    absolute deviation is sigma sqrt(2 / pi), so that the signal is about normal with standard deviation
    sqrt(n pi / 2): the limit of 4 alone gives a false alarm about every third time at 14 days.
    """
    error = actual - forecast
    if not len(error):
        return 0.0, 1.0
    deviation = float(np.abs(error).mean())
    if deviation == 0.0:
        return 0.0, 1.0
    signal = float(error.sum()) / deviation
    return signal, math.erfc(abs(signal) / math.sqrt(len(error) * math.pi / 2.0) / math.sqrt(2.0))


def level_shift(log_ratio: FloatArray) -> tuple[int, float]:
    """The position at which a series most likely changed its mean, and the F statistic of that change.

    Candidates leave 15 % and at least three values on each side. (0, 0) for series too short.
    """
    n = len(log_ratio)
    trim = max(3, math.ceil(0.15 * n))
    if n < 2 * trim:
        return 0, 0.0
    splits = np.arange(trim, n - trim + 1)
    total = np.concatenate([[0.0], np.cumsum(log_ratio)])
    left, right = total[splits] / splits, (total[n] - total[splits]) / (n - splits)
    between = splits * (n - splits) / n * (left - right) ** 2
    best = int(np.argmax(between))
    all_squares = float(((log_ratio - log_ratio.mean()) ** 2).sum())
    within = all_squares - float(between[best])
    if within <= 1e-12 * max(all_squares, 1e-300):
        return (int(splits[best]), math.inf) if all_squares > 1e-18 else (0, 0.0)
    return int(splits[best]), float(between[best]) / (within / (n - 2))


def drift(actual: FloatArray, forecast: FloatArray) -> Drift:
    """The drift of a track of whole days, both [days]: what happened, and what was last said before it.

    A level shift found at 5 % is where the ratio starts once a week has passed since; otherwise the whole track counts:
    a break that noise made must not hide a bias of the whole, and one of yesterday cannot be measured yet.
    """
    n = len(actual)
    if n == 0 or forecast.sum() <= 0:
        return Drift(n, 1.0, 0, 0.0, 1.0, 0.0, "none")
    floor = LEAST_SHARE * max(float(actual.mean()), float(forecast.mean()), 1e-9)
    log_ratio = np.log(np.maximum(actual, floor) / np.maximum(forecast, floor))
    where, statistic = level_shift(log_ratio)
    size = abs(float(log_ratio[where:].mean() - log_ratio[:where].mean())) if where else 0.0
    shifted = statistic >= SUP_F_5_PERCENT and size > math.log1p(LEAST_SHIFT)
    since = where if shifted and n - where >= LEAST_DAYS else 0
    signal, chance = tracking_signal(actual, forecast)
    severity = "none"
    if abs(signal) > TRACKING_LIMIT:
        severity = "alarm" if chance < 0.05 else "watch"
    if shifted:
        severity = "alarm"
    expected = float(forecast[since:].sum())
    ratio = float(actual[since:].sum()) / expected if expected > 0 else 1.0
    return Drift(n, ratio, since, signal, chance, statistic, severity)
