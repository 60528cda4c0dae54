"""The forecasting methods. Each maps (history, future hours) to a non-negative point forecast.

All keep a bounded level: over weeks a one-step-fitted trend or a free level runs away (measured on hourly taxi, bike
and LLM series; see docs/forecast.md), and log-space autoregressions explode.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from statsmodels.tools.sm_exceptions import SingularMatrixWarning
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.deterministic import DeterministicProcess, Fourier
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from data.records import FloatArray
from data.units import HOURS_PER_WEEK
from forecast.clean import hour_of_week, last_weeks

Member = Callable[[pd.Series, pd.DatetimeIndex], FloatArray]

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
    means = recent.groupby(hour_of_week(pd.DatetimeIndex(recent.index))).mean()
    by_hour = means.reindex(range(HOURS_PER_WEEK)).to_numpy()
    profile = recent.groupby(pd.DatetimeIndex(recent.index).hour).mean().reindex(range(24)).to_numpy()
    by_hour = np.where(np.isnan(by_hour), np.tile(profile, 7), by_hour)
    by_hour = np.nan_to_num(by_hour, nan=float(recent.mean()))
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
    """AutoReg on lags of an hour, a day and a week around daily and weekly Fourier terms, on square roots."""
    recent = np.sqrt(last_weeks(history, 8))
    index = pd.DatetimeIndex(recent.index)
    terms = [Fourier(period=24, order=6), Fourier(period=HOURS_PER_WEEK, order=10)]
    process = DeterministicProcess(index, constant=True, additional_terms=terms, drop=True)
    with warnings.catch_warnings():
        # By design: the week's seventh harmonic is the day's first; the pseudo-inverse shares their weight.
        warnings.filterwarnings("ignore", category=SingularMatrixWarning)
        fit = AutoReg(recent.asfreq("h"), lags=[1, 2, 24, 168], trend="n", deterministic=process).fit()
        forecast = fit.forecast(len(future))
    return _guarded(np.square(np.maximum(np.asarray(forecast), 0.0)), history)


def weekday_mean(history: pd.Series, future: pd.DatetimeIndex) -> FloatArray:
    """Mean of each hour of the day over the last seven days: all that less than three weeks can support."""
    recent = last_weeks(history, 1)
    profile = recent.groupby(pd.DatetimeIndex(recent.index).hour).mean().reindex(range(24))
    return np.asarray(profile.fillna(float(recent.mean())).to_numpy()[future.hour], dtype=np.float64)


MEMBERS: dict[str, Member] = {
    "four-week mean": four_week_mean,
    "bounded ETS": bounded_ets,
    "autoregression": autoregression,
}


def combined(history: pd.Series, future: pd.DatetimeIndex) -> tuple[FloatArray, str, tuple[str, ...]]:
    """Median of the members, its name, and what had to be left out and why.

    Under four weeks of history the seasonal models have nothing to estimate from: the four-week mean (from two weeks
    on) or the seven-day mean stands alone.
    """
    if len(history) < 2 * HOURS_PER_WEEK:
        return weekday_mean(history, future), "seven-day mean", ("under two weeks of history: no weekly season",)
    if len(history) < 4 * HOURS_PER_WEEK:
        return four_week_mean(history, future), "hour-of-week mean", ("under four weeks of history: one method only",)
    forecasts, degraded = [], []
    for name, member in MEMBERS.items():
        try:
            forecasts.append(member(history, future))
        except (ValueError, np.linalg.LinAlgError, IndexError) as error:
            degraded.append(f"{name} left out: {error}")
    return np.median(forecasts, axis=0), f"median of {len(forecasts)}", tuple(degraded)
