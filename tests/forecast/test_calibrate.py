"""Calibration from the scores of past windows: shrunk to everyone's, spread and place told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.calibrate import (
    LEAN_PRIOR,
    PEAK_DOUBT,
    Evidence,
    Pool,
    calibration,
    peak_share,
    summed,
    together,
)
from forecast.windows import rolling_windows

NOBODY = Pool(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def windows(peaks: np.ndarray) -> list[Evidence]:
    rng = np.random.default_rng(0)
    return [Evidence(float(rng.normal()), float(peak), rng.normal(size=672), np.zeros((9, 672))) for peak in peaks]


def test_without_evidence_nothing_is_moved_but_peaks_are_doubted() -> None:
    found = calibration(NOBODY, NOBODY)
    assert (found.level, found.hour, found.peak_shift) == (1.0, 1.0, 0.0)
    assert found.peak == pytest.approx(np.sqrt(PEAK_DOUBT + 2.0 / LEAN_PRIOR))


def test_peaks_that_came_out_too_high_are_moved_down_and_not_spread() -> None:
    rng = np.random.default_rng(1)
    around = rng.normal(0.0, 0.5, 400)
    even, low = (together([summed(windows(around + at), 400.0)]) for at in (0.0, -1.0))
    still, moved = calibration(even, even), calibration(low, low)
    assert abs(still.peak_shift) < 0.1
    assert moved.peak_shift == pytest.approx(-1.0, abs=0.1)
    assert moved.peak == pytest.approx(still.peak, rel=0.1)


def test_few_windows_of_ones_own_move_little_where_many_of_others_say_otherwise() -> None:
    others = together([summed(windows(np.zeros(400)), 400.0)])
    mine = summed(windows(np.full(2, -1.5)), 2.0)
    assert calibration(mine, others).peak_shift == pytest.approx(-1.5 * 2.0 / 22.0, rel=0.01)


@pytest.mark.parametrize("count", [2, 8, 40])
def test_the_spread_of_peaks_holds_that_of_where_they_lie(count: int) -> None:
    """Where peaks lie is drawn from its prior for every service, and known by `count` windows: about what is expected
    of it, the next peak spreads by as much as the calibration says (at its prior, so that no cap is in play)."""
    rng = np.random.default_rng(count)
    lies = rng.normal(0.0, LEAN_PRIOR**-0.5, 40_000)
    mean = lies + rng.normal(0.0, count**-0.5, len(lies))
    expected = count * mean / (LEAN_PRIOR + count)
    came = lies + rng.normal(size=len(lies))
    spread = float(np.square(came - expected).mean())
    exact = Pool(float(count), float(count), float(count), float(count), float(count), 0.0)
    many = Pool(1e9, 1e9, 1e9, 1e9, 1e9, 0.0)
    assert calibration(exact, many).peak == pytest.approx(np.sqrt(spread), rel=0.01)


def test_windows_that_are_shorter_than_what_is_asked_say_less_of_peaks() -> None:
    index = pd.date_range("2026-06-01", periods=5 * 168, freq="h", tz="UTC")
    history = pd.Series(100.0 + 10.0 * np.sin(np.arange(len(index))), index=index)
    short = rolling_windows(history, 5, 28)
    assert {len(one.date) for one in short} == {11}
    assert peak_share(short, 14.0) == pytest.approx((11 / 14) ** 2)
    assert peak_share(short, 28.0) == peak_share(short, 92.0) == pytest.approx((11 / 28) ** 2)
    assert peak_share(short, 7.0) == 1.0
    assert peak_share([], 28.0) == 0.0
    calm = windows(np.full(2, 0.1))
    sure, unsure = (calibration(summed(calm, 2.0, share), NOBODY) for share in (1.0, 0.2))
    assert sure.peak < unsure.peak < np.sqrt(PEAK_DOUBT + 2.0 / LEAN_PRIOR)
    assert (sure.level, sure.hour) == (unsure.level, unsure.hour)
