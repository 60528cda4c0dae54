"""Paths: the distribution they should have, calibration that moves one thing at a time, growth and its limits."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecast.paths import Calibration, Growth, compound, correlation, move_peaks, peak_tail, simulate
from forecast.single import Task, prepare
from forecast.windows import quiet_days

INDEX = pd.date_range("2026-08-03", periods=12 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=2184, freq="h")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    shape = 1000.0 * (1.0 + 0.5 * np.cos(2 * np.pi * (INDEX.hour.to_numpy() - 15) / 24))
    return prepare(pd.Series(shape * rng.lognormal(0.0, 0.15, len(INDEX)), index=INDEX), Task(FUTURE, 5, 28)).model


def drawn(model, growth: Growth, paths: int = 400) -> np.ndarray:
    return next(simulate([model], quiet_days(FUTURE), [growth], paths, np.random.default_rng(1)))


def test_each_calibration_factor_widens_its_own_level(model) -> None:
    still = compound(len(FUTURE), 0.0, 0.0)
    month = slice(0, 730)

    def spreads(fit: Calibration) -> np.ndarray:
        paths = drawn(replace(model, calibration=fit), still)[:, month].astype(float)
        hour = np.log(np.maximum(paths, 1e-9)).std(axis=0).mean()
        return np.array([hour, np.log(paths.max(axis=1)).std(), np.log(paths.sum(axis=1)).std()])

    plain = spreads(Calibration())
    assert spreads(Calibration(level=2.0))[2] > 1.7 * plain[2]
    hours = spreads(Calibration(hour=1.5))
    assert hours[0] > 1.3 * plain[0]
    assert hours[2] == pytest.approx(plain[2], rel=0.1)
    peaks = spreads(Calibration(peak=1.5))
    assert peaks[1] == pytest.approx(1.5 * plain[1], rel=0.05)
    assert peaks[2] == pytest.approx(plain[2], rel=0.15)


def test_moved_peaks_keep_their_rank_and_quiet_hours() -> None:
    rng = np.random.default_rng(0)
    path = rng.gamma(5.0, 20.0, (50, 730)).astype(np.float32)
    before = path.copy()
    move_peaks(path, 2.0)
    assert (np.argsort(path.max(axis=1)) == np.argsort(before.max(axis=1))).all()
    low = before < 0.6 * before.max(axis=1, keepdims=True)
    assert path[low] == pytest.approx(before[low])


def test_peaks_are_moved_by_deviations_of_their_own() -> None:
    path = np.random.default_rng(0).gamma(5.0, 20.0, (400, 730)).astype(np.float32)
    before = np.log(path.max(axis=1))
    low, high = np.quantile(before, [0.1, 0.9])
    move_peaks(path, 1.0, -0.5)
    after = np.log(path.max(axis=1))
    assert np.median(after) - np.median(before) == pytest.approx(-0.5 * (high - low) / (2 * 1.2816), rel=0.05)


def test_growth_compounds_and_saturates() -> None:
    free, bounded = compound(24 * 730, 0.1, 0.0), compound(24 * 730, 0.1, 0.0, saturation=2.0)
    assert free.factor[-1] == pytest.approx(1.1**24)
    assert bounded.factor[-1] < 2.0
    assert bounded.factor[729] == pytest.approx(2.0 * 1.1 / (1.0 + 1.1))
    assert (np.diff(bounded.factor) > 0).all()


@pytest.mark.parametrize("rate", [-0.03, 0.0, 0.1])
def test_no_path_grows_past_the_saturation(rate: float) -> None:
    """Each path is the logistic of a free growth of its own; where that starts to decline, of none."""
    hours, sd, most = 24 * 730, 0.05, 1.2
    draws = np.random.default_rng(0).standard_normal(500)
    found = np.exp(compound(hours, rate, sd, most).log(draws))
    assert (found < most).all()
    months = np.arange(1, hours + 1) / 730.0
    free = (1.0 + rate) ** months * np.exp(draws[:, None] * sd * months)
    if rate >= 0.0:
        assert found == pytest.approx(most * free / (most - 1.0 + free), rel=1e-9)
    free_too = compound(hours, rate, sd).log(draws)
    assert free_too == pytest.approx(np.log(free), abs=1e-9)
    uplift = compound(hours, rate, sd, most).with_events(np.full(hours, 2.0), np.full(hours, 0.3))
    assert np.median(np.exp(uplift.log(draws))[:, -1]) == pytest.approx(2.0 * np.median(found[:, -1]), rel=0.05)
    assert np.log(np.exp(uplift.log(draws))[:, 0]).std() == pytest.approx(0.3, rel=0.1), "events are not bounded"


def test_correlation_is_that_of_common_weeks() -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.standard_normal(12))
    one, other = walk + 0.01 * rng.standard_normal(12), walk[-8:] + 0.01 * rng.standard_normal(8)
    against = -walk
    found = correlation([one, other, against])
    assert np.linalg.eigvalsh(found).min() > 0.0
    assert found[0, 1] > 0.6
    assert found[0, 2] < 0.0
    assert correlation([one[:2], other[:3]])[0, 1] == pytest.approx(0.5)


def test_paths_of_a_quarter_take_little_memory(model) -> None:
    still = compound(len(FUTURE), 0.02, 0.02)
    drawn(model, still, 500)
    tracemalloc.start()
    drawn(model, still, 500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 100e6


@pytest.mark.parametrize("level", [0.6, 0.9, 0.95, 0.975, 0.99])
def test_tails_of_peaks_are_those_of_student(level: float) -> None:
    student = stats.t.ppf(level, 5) / stats.t.ppf(0.9, 5) * stats.norm.ppf(0.9)
    expected = stats.norm.ppf(level) if level <= 0.9 else student
    assert float(peak_tail(np.array(stats.norm.ppf(level)))) == pytest.approx(expected, rel=0.04)
