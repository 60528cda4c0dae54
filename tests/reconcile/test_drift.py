"""Drift is found where it is, named when it came, and rarely where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from reconcile.drift import LEAST_DAYS, SUP_F_5_PERCENT, drift, level_shift, tracking_signal


def test_a_tracking_signal_by_hand() -> None:
    signal, chance = tracking_signal(np.array([9.0, 8.0, 11.0]), np.array([10.0, 10.0, 10.0]))
    assert signal == pytest.approx(-2.0 / (4.0 / 3.0))
    assert 0 < chance < 1
    assert tracking_signal(np.ones(3), np.ones(3)) == (0.0, 1.0)
    assert tracking_signal(np.array([]), np.array([])) == (0.0, 1.0)


def test_the_stated_chance_is_how_often_it_happens() -> None:
    rng = np.random.default_rng(1)
    chances = [tracking_signal(100 + rng.normal(0, 10, 28), np.full(28, 100.0))[1] for _ in range(2000)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(chances) < level) == pytest.approx(level, abs=0.03)


def test_a_level_shift_is_where_it_was_put() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.05, 40)
    noise[25:] -= 0.3
    where, statistic = level_shift(noise)
    assert where == 25
    assert statistic > SUP_F_5_PERCENT
    assert level_shift(np.array([0.0, 0.0, 0.0, -1.0, -1.0, -1.0])) == (3, np.inf)
    assert level_shift(np.zeros(20)) == (0, 0.0)
    assert level_shift(np.ones(5)) == (0, 0.0)


def test_false_alarms_of_the_shift_test_are_about_as_many_as_stated() -> None:
    rng = np.random.default_rng(3)
    found = [level_shift(rng.normal(0, 1, 60))[1] >= SUP_F_5_PERCENT for _ in range(1000)]
    assert np.mean(found) < 0.08


def test_a_shift_within_the_track_sets_the_ratio_and_raises_an_alarm() -> None:
    rng = np.random.default_rng(4)
    forecast = np.full(30, 1000.0)
    actual = forecast * np.exp(rng.normal(0, 0.03, 30))
    actual[18:] *= 0.7
    found = drift(actual, forecast)
    assert found.since == 18
    assert found.severity == "alarm"
    assert found.ratio == pytest.approx(0.7, abs=0.03)


def test_a_steady_over_forecast_has_no_break_but_a_ratio() -> None:
    rng = np.random.default_rng(5)
    forecast = np.full(28, 1000.0)
    found = drift(forecast * 0.9 * np.exp(rng.normal(0, 0.03, 28)), forecast)
    assert found.since == 0
    assert found.severity == "alarm"
    assert found.tracking_signal < -4
    assert found.ratio == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("empty", [np.array([]), np.zeros(10)])
def test_empty_tracks_say_nothing(empty: np.ndarray) -> None:
    assert drift(empty, empty).severity == "none"


def test_a_track_that_fell_to_zero_is_an_alarm_not_an_error() -> None:
    actual = np.full(20, 100.0)
    actual[12:] = 0.0
    found = drift(actual, np.full(20, 100.0) + np.arange(20) % 3)
    assert found.severity == "alarm"
    assert found.since == 12
    assert found.ratio == 0.0


def test_noise_does_not_hide_a_bias_of_the_whole_track() -> None:
    """Noise of 1 % makes a break at 5 % in every fifteenth track; the over-forecast of 30 % is measured still."""
    rng = np.random.default_rng(6)
    forecast = np.full(15, 1000.0)
    broken = 0
    for _ in range(300):
        found = drift(forecast * 0.7 * np.exp(rng.normal(0, 0.01, 15)), forecast)
        broken += found.shift_statistic >= SUP_F_5_PERCENT
        assert found.severity == "alarm"
        assert found.days - found.since >= LEAST_DAYS
        assert found.ratio == pytest.approx(0.7, abs=0.02)
    assert broken > 3, "the breaks that noise makes were there"


def test_a_break_of_yesterday_is_told_and_not_measured_by_itself() -> None:
    rng = np.random.default_rng(7)
    forecast = np.full(20, 1000.0)
    actual = forecast * np.exp(rng.normal(0, 0.01, 20))
    actual[16:] *= 0.5
    found = drift(actual, forecast)
    assert found.severity == "alarm"
    assert found.since == 0
    assert 0.85 < found.ratio < 0.95
