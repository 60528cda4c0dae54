"""Calibration: move the model to a user's own measurements, as far as they allow and no further.

The time per output token is decode + interference + corrections, linear in four coefficients that software versions and
hosts change and data sheets do not tell:

    t = (1 + device) decode + host + per_sequence n + (1 + prefill) interference

A normal prior around zero keeps two points from fitting nonsense; relative errors make it a ridge regression with a
closed-form posterior, and closed-form leave-one-out errors (Gelman et al., Bayesian Data Analysis, 3rd ed., ch. 14;
Allen's PRESS). A coefficient whose posterior is nearly as wide as its prior was not identified, and the record says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.records import FloatArray

COEFFICIENTS = ("device", "host_s", "per_sequence_s", "prefill")
PER_SEQUENCE = 2
PRIOR_SD = np.array([0.15, 0.5e-3, 20e-6, 0.3])
"""Assumptions (2026-11): kernels within 15 %, hosts 0.5 ms an iteration and 20 us a sequence, prefill 30 %."""
NOISE = 0.05
"""Assumption (2026-11): relative repeatability of a load test with its unmodelled effects."""
IDENTIFIED = 0.8
"""A posterior narrower than this share of its prior counts as identified."""
POOR_ERROR = 0.15
LEAST_SHARE = -0.5
"""What makes kernels more than twice as fast as their tables is a wrong configuration, not a correction."""


@dataclass(frozen=True, slots=True)
class Observations:
    """Measured seconds per output token and the uncalibrated parts of the prediction, each of shape [n]."""

    tpot_s: FloatArray
    decode_s: FloatArray
    interference_s: FloatArray
    batch: FloatArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted corrections (in the order of COEFFICIENTS) and how far to trust them."""

    values: FloatArray
    sd: FloatArray
    points: int
    error_before: float
    error_held_out: float
    """Mean absolute relative error, each point predicted by a fit without it; NaN for fewer than 2 points."""
    identified: tuple[str, ...]
    verdict: str


def _design(decode_s: FloatArray, interference_s: FloatArray, batch: FloatArray) -> FloatArray:
    return np.stack([decode_s, np.ones_like(decode_s), batch, interference_s], axis=-1)


def predict(
    calibration: Calibration, decode_s: FloatArray, interference_s: FloatArray, batch: FloatArray
) -> FloatArray:
    """Calibrated seconds per output token; never less than half the uncalibrated ones."""
    base = decode_s + interference_s
    moved = base + _design(decode_s, interference_s, batch) @ calibration.values
    return np.maximum(moved, 0.5 * base)


def calibrate(seen: Observations, prior_sd: FloatArray = PRIOR_SD, noise: float = NOISE) -> Calibration:
    """Fit the corrections to one group of measurements (one LLM, GPU, engine and precision).

    Raises ValueError for no points, or times that are not positive and finite.
    """
    t = seen.tpot_s
    if t.size == 0 or not np.all(np.isfinite(t)) or np.any(t <= 0):
        raise ValueError("calibration needs at least one positive, finite time per output token")
    base = seen.decode_s + seen.interference_s
    # In units of the prior the ridge is the identity, and of the noise the errors have unit variance.
    x = _design(seen.decode_s, seen.interference_s, seen.batch) * prior_sd / (t * noise)[:, None]
    y = (t - base) / (t * noise)
    covariance, scaled = _ridge(x, y)
    if scaled[PER_SEQUENCE] < 0:
        # No sequence gives time back: what applies a correction takes none, so none is fitted.
        x[:, PER_SEQUENCE] = 0.0
        covariance, scaled = _ridge(x, y)
    leverage = np.einsum("ij,jk,ik->i", x, covariance, x)
    held_out = np.abs((y - x @ scaled) / (1.0 - leverage)) * noise
    width = np.sqrt(np.diag(covariance))
    identified = tuple(name for name, w in zip(COEFFICIENTS, width, strict=True) if w < IDENTIFIED)
    error = float(held_out.mean()) if t.size > 1 else float("nan")
    return Calibration(
        values=scaled * prior_sd,
        sd=width * prior_sd,
        points=int(t.size),
        error_before=float(np.mean(np.abs(base / t - 1.0))),
        error_held_out=error,
        identified=identified,
        verdict=verdict(t.size, error, identified, scaled * prior_sd),
    )


def _ridge(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Posterior covariance and mean of y = x b + e, with unit normal priors and errors."""
    covariance: FloatArray = np.asarray(np.linalg.inv(x.T @ x + np.eye(x.shape[1])), dtype=np.float64)
    return covariance, covariance @ x.T @ y


def verdict(points: int, error: float, identified: Sequence[str], values: FloatArray) -> str:
    """How far to trust a fit, in words; `poor` where nothing should be corrected by it."""
    if min(values[0], values[3]) < LEAST_SHARE:
        return "poor: it takes kernels twice as fast as their tables; check LLM, GPU, precision and parallelism"
    missing = [name for name in COEFFICIENTS if name not in identified]
    if points < 2:
        return "one point: no held-out error; measure at other batch sizes and prompt lengths"
    if error > POOR_ERROR:
        return f"poor: held-out error {error:.0%}; check that the runs share hardware, engine version and precision"
    if missing:
        return f"usable; not identified by these points: {', '.join(missing)}"
    return "good"
