"""BurstGPT, rolling over origins: what is promised of a series that can be forecast, and of one that cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.accuracy import wape
from forecast.clean import filled
from forecast.grade import grade
from forecast.members import seasonal_naive
from forecast.paths import compound, simulate
from forecast.portfolio import calibrated
from forecast.single import Prepared, Task, prepared_or_fallback
from forecast.windows import quiet_days

pytestmark = pytest.mark.truth

HORIZON = 14 * 24


def series(reference: Path, column: str) -> pd.Series:
    frame = pd.read_csv(reference / "traces" / "burstgpt_hourly.csv")
    ts = pd.Timestamp("2026-09-30", tz="UTC") + pd.to_timedelta(frame["day"] * 24 + frame["hour"], unit="h")
    return pd.Series(frame[column].to_numpy(dtype=float), index=ts).asfreq("h")


def forecasts(values: pd.Series, days: range) -> list[tuple[Prepared, np.ndarray, np.ndarray, pd.Series]]:
    """Prepared, paths, actual and training series of every origin."""
    found = []
    for day in days:
        train, actual = values.iloc[: day * 24], values.iloc[day * 24 : day * 24 + HORIZON]
        future = pd.DatetimeIndex(actual.index)
        (ready,) = calibrated([prepared_or_fallback(train, Task(future, 5, 28), day)])
        growth = compound(HORIZON, 0.0, 0.0)
        paths = next(simulate([ready.model], quiet_days(future), [growth], 500, np.random.default_rng(day)))
        found.append((ready, paths, actual.to_numpy(), train))
    return found


def test_api_is_graded_unforecastable_and_its_planned_hour_still_covers(reference: Path) -> None:
    by_hour, of_all = [], []
    made = forecasts(series(reference, "api"), range(14, 34))
    for _, paths, actual, _ in made:
        by_hour.append(float((actual <= np.quantile(paths, 0.95, axis=0)).mean()))
        of_all.append(float((actual <= np.quantile(paths, 0.95)).mean()))
    assert np.mean(by_hour) >= 0.90
    assert min(of_all) >= 0.90, "one planned p95 hour covers 90 % of the hours from every origin"
    letter, reason = grade(made[-1][0].past.accuracy, made[-1][0].seen, drawn=made[-1][0].empirical)
    assert letter == "D"
    assert "not forecastable" in reason


@pytest.mark.parametrize("column", ["conversation", "api", "all"])
def test_error_over_seasonal_naive(reference: Path, column: str) -> None:
    ratios = []
    for ready, _, actual, train in forecasts(series(reference, column), range(14, 34, 3)):
        naive = seasonal_naive(filled(train)[0], pd.date_range(train.index[-1], periods=HORIZON, freq="h"))
        ratios.append(wape(actual, ready.point) / wape(actual, naive))
    assert np.mean(ratios) <= 0.80
    assert max(ratios) <= 1.10
