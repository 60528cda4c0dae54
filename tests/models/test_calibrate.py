"""Calibration recovers what moved, keeps to its prior without evidence, and says when it knows too little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibrate import PRIOR_SD, Observations, calibrate, predict


def parts(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    batch = rng.choice([1.0, 4.0, 16.0, 64.0, 256.0], n)
    decode = 5e-3 * (1 + batch / 100) * rng.uniform(0.5, 2.0, n)
    return decode, decode * batch / 200 * rng.uniform(0.2, 2.0, n), batch


def test_no_change_moves_nothing() -> None:
    decode, interference, batch = parts(6)
    fit = calibrate(Observations(decode + interference, decode, interference, batch))
    assert fit.values == pytest.approx(np.zeros(4), abs=1e-12)
    assert fit.error_before == pytest.approx(0.0, abs=1e-12)


def test_many_points_recover_the_truth() -> None:
    decode, interference, batch = parts(400)
    truth = np.array([0.1, 0.4e-3, 15e-6, -0.2])
    measured = (1 + truth[0]) * decode + truth[1] + truth[2] * batch + (1 + truth[3]) * interference
    fit = calibrate(Observations(measured, decode, interference, batch))
    assert np.abs(fit.values - truth).max() <= (0.1 * PRIOR_SD).max()
    assert np.all(np.abs(fit.values - truth) <= 3 * fit.sd + 0.1 * PRIOR_SD)
    assert fit.error_held_out < 0.01
    assert fit.verdict == "good"


def test_four_points_halve_a_systematic_error() -> None:
    decode, interference, batch = parts(60)
    measured = 1.2 * decode + 0.3e-3 + interference
    seen = slice(0, 4)
    fit = calibrate(Observations(measured[seen], decode[seen], interference[seen], batch[seen]))
    moved = predict(fit, decode[4:], interference[4:], batch[4:])
    before = np.abs((decode + interference)[4:] / measured[4:] - 1).mean()
    assert np.abs(moved / measured[4:] - 1).mean() < 0.5 * before


def test_held_out_errors_are_those_of_refitting() -> None:
    decode, interference, batch = parts(7)
    measured = (decode + interference) * np.random.default_rng(1).uniform(0.85, 1.25, 7)
    fit = calibrate(Observations(measured, decode, interference, batch))
    errors = []
    for i in range(7):
        keep = np.arange(7) != i
        other = calibrate(Observations(measured[keep], decode[keep], interference[keep], batch[keep]))
        base = decode[i] + interference[i]
        design = np.array([decode[i], 1.0, batch[i], interference[i]])
        errors.append(abs((base + design @ other.values) / measured[i] - 1))
    assert fit.error_held_out == pytest.approx(np.mean(errors), rel=1e-6)


def test_one_point_and_one_batch_size_are_called_what_they_are() -> None:
    decode, interference, batch = parts(1)
    fit = calibrate(Observations(1.1 * decode, decode, interference, batch))
    assert np.isnan(fit.error_held_out)
    assert "one point" in fit.verdict
    same = np.full(5, 5e-3)
    fit = calibrate(Observations(1.1 * same, same, np.zeros(5), np.ones(5)))
    assert "prefill" in fit.verdict
    assert "prefill" not in fit.identified


def test_noise_is_called_poor() -> None:
    decode, interference, batch = parts(8)
    wild = (decode + interference) * np.array([0.4, 2.2, 0.5, 1.9, 0.6, 1.7, 0.5, 2.0])
    assert calibrate(Observations(wild, decode, interference, batch)).verdict.startswith("poor")


@pytest.mark.parametrize("bad", [[], [0.0], [np.nan], [-1e-3]])
def test_bad_times_are_refused(bad: list[float]) -> None:
    array = np.array(bad)
    with pytest.raises(ValueError, match="positive"):
        calibrate(Observations(array, array, array, array))


@given(st.floats(0.3, 3.0), st.integers(1, 12))
def test_predictions_stay_positive(factor: float, n: int) -> None:
    decode, interference, batch = parts(n, n)
    fit = calibrate(Observations(factor * decode, decode, interference, batch))
    assert np.all(predict(fit, *parts(50, 99)) > 0)
