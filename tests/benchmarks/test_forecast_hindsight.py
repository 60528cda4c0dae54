"""What hindsight says: never worse than what is forecast, and exact where a week's total is all that is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import forecast_hindsight
from benchmarks.forecast_hindsight import TOLD, errors, hindsight, run, told_totals

HOURS = pd.date_range("2026-01-05", periods=20 * 168, freq="h", tz="UTC")


def weeks_of(levels: np.ndarray) -> pd.Series:
    """One shape of the week at these levels."""
    shape = 10.0 + 5.0 * np.sin(np.arange(168) * 2.0 * np.pi / 24.0)
    return pd.Series(np.outer(levels, shape).ravel(), index=HOURS)


def test_a_told_total_is_all_that_levels_lack() -> None:
    rng = np.random.default_rng(1)
    series = weeks_of(np.exp(np.cumsum(rng.normal(0.0, 0.1, 20))))
    actual = series.iloc[16 * 168 :]
    assert told_totals(series.iloc[: 4 * 168].to_numpy(), actual.to_numpy()) == pytest.approx(actual.to_numpy())
    found = run({"a": series}, 12, 4, 3)
    assert found[TOLD] < 0.1 * found["portfolio"]


def test_hindsight_never_loses() -> None:
    rng = np.random.default_rng(2)
    series = weeks_of(np.ones(20)) * np.exp(rng.normal(0.0, 0.3, len(HOURS)))
    found = run({"a": series, "b": series.where(rng.random(len(HOURS)) > 0.1)}, 12, 4, 2)
    assert found["best method of each window"] <= found["best method of each series"] <= found["portfolio"]
    assert found["portfolio"] < 1.0


def test_short_histories_are_scored_without_members_and_exact_ones_left_out() -> None:
    series = weeks_of(np.ones(20))
    short = errors(series.iloc[: 3 * 168], np.zeros(168), series.iloc[3 * 168 : 4 * 168])
    assert set(short) == {"portfolio", "seasonal naive", "four-week mean", TOLD}
    assert short["seasonal naive"] == 0.0
    assert hindsight({"a": [short]}) == {}


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert forecast_hindsight.main(["--series", str(tmp_path / "absent.csv")]) == 2
    assert "absent.csv" in capsys.readouterr().err
