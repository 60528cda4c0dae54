"""Loads second by second: read, scaled, and with bursts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import InputError
from data.load_traces import DAY_S, Load, arrivals, day_from_hours, read_load, real_day, with_burst
from data.scaling_records import BurstBudget


def test_minutes_left_out_had_no_work_and_bad_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("minute,tokens_per_s\n0,60\n1,60\n3,120\n", encoding="utf-8")
    load = read_load(path)
    assert (load.unit, len(load.per_s), load.noisy) == ("tokens", 240, True)
    assert load.per_s[:60] == pytest.approx(60.0)
    assert load.per_s[149:151].max() < 2.0
    assert load.per_s[-30:] == pytest.approx(120.0)
    for bad in ("0,60\n0,60\n", "0,60\n1,-1\n", "0,60\n1,nan\n", "0,60\nx,1\n", "0,60\n1\n", "0,60\n99999999999,1\n"):
        path.write_text(f"minute,tokens_per_s\n{bad}", encoding="utf-8")
        with pytest.raises(InputError, match="line 3"):
            read_load(path)
    with pytest.raises(InputError, match="no-such"):
        read_load(tmp_path / "no-such.csv")


def test_requests_are_counted_by_second(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    stamps = ["2023-11-16 18:00:00.5", "2023-11-16 18:00:01.4", "2023-11-16 18:00:01.6", "2023-11-16 18:03:00.5"]
    rows = "".join(f"{stamp},{100 + i},10\n" for i, stamp in enumerate(stamps))
    path.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}", encoding="utf-8")
    load = read_load(path)
    # Seconds start with the first request.
    assert load.per_s[:3].tolist() == [2.0, 1.0, 0.0]
    assert load.per_s.sum() == 4.0
    assert arrivals(load, seed=0).sum() == 4.0
    assert not load.noisy


def test_a_day_keeps_the_means_of_its_hours_nearly_and_has_no_steps() -> None:
    hours = 50.0 + 40.0 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    day = day_from_hours("day", hours, "test")
    assert len(day.per_s) == DAY_S
    assert day.per_s.reshape(24, 3600).mean(axis=1) == pytest.approx(hours, abs=1.5)
    assert np.abs(np.diff(day.per_s)).max() < 0.01


@given(st.floats(1.0, 5.0), st.floats(0.0, 300.0), st.floats(1.0, 3000.0), st.integers(0, 80_000))
def test_a_burst_is_never_more_than_its_factor_and_never_takes_away(
    factor: float, ramp_s: float, hold_s: float, at_s: int
) -> None:
    day = day_from_hours("day", np.full(24, 10.0), "test")
    burst = with_burst(day, BurstBudget(factor, ramp_s, hold_s, 0.0), at_s, most_per_s=30.0)
    assert (burst.per_s >= day.per_s - 1e-9).all()
    assert burst.per_s.max() <= min(factor * 10.0, 30.0) + 1e-9
    assert burst.per_s[:at_s] == pytest.approx(10.0)


def test_a_real_day_is_the_busiest_and_is_expected_as_the_day_before() -> None:
    days = np.concatenate([np.full(DAY_S, 10.0), np.full(DAY_S, 20.0), np.full(DAY_S, 5.0)])
    day, expected = real_day(Load("week", days, "tokens", True, "test"), peak_per_s=100.0)
    assert (day.unit, len(day.per_s)) == ("requests", DAY_S)
    assert day.per_s == pytest.approx(100.0)
    assert expected[1000:] == pytest.approx(50.0)


def test_a_short_trace_is_expected_as_its_last_minutes() -> None:
    ramp = np.arange(3600.0)
    day, expected = real_day(Load("hour", ramp, "requests", False, "test"), peak_per_s=ramp[-60:].mean())
    assert day.per_s == pytest.approx(ramp)
    assert expected[3000] == pytest.approx(3000.0 - (900 - 1) / 2)


def test_requests_that_are_scaled_up_scatter_as_more_requests_do() -> None:
    counts = np.random.default_rng(0).poisson(5.0, 3600).astype(float)
    day, _ = real_day(Load("hour", counts, "requests", False, "test"), peak_per_s=600.0)
    came = arrivals(day, seed=1)
    # Multiplying five requests a second by a hundred would give a scatter of 45 %; 500 a second scatter by 4.5 %.
    quiet = came[600:3000]
    assert quiet.std() / quiet.mean() < 0.12


def test_nothing_cannot_be_scaled() -> None:
    with pytest.raises(InputError, match="above 0"):
        real_day(Load("nothing", np.zeros(3600), "requests", False, "test"), 10.0)
