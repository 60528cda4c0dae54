"""Scores against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from forecast.accuracy import bias, covered, mase, pinball, wape

ACTUAL = np.array([2.0, 4.0, np.nan, 6.0])
FORECAST = np.array([3.0, 4.0, 100.0, 3.0])


def test_unobserved_hours_count_for_nothing() -> None:
    assert wape(ACTUAL, FORECAST) == pytest.approx(4.0 / 12.0)
    assert bias(ACTUAL, FORECAST) == pytest.approx(10.0 / 12.0 - 1.0)
    assert covered(ACTUAL, FORECAST - 1.0, FORECAST + 1.0) == pytest.approx(2 / 3)


def test_mase_of_the_naive_on_a_random_walk_is_one() -> None:
    history = np.cumsum(np.random.default_rng(0).standard_normal(20_000))
    errors = history[168:] - history[:-168]
    assert mase(history[168:], history[:-168], history, 168) == pytest.approx(1.0)
    assert np.abs(errors).mean() > 0


def test_pinball_is_least_at_the_true_quantile() -> None:
    sample = np.random.default_rng(1).normal(100.0, 10.0, 50_000)
    levels = {q: np.full_like(sample, stats.norm.ppf(q, 100.0, 10.0)) for q in (0.90, 0.95, 0.98)}
    losses = {q: pinball(sample, value, 0.95) for q, value in levels.items()}
    assert min(losses, key=lambda q: losses[q]) == 0.95
    # The expected loss at the true quantile of a normal is sigma phi(z).
    assert losses[0.95] * sample.mean() == pytest.approx(10.0 * stats.norm.pdf(stats.norm.ppf(0.95)), rel=0.02)
