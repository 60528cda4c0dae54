"""A level shift is found where there is one, dated, and treated; trends, outages and weekends are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.shift import latest_shift
from forecast.single import Task, prepare

INDEX = pd.date_range("2026-08-03", periods=10 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=2 * 168, freq="h")


def service(seed: int, noise: float = 0.1) -> pd.Series:
    rng = np.random.default_rng(seed)
    shape = 1.0 + 0.5 * np.cos(2 * np.pi * (INDEX.hour.to_numpy() - 15) / 24)
    weekend = np.where(INDEX.day_of_week.to_numpy() >= 5, 0.5, 1.0)
    days = np.repeat(rng.lognormal(0.0, noise, len(INDEX) // 24), 24)
    return pd.Series(1000.0 * shape * weekend * days, index=INDEX)


@pytest.mark.parametrize("factor", [2.0, 0.4, 1.6])
def test_a_migration_is_found_and_history_scaled(factor: float) -> None:
    values = service(0)
    day = 7 * 7 + 3
    values.iloc[day * 24 :] *= factor
    found = latest_shift(values)
    assert found is not None
    assert abs((found.day - INDEX[day * 24]).days) <= 1
    assert found.factor == pytest.approx(factor, rel=0.15)
    ready = prepare(values, Task(FUTURE, 5, 28))
    truth = service(0).iloc[: len(FUTURE)].mean() * factor
    assert ready.point.mean() == pytest.approx(truth, rel=0.12)
    assert any("level shift" in text for text in ready.degradations)


@pytest.mark.parametrize("seed", range(8))
def test_noise_trend_and_outage_are_no_shift(seed: int) -> None:
    values = service(seed, 0.2)
    assert latest_shift(values) is None
    assert latest_shift(service(seed) * np.linspace(1.0, 1.3, len(INDEX))) is None
    outage = service(seed)
    outage.iloc[-10 * 24 : -8 * 24] *= 0.05
    assert latest_shift(outage) is None
