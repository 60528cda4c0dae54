"""Holidays: neither learnt from nor forecast as ordinary days."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from configs.errors import InputError
from forecast.calendar import as_sundays, holiday_hours, without_holidays
from forecast.single import Task, prepare
from forecast.windows import rolling_windows


def test_christmas_is_a_holiday_all_day() -> None:
    index = pd.date_range("2026-12-24", periods=72, freq="h", tz="UTC")
    assert holiday_hours(index, "US").sum() == 24
    assert holiday_hours(index, "DE").sum() == 48


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    cup_day = pd.date_range("2026-11-03", periods=24, freq="h", tz="UTC")
    assert holiday_hours(cup_day, "AU-VIC").all()
    assert not holiday_hours(cup_day, "AU").any()
    with pytest.raises(InputError, match="ISO 3166"):
        holiday_hours(cup_day, "AU-XX")


def test_a_holiday_is_forecast_as_the_next_sunday() -> None:
    future = pd.date_range("2026-12-21", periods=14 * 24, freq="h", tz="UTC")
    point = future.day_of_week.to_numpy() * 100.0 + future.hour.to_numpy()
    moved = as_sundays(point, future, "US")
    christmas = np.asarray(future.date == pd.Timestamp("2026-12-25").date())
    assert (moved[christmas] == 600.0 + np.arange(24)).all()
    ordinary = ~holiday_hours(future, "US")
    assert (moved[ordinary] == point[ordinary]).all()


def test_history_with_a_holiday_forecasts_as_if_it_had_been_ordinary() -> None:
    index = pd.date_range("2026-10-26", periods=5 * 168, freq="h", tz="UTC")
    level = 100.0 + 50.0 * np.cos(2 * np.pi * (index.hour.to_numpy() - 15) / 24)
    values = pd.Series(level, index=index)
    values[holiday_hours(index, "US")] = 5.0
    future = pd.date_range(index[-1] + pd.Timedelta(hours=1), periods=168, freq="h")
    blind, aware = (prepare(values, Task(future, 2, 7, country)).point for country in (None, "US"))
    assert np.abs(aware - level[:168]).mean() < 0.2 * np.abs(blind - level[:168]).mean()


def test_no_country_changes_nothing_and_an_unknown_one_is_an_error() -> None:
    index = pd.date_range("2026-12-24", periods=48, freq="h", tz="UTC")
    values = pd.Series(1.0, index=index)
    assert without_holidays(values, None) is values
    with pytest.raises(InputError, match="ISO 3166"):
        without_holidays(values, "XX")


def test_holidays_that_came_are_scored_though_no_model_learns_from_them() -> None:
    index = pd.date_range("2026-10-05", periods=8 * 168, freq="h", tz="UTC")
    values = pd.Series(100.0, index=index)
    thanksgiving = holiday_hours(index, "US") & np.asarray(index.month == 11) & np.asarray(index.day == 26)
    values[thanksgiving] = 5.0
    window = rolling_windows(values, 1, 14, "US")[-1]
    assert not np.isnan(window.actual).any()
    assert (window.actual == 5.0).sum() == 24
    assert np.isnan(window.ordinary).sum() == 24
