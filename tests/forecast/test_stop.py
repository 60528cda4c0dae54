"""A service that stopped is no low level: gone on most paths, back on a stated share; pauses that recur are none."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from configs.forecasting import DeclaredLevel, Event, ForecastPolicy
from forecast.portfolio import forecast
from forecast.stop import COMES_BACK, as_it_ran, chance_of_return, silent_hours
from tests.forecast.test_portfolio import history, seasonal

WEEKS = 10
POLICY = ForecastPolicy(horizon_months=2, backtest_windows=3, paths=500)


def ended(days: int, fill: float = 0.0) -> np.ndarray:
    values = seasonal(WEEKS)
    values[len(values) - days * 24 :] = fill
    return values


def series(values: np.ndarray) -> pd.Series:
    return pd.Series(values, index=pd.date_range("2026-08-03", periods=len(values), freq="h", tz="UTC"))


@pytest.mark.parametrize("days", [7, 14, 35])
def test_a_stop_is_gone_and_may_come_back_as_it_was(days: int) -> None:
    whole = forecast(history(a=seasonal(WEEKS)), POLICY, 1).series[0]
    one = forecast(history(a=ended(days)), POLICY, 1).series[0]
    back = COMES_BACK * 7 / days
    for i, level in enumerate(one.levels):
        if level < 1.0 - back - 0.01:
            assert (one.monthly_total[:, i] == 0.0).all()
            assert (one.monthly_peak_hour[:, i] == 0.0).all()
        if level > 1.0 - back + 0.01:
            middle = whole.monthly_total[:, whole.levels.index(0.5)]
            assert one.monthly_total[:, i] == pytest.approx(middle, rel=0.2), "as large as it was"
    assert one.monthly_peak_hour.max() <= 1.001 * seasonal(WEEKS).max(), "never above what was seen"
    assert one.grade == "D"
    assert f"no request for {days} days" in one.reason
    (note,) = (text for text in one.degradations if "taken as stopped" in text)
    assert f"{back:.0%}" in note


def test_the_longer_the_silence_the_rarer_the_return() -> None:
    chances = [chance_of_return(days * 24) for days in (7, 10, 30, 300)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == COMES_BACK


def test_hours_that_nobody_saw_and_pauses_that_recur_are_no_stop() -> None:
    assert silent_hours(series(ended(7))) == 168
    assert silent_hours(series(ended(6))) == 0
    assert silent_hours(series(ended(14, np.nan))) == 0
    holed = ended(10)
    holed[-24:] = np.nan
    assert silent_hours(series(holed)) == 240, "zeros, then hours that nobody saw"
    again = ended(8)
    again[500 : 500 + 5 * 24] = 0.0
    assert silent_hours(series(again)) == 0
    rare = np.where(np.random.default_rng(0).random(WEEKS * 168) < 0.01, 10.0, 0.0)
    rare[-200:] = 0.0
    assert silent_hours(series(rare)) == 0
    assert silent_hours(series(np.zeros(500))) == 0
    kept = series(ended(10))
    assert as_it_ran(kept, 240).isna().sum() == 240
    assert as_it_ran(kept, 0).equals(kept)


def test_an_event_over_the_silence_makes_it_a_pause_and_a_declared_level_runs() -> None:
    end = pd.Timestamp("2026-08-03") + timedelta(days=7 * WEEKS - 1)
    pause = Event(name="pause", start=(end - timedelta(days=9)).date(), until=end.date())
    paused = forecast(history(a=ended(10)), POLICY.model_copy(update={"events": (pause,)}), 1).series[0]
    middle = paused.levels.index(0.5)
    whole = forecast(history(a=seasonal(WEEKS)), POLICY, 1).series[0]
    assert paused.monthly_total[:, middle] == pytest.approx(whole.monthly_total[:, middle], rel=0.1)
    tried = ended(8)
    tried[: (WEEKS * 7 - 18) * 24] = 0.0
    said = DeclaredLevel(llm="m", request_class="a", requests_per_hour=2000.0, sd=0.0)
    one = forecast(history(a=tried, b=seasonal(WEEKS)), POLICY.model_copy(update={"levels": (said,)}), 1).series[0]
    assert one.monthly_total[0, middle] == pytest.approx(2000.0 * 720, rel=0.1)
    assert not any("taken as stopped" in text for text in one.degradations)
