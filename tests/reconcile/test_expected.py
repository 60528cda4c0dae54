"""Volumes told from quantiles add up to the totals that were said, and find no bias in a forecast that is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from data.ledger.records import HOUR, Actual, Vintage
from data.records import SeriesKey
from reconcile.expected import expected, mean_weights
from reconcile.series import reconcile_series

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
KEY = SeriesKey("llm", "chat", "us-east")
FIRST = np.datetime64("2026-05-20T07", "h")
JUNE = slice(int((np.datetime64("2026-06-01T00", "h") - FIRST) / HOUR), None)


def right(spread: float, level: float = 100.0) -> Vintage:
    """What is true of independent log-normal hours of mean `level`, to the end of June."""
    hours = int((np.datetime64("2026-07-01T00", "h") - FIRST) / HOUR)
    season = level * (1.2 + np.sin(np.arange(hours) * 2 * np.pi / 24)) / 1.2
    quantiles = np.exp(spread * norm.ppf(LEVELS) - spread**2 / 2)
    total = season[JUNE].sum() * np.ones((1, len(LEVELS)))
    hourly = season[:, None] * quantiles
    return Vintage("r", KEY, FIRST - HOUR, FIRST, LEVELS, hourly, ("2026-06",), total, hourly.max(axis=0)[None])


def test_weights_integrate_a_quantile_function() -> None:
    assert mean_weights(LEVELS).sum() == pytest.approx(1.0)
    fine = tuple((np.arange(2000) + 0.5) / 2000)
    assert mean_weights(fine) @ norm.ppf(fine) == pytest.approx(0.0, abs=1e-9)
    assert mean_weights(fine) @ np.exp(norm.ppf(fine)) == pytest.approx(np.exp(0.5), rel=0.01)


def test_hours_add_up_to_the_total_that_was_said() -> None:
    one = right(0.8)
    hours = expected(one)
    assert hours[JUNE].sum() == pytest.approx(one.monthly_total[0, 2])  # type: ignore[index]
    ratio = hours / one.hourly[:, 2]
    assert ratio == pytest.approx(np.full(len(hours), np.exp(0.32))), "the days before the first whole month alike"
    bare = replace(one, months=(), monthly_total=None, monthly_peak_hour=None)
    assert (expected(bare) == one.hourly[:, 2]).all()
    part = replace(one, months=("2026-07",))
    assert (expected(part) == one.hourly[:, 2]).all(), "a month that its hours do not cover says nothing of them"


@pytest.mark.parametrize("spread", [0.2, 0.5, 1.0])
def test_a_forecast_that_is_right_is_not_told_biased(spread: float) -> None:
    one = right(spread)
    rng = np.random.default_rng(4)
    season = one.hourly[:, 2] * np.exp(spread**2 / 2)
    scores = []
    for _ in range(40):
        actual = Actual(KEY, FIRST, season * np.exp(spread * rng.normal(size=len(season)) - spread**2 / 2))
        found = reconcile_series(KEY, [one], actual)
        assert found is not None
        scores.append((found.vintages[0].hourly.bias, found.drift.severity == "alarm", found.drift.ratio))
    bias, alarms, ratio = np.mean(scores, axis=0)
    assert bias == pytest.approx(0.0, abs=0.02)
    assert ratio == pytest.approx(1.0, abs=0.02)
    assert alarms < 0.25, "the tests' own false alarms: 5 % of the shift test and 5 % of the tracking signal"
    # The medians alone would have been told biased by this much:
    assert one.hourly[:, 2].sum() / season.sum() == pytest.approx(np.exp(-(spread**2) / 2))
