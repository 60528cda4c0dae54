"""A declared level: all there is without history, outweighed by it week by week, ignored where it is not needed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from configs.errors import InputError
from configs.forecasting import DeclaredLevel, ForecastPolicy
from data.forecast_records import SeriesForecast
from data.records import SeriesKey
from forecast.declared import WEEK_SD
from forecast.portfolio import forecast
from tests.forecast.test_many import keyed
from tests.forecast.test_portfolio import seasonal

OLD, NEW = SeriesKey("a", "chat", "us"), SeriesKey("b", "chat", "us")
HOURS = 12 * 168


def planned(history: np.ndarray, requests_per_hour: float, sd: float = 0.5) -> SeriesForecast:
    said = DeclaredLevel(llm="b", request_class="chat", requests_per_hour=requests_per_hour, sd=sd)
    policy = ForecastPolicy(horizon_months=1, paths=400, backtest_windows=2, levels=(said,))
    found = forecast(keyed({OLD: seasonal(12), NEW: history}), policy, 1)
    return next(one for one in found.series if one.key == NEW)


def hour_means(one: SeriesForecast, level: float) -> float:
    return float(one.monthly_total[0, one.levels.index(level)] / 744)


def test_without_history_the_declared_level_is_planned_in_the_shape_of_its_class() -> None:
    one = planned(np.full(HOURS, np.nan), 500.0)
    assert hour_means(one, 0.5) == pytest.approx(500.0, rel=0.1)
    # The level alone is log-normal with the declared deviation; weeks that stray come on top.
    assert 1.2816 * 0.5 * 0.85 < np.log(hour_means(one, 0.9) / hour_means(one, 0.5)) < 1.2816 * 0.5 * 1.6
    middle = one.hourly[:, one.levels.index(0.5)]
    assert middle.max() > 1.2 * middle.min(), "the day of its class"
    assert one.monthly_peak_hour[0, one.levels.index(0.5)] > middle.max()
    assert one.grade == "D"
    assert "declared" in one.reason
    assert any("level declared" in text for text in one.degradations)


@pytest.mark.parametrize("days", [2, 10])
def test_a_short_history_moves_it_by_how_sure_each_is(days: int) -> None:
    history = np.full(HOURS, np.nan)
    history[-days * 24 :] = 100.0
    weight = (WEEK_SD**2 * 7 / days) / (WEEK_SD**2 * 7 / days + 0.5**2)
    expected = np.exp(weight * np.log(400.0) + (1.0 - weight) * np.log(100.0))
    assert hour_means(planned(history, 400.0), 0.5) == pytest.approx(expected, rel=0.15)


def test_a_sure_declaration_is_believed_and_a_long_history_needs_none() -> None:
    history = np.full(HOURS, np.nan)
    history[-48:] = 100.0
    assert hour_means(planned(history, 400.0, 0.0), 0.5) == pytest.approx(400.0, rel=0.1)
    whole = planned(np.full(HOURS, 100.0), 400.0)
    assert hour_means(whole, 0.5) == pytest.approx(100.0, rel=0.05)
    assert any("not needed" in text for text in whole.degradations)


def test_a_level_of_no_series_is_an_error() -> None:
    said = DeclaredLevel(llm="c", request_class="chat", requests_per_hour=1.0)
    with pytest.raises(InputError, match=r"forecast\.levels"):
        forecast(keyed({OLD: seasonal(12)}), ForecastPolicy(horizon_months=1, levels=(said,)), 1)


def test_the_example_of_the_guide_is_a_policy() -> None:
    text = (Path(__file__).parents[2] / "docs" / "forecast.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    policy = ForecastPolicy.model_validate(yaml.safe_load(block)["forecast"])
    assert policy.levels[0].llm == "Qwen3-32B"
    assert sum(event.uplift is None for event in policy.events) == 2


def test_zeros_before_the_first_request_are_no_history() -> None:
    zeros = planned(np.zeros(HOURS), 500.0)
    unseen = planned(np.full(HOURS, np.nan), 500.0)
    assert zeros.monthly_total == pytest.approx(unseen.monthly_total, rel=1e-6)
    assert zeros.hourly == pytest.approx(unseen.hourly, rel=1e-6)
    assert (zeros.grade, zeros.accuracy) == ("D", ())
    assert not any("not needed" in text for text in zeros.degradations)


@pytest.mark.parametrize("hours", [10, 20, 48, 240])
def test_a_recent_start_after_zeros_counts_its_own_hours_only(hours: int) -> None:
    history = np.zeros(HOURS)
    history[-hours:] = 100.0
    weight = (WEEK_SD**2 * 168 / hours) / (WEEK_SD**2 * 168 / hours + 0.5**2)
    expected = np.exp(weight * np.log(400.0) + (1.0 - weight) * np.log(100.0))
    one = planned(history, 400.0)
    assert hour_means(one, 0.5) == pytest.approx(expected, rel=0.15)
    assert any(f"{hours} observed hours for the rest" in text for text in one.degradations)
    assert one.grade == "D" or hours >= 168
