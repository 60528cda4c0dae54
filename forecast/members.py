"""The forecasting methods. Each maps (history, future hours) to a non-negative point forecast.

All keep a bounded level: over weeks a one-step-fitted trend or a free level runs away (measured on hourly taxi, bike
and LLM series; see docs/forecast.md), and log-space autoregressions explode.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import pandas as pd
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from data.records import FloatArray
from data.units import HOURS_PER_WEEK
from forecast.clean import group_means, hour_of_week, last_weeks
from forecast.level import believe, expected_course, weekly_levels

Member = Callable[[pd.Series, pd.DatetimeIndex], FloatArray]

LAGS = (1, 2, 24, 168)
RIDGE = 1e-9
LEVEL_SMOOTHING, SEASON_SMOOTHING = 0.005, 0.10
GUARD = 1.5
"""A member may leave the range of the last eight weeks by half of its width, no further."""


def _guarded(forecast: FloatArray, history: pd.Series) -> FloatArray:
    recent = last_weeks(history, 8).to_numpy()
    top = float(recent.max()) * GUARD
    return np.clip(np.nan_to_num(forecast, nan=float(recent.mean()), posinf=top, neginf=0.0), 0.0, top)


def seasonal_naive(history: pd.Series, future: pd.DatetimeIndex) -> FloatArray:
    """The value one week before, repeated; a day before where there is less than a week. Yardstick, not a member."""
    period = HOURS_PER_WEEK if len(history) >= HOURS_PER_WEEK else 24
    last = history.to_numpy()[-period:]
    return np.asarray(last[np.arange(len(future)) % period], dtype=np.float64)


def four_week_mean(history: pd.Series, future: pd.DatetimeIndex) -> FloatArray:
    """Mean of each hour of the week over the last four weeks: the yardstick that is hard to beat."""
    recent = last_weeks(history, 4)
    values, hours = recent.to_numpy(), hour_of_week(pd.DatetimeIndex(recent.index))
    by_hour = group_means(values, hours, HOURS_PER_WEEK)
    by_hour = np.where(np.isnan(by_hour), np.tile(group_means(values, hours % 24, 24), 7), by_hour)
    by_hour = np.nan_to_num(by_hour, nan=float(values.mean()))
    return np.asarray(by_hour[hour_of_week(future)])


def bounded_ets(history: pd.Series, future: pd.DatetimeIndex) -> FloatArray:
    """ETS(A,N,A) with a weekly season on square roots and fixed small smoothing (statsmodels ETSModel).

    A likelihood fit on one-step errors pushes the level smoothing far above 0.005, which overreacts weeks ahead.
    """
    recent = np.sqrt(last_weeks(history, 12).to_numpy())
    model = ETSModel(
        recent, error="add", seasonal="add", seasonal_periods=HOURS_PER_WEEK, initialization_method="heuristic"
    )
    params = np.concatenate([[LEVEL_SMOOTHING, SEASON_SMOOTHING, model.initial_level], model.initial_seasonal])
    # The raw states: wrapping them in a results object computes a Hessian over 170 parameters that nobody reads.
    _, states = model.smooth(params, return_raw=True)
    states = np.asarray(states)
    season = states[-HOURS_PER_WEEK:, 1]
    forecast = states[-1, 0] + season[np.arange(len(future)) % HOURS_PER_WEEK]
    return _guarded(np.square(np.maximum(forecast, 0.0)), history)


def autoregression(history: pd.Series, future: pd.DatetimeIndex) -> FloatArray:
    """Autoregression on lags of an hour, two, a day and a week around daily and weekly harmonics, on square roots.

    The model of statsmodels' AutoReg with the harmonics as exog, whose fit it equals (tests); solved here by normal
    equations because its pseudo-inverse and step-wise forecast cost ten times as much, and threads of BLAS on top.
    """
    recent = np.sqrt(last_weeks(history, 8).to_numpy())
    count, longest = len(recent), LAGS[-1]
    terms = _harmonics(count + len(future))
    scale = float(recent.mean())
    if scale <= 0.0:
        return np.zeros(len(future))
    known = recent / scale
    lagged = [known[longest - lag : count - lag] for lag in LAGS]
    design = np.column_stack([np.ones(count - longest), *lagged, terms[longest:count]])
    normal = np.einsum("ij,ik->jk", design, design)
    # A trace of a ridge: lags of a history that never changes are the constant again.
    normal[np.diag_indices_from(normal)] += RIDGE * len(design)
    params = np.linalg.solve(normal, np.einsum("ij,i->j", design, known[longest:]))
    drive = (params[0] + terms[count:] @ params[1 + len(LAGS) :]).tolist()
    one, two, day, week = params[1 : 1 + len(LAGS)].tolist()
    path = known[-longest:].tolist()
    for step, push in enumerate(drive, start=longest):
        path.append(
            push + one * path[step - 1] + two * path[step - 2] + day * path[step - 24] + week * path[step - 168]
        )
    forecast = scale * np.clip(np.nan_to_num(np.array(path[longest:])), 0.0, 1e6)
    return _guarded(np.square(forecast), history)


@lru_cache(maxsize=32)
def _harmonics(hours: int) -> FloatArray:
    """Daily and weekly sines and cosines, each frequency once, [hours, terms]; hour 0 is the first of the history
    used."""
    t = np.arange(hours)
    cycles = sorted({7 * k for k in range(1, 7)} | set(range(1, 11)))
    angle = 2.0 * np.pi * np.outer(t, cycles) / HOURS_PER_WEEK
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def day_profile(history: pd.Series, future: pd.DatetimeIndex) -> FloatArray:
    """Hours of working days and of weekends over the last four weeks, each weekday scaled to its own volume, on square
    roots: a third of the hour-of-week mean's parameters, and so less of its noise.

    A kind of day that history lacks takes the hours of all days; a weekday's factor is shrunk as if one more of it had
    been ordinary.
    """
    recent = last_weeks(history, 4)
    root = np.sqrt(recent.to_numpy())
    hours, coming = hour_of_week(pd.DatetimeIndex(recent.index)), hour_of_week(future)
    kind, ahead = ((when >= 5 * 24) * 24 + when % 24 for when in (hours, coming))
    every = np.nan_to_num(group_means(root, kind % 24, 24), nan=float(root.mean()))
    profile = group_means(root, kind, 48)
    profile = np.where(np.isnan(profile), np.tile(every, 2), profile)
    day, fitted = hours // 24, profile[kind]
    own = np.bincount(day, weights=root * fitted, minlength=7)
    total = np.bincount(day, weights=fitted * fitted, minlength=7)
    ratio = np.divide(own, total, out=np.ones(7), where=total > 0.0)
    days = np.bincount(day, minlength=7) / 24.0
    factor = 1.0 + (ratio - 1.0) * days / (days + 1.0)
    return np.asarray(np.square(profile[ahead] * factor[coming // 24]))


def level_and_shape(history: pd.Series, future: pd.DatetimeIndex, levels: FloatArray | None = None) -> FloatArray:
    """The current weekly level by a local-level model (forecast/level.py) times the mean shape of the week, on square
    roots, recent weeks weighted more (half in eight weeks). levels: of the weeks, where not all are known."""
    weeks = min(len(history) // HOURS_PER_WEEK, 12)
    recent = history.to_numpy()[-weeks * HOURS_PER_WEEK :].reshape(weeks, HOURS_PER_WEEK)
    mean = np.maximum(recent.mean(axis=1, keepdims=True), 1e-300)
    weight = 0.5 ** (np.arange(weeks)[::-1] / 8.0)
    shape = np.square((weight[:, None] * np.sqrt(recent / mean)).sum(axis=0) / weight.sum())
    total = float(shape.sum())
    if total <= 0.0:
        return np.zeros(len(future))
    level = np.exp(believe(weekly_levels(recent.ravel()) if levels is None else levels).level)
    return _guarded(level * (shape / total)[np.arange(len(future)) % HOURS_PER_WEEK], history)


def shrunk_week(history: pd.Series, future: pd.DatetimeIndex) -> FloatArray:
    """The day profile plus what each hour of the week adds to it, shrunk by how much of that is noise.

    Empirical Bayes over eight weeks: the 168 mean deviations from the profile vary by signal plus noise / weeks; the
    noise shows from week to week, and the signal's share is what is kept. A service whose Friday nights differ keeps
    them; one without such habits gets the profile. The day profile itself under two weeks.
    """
    weeks = min(len(history) // HOURS_PER_WEEK, 8)
    ahead = np.sqrt(day_profile(history, future))
    if weeks < 2:
        return np.square(ahead)
    recent = last_weeks(history, weeks)
    root = np.sqrt(recent.to_numpy()).reshape(weeks, HOURS_PER_WEEK)
    profile = np.sqrt(day_profile(history, pd.DatetimeIndex(recent.index))).reshape(weeks, HOURS_PER_WEEK)
    level = root.mean(axis=1) / np.maximum(profile.mean(axis=1), 1e-300)
    gap = root - profile * level[:, None]
    mean = gap.mean(axis=0)
    noise = float(np.square(gap - mean).sum(axis=0).mean()) / (weeks - 1) / weeks
    signal = max(float(np.square(mean).mean()) - noise, 0.0)
    share = signal / (signal + noise) if signal > 0.0 else 0.0
    return np.asarray(np.square(np.maximum(ahead + share * mean[np.arange(len(future)) % HOURS_PER_WEEK], 0.0)))


MEMBERS: dict[str, Member] = {
    "shrunk week": shrunk_week,
    "bounded ETS": bounded_ets,
    "autoregression": autoregression,
    "level and shape": level_and_shape,
}


def combined(
    history: pd.Series, future: pd.DatetimeIndex, levels: FloatArray | None = None
) -> tuple[FloatArray, str, tuple[str, ...]]:
    """Median of the members along the course that history is on, its name, and what had to be left out and why.

    Under four weeks of history the seasonal models have nothing to estimate from: the shrunk week (from two weeks on)
    or the day profile stands alone. levels: `weekly_levels` of the history where not all of its hours were observed.
    """
    if len(history) < 2 * HOURS_PER_WEEK:
        return day_profile(history, future), "day profile", ("under two weeks of history: no weekly season",)
    if len(history) < 4 * HOURS_PER_WEEK:
        return shrunk_week(history, future), "shrunk week", ("under four weeks of history: one method only",)
    levels = weekly_levels(history.to_numpy()) if levels is None else levels
    members = MEMBERS | {"level and shape": partial(level_and_shape, levels=levels)}
    forecasts, degraded = [], []
    for name, member in members.items():
        try:
            forecasts.append(member(history, future))
        except (ValueError, np.linalg.LinAlgError, IndexError) as error:
            degraded.append(f"{name} left out: {error}")
    course = expected_course(levels, len(future))
    return np.median(forecasts, axis=0) * course, f"median of {len(forecasts)}", tuple(degraded)
