"""Calibration from the scores of past windows: shrunk to everyone's, spread and place told apart."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.calibrate import Evidence, Pool, calibration, summed, together

NOBODY = Pool(0.0, 0.0, 0.0, 0.0, 0.0)


def windows(peaks: np.ndarray) -> list[Evidence]:
    rng = np.random.default_rng(0)
    return [Evidence(float(rng.normal()), float(peak), rng.normal(size=672), np.zeros((9, 672))) for peak in peaks]


def test_without_evidence_nothing_is_moved_but_peaks_are_doubted() -> None:
    found = calibration(NOBODY, NOBODY)
    assert (found.level, found.hour, found.peak_shift) == (1.0, 1.0, 0.0)
    assert found.peak == pytest.approx(np.sqrt(1.4))


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
