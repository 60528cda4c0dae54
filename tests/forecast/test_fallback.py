"""The share of the last week in a forecast, on windows whose best share is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.fallback import SHARES, last_week_share, mixed, with_last_week
from forecast.single import Task, prepare
from forecast.windows import Window

HOURS = 336


def window(forecast: np.ndarray, last: np.ndarray, actual: np.ndarray) -> Window:
    nothing = np.zeros(0)
    quiet, date = np.zeros(14, np.bool_), np.arange(14)
    return Window(nothing, nothing > 0.0, nothing, actual, actual, forecast, last, forecast, last, quiet, date)


def test_the_share_that_made_the_past_is_found() -> None:
    rng = np.random.default_rng(0)
    for share in SHARES:
        windows = []
        for _ in range(5):
            forecast, last = rng.gamma(5.0, 20.0, HOURS), rng.gamma(5.0, 20.0, HOURS)
            windows.append(window(forecast, last, mixed(forecast, last, share)))
        assert last_week_share(windows) == share
        assert all(w.forecast == pytest.approx(w.actual) for w in with_last_week(windows, share))


def test_a_skilful_forecast_and_few_windows_take_none() -> None:
    """Independent noise of one size on what comes and on the last week: the mean is the better forecast."""
    rng = np.random.default_rng(1)
    flat = np.full(HOURS, 100.0)
    noisy = [window(flat, rng.normal(100.0, 10.0, HOURS), rng.normal(100.0, 10.0, HOURS)) for _ in range(5)]
    assert last_week_share(noisy) == 0.0
    astray = window(flat * 2.0, flat, flat)
    assert last_week_share([astray]) == 0.0
    assert last_week_share([astray, astray]) == SHARES[-1]


def test_unobserved_hours_do_not_count() -> None:
    flat = np.full(HOURS, 100.0)
    actual = np.where(np.arange(HOURS) % 2, np.nan, 100.0)
    assert last_week_share([window(flat, flat * 3.0, actual)] * 3) == 0.0


def test_a_slow_course_takes_of_the_last_week_and_says_so() -> None:
    """A level that swings over eight weeks: what is bounded lags behind, the last week does not."""
    index = pd.date_range("2026-01-05", periods=12 * 168, freq="h", tz="UTC")
    t = np.arange(len(index))
    season = 100.0 * (1.0 + 0.3 * np.cos(2.0 * np.pi * (t % 24) / 24))
    swing = np.where((t // (3 * 168)) % 2 == 0, 1.0, 1.28)
    future = pd.date_range(index[-1] + pd.Timedelta(hours=1), periods=168, freq="h")
    found = prepare(pd.Series(season * swing, index=index), Task(future, 5, 7))
    assert "of the last week" in found.method
    steady = prepare(pd.Series(season, index=index), Task(future, 5, 7))
    assert "of the last week" not in steady.method
