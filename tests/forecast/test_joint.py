"""Series of different lengths and with gaps draw the same calendar days."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.backtest import quiet_days
from forecast.paths import simulate
from forecast.single import prepare

INDEX = pd.date_range("2026-08-03", periods=12 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=4 * 168, freq="h")


def weather(seed: int) -> pd.Series:
    """Two services under one weather: days differ by 30 %, the same days for both."""
    days = np.random.default_rng(0).lognormal(0.0, 0.3, len(INDEX) // 24)
    own = np.random.default_rng(seed).lognormal(0.0, 0.05, len(INDEX))
    shape = 1.0 + 0.5 * np.cos(2 * np.pi * (INDEX.hour.to_numpy() - 15) / 24)
    return pd.Series(1000.0 * shape * np.repeat(days, 24) * own, index=INDEX)


@pytest.mark.parametrize("kind", ["same", "shorter", "gap"])
def test_days_that_moved_together_move_together_in_paths(kind: str) -> None:
    one, two = weather(1), weather(2)
    if kind == "shorter":
        two = two.iloc[5 * 168 :]
    if kind == "gap":
        two.iloc[-400:-380] = np.nan
    ready = [prepare(values, FUTURE, 6, 14, None) for values in (one, two)]
    paths = simulate(
        np.stack([r.point for r in ready]), [r.bank for r in ready], quiet_days(FUTURE), np.array([0.02, 0.02]),
        0.0, 0.0, np.array([1e9, 1e9]), 200, np.random.default_rng(3),
    )  # fmt: skip
    days = np.log(paths.reshape(2, 200, 28, 24).sum(axis=3))
    days = days - days.mean(axis=1, keepdims=True)
    assert np.corrcoef(days[0].ravel(), days[1].ravel())[0, 1] > 0.75
