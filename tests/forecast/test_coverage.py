"""Intervals at three levels over unseen futures of services that walk, burst and have habits: pooled coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.paths import compound, simulate
from forecast.portfolio import calibrated
from forecast.single import Task, prepared_or_fallback
from forecast.windows import quiet_days

SERIES = 60
TRAIN, AHEAD = 12 * 168, 4 * 168


def service(seed: int) -> pd.Series:
    """Sixteen weeks: a daily and weekly shape, levels that walk 0 to 5 % a week, days that differ, correlated hours,
    counting noise."""
    rng = np.random.default_rng(seed)
    hours = TRAIN + AHEAD
    index = pd.date_range("2026-03-02", periods=hours, freq="h", tz="UTC")
    clock = index.hour.to_numpy()
    shape = 1.0 + rng.uniform(0.2, 0.7) * np.cos(2 * np.pi * (clock - rng.integers(24)) / 24)
    shape = shape * np.where(index.day_of_week >= 5, rng.uniform(0.4, 1.1), 1.0)
    level = np.repeat(np.cumsum(rng.normal(0.0, rng.uniform(0.0, 0.05), hours // 168)), 168)
    days = np.repeat(rng.normal(0.0, rng.uniform(0.02, 0.2), hours // 24), 24)
    noise = np.zeros(hours)
    for t in range(1, hours):
        noise[t] = 0.7 * noise[t - 1] + rng.normal(0.0, 0.1)
    mean = 10.0 ** rng.uniform(1.0, 4.0) * shape * np.exp(level + days + noise)
    return pd.Series(rng.poisson(mean).astype(float), index=index)


@pytest.mark.slow
def test_hours_peaks_and_totals_are_covered_as_stated() -> None:
    whole = [service(seed) for seed in range(SERIES)]
    future = pd.DatetimeIndex(whole[0].index[TRAIN:])
    quiet, still = quiet_days(future), compound(AHEAD, 0.0, 0.0)
    ready = calibrated([prepared_or_fallback(one.iloc[:TRAIN], Task(future, 5, 28), i) for i, one in enumerate(whole)])
    hits: dict[tuple[str, float], list[float]] = {}
    for i, (one, made) in enumerate(zip(whole, ready, strict=True)):
        paths = next(simulate([made.model], quiet, [still], 500, np.random.default_rng(i))).astype(float)
        actual = one.to_numpy()[TRAIN:]
        for level in (0.8, 0.95):
            tail = [(1 - level) / 2, (1 + level) / 2]
            for name, drawn, came in (
                ("hour", paths, actual),
                ("peak", paths.max(axis=1), actual.max()),
                ("total", paths.sum(axis=1), actual.sum()),
            ):
                low, high = np.quantile(drawn, tail, axis=0)
                hits.setdefault((name, level), []).append(float(np.mean((low <= came) & (came <= high))))
    for (name, level), found in hits.items():
        # One window a series: a share of 60 is known to 5 % (one standard deviation), hours to less.
        doubt = 0.03 if name == "hour" else 2.0 * np.sqrt(level * (1 - level) / SERIES)
        assert level - doubt <= np.mean(found) <= min(level + doubt, 1.0), (name, level, np.mean(found))
