"""Series drawn from their own days: their mean, their hours of the day where they have any, and the level they keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecast.empirical import empirical_bank, has_profile
from forecast.paths import compound, simulate
from forecast.single import Prepared, Task, prepare
from forecast.windows import quiet_days

INDEX = pd.date_range("2026-08-03", periods=12 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=28 * 24, freq="h")


def bursts(seed: int) -> pd.Series:
    """Near zero, and two bursts a week of a few hundred requests for up to a day."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(1.0, len(INDEX)).astype(float)
    for start in rng.integers(0, len(INDEX), 24):
        span = slice(start, start + int(rng.integers(2, 24)))
        values[span] += rng.poisson(200.0 * (1.0 + rng.pareto(2.0)), len(values[span]))
    return pd.Series(values, index=INDEX)


def drawn(ready: Prepared) -> np.ndarray:
    still = compound(len(FUTURE), 0.0, 0.0)
    return next(simulate([ready.model], quiet_days(FUTURE), [still], 400, np.random.default_rng(0))).astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_paths_lie_between_having_history_as_their_median_and_as_their_mean(seed: int) -> None:
    history = bursts(seed)
    ready = prepare(history, Task(FUTURE, 5, 28))
    assert ready.empirical
    assert ready.model.mean
    mean = drawn(ready).mean()
    median = drawn(replace(ready, model=replace(ready.model, mean=False))).mean()
    assert mean < median
    # 0.8: what 400 paths of bursts leave to chance.
    assert 0.8 * history.mean() < mean < 3.0 * history.mean()


def test_hours_of_the_day_are_kept_only_where_there_are_some() -> None:
    rng = np.random.default_rng(0)
    flat = rng.gamma(0.3, 100.0, (60, 24))
    assert not has_profile(flat)
    assert has_profile(flat * np.where(np.arange(24) < 8, 0.1, 1.0))
    assert not has_profile(flat[:1])


def test_weekends_are_kept_apart_only_where_they_differ() -> None:
    rng = np.random.default_rng(0)
    flat = rng.gamma(0.3, 100.0, 56 * 24)
    last = 20665
    assert not empirical_bank(flat, last).quiet.any()
    dates = empirical_bank(flat, last).date
    weekend = (dates + 3) % 7 >= 5
    busy = flat * np.repeat(np.where(weekend, 0.05, 1.0), 24)
    assert (empirical_bank(busy, last).quiet == weekend).all()
