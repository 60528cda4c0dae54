"""How far a fitted load test is to be trusted: errors of its predictions, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.records import FloatArray
from models.loadtest_simulate import METRICS, STATISTICS

POOR = 0.20
"""Held-out TPOT error (and half the TTFT error) above which the model does not describe what was tested."""
FAR = 2.5
"""Prior standard deviations beyond which a factor says that something else than was stated was tested."""


def typical(values: FloatArray) -> FloatArray:
    """The median, or the mean where there is none: [..., STATISTICS] -> [...]."""
    p50, mean = values[..., STATISTICS.index("p50")], values[..., STATISTICS.index("mean")]
    return np.where(np.isnan(p50), mean, p50)


def errors_of(predicted: FloatArray, measured: FloatArray) -> dict[str, float]:
    """Absolute relative error of each metric's typical value and of its p99: the mean over points, and of the typical
    value the median too (next to saturation TTFT changes by multiples with a percent of speed)."""
    known = np.where(np.isnan(measured), np.nan, predicted)
    found = {}
    for j, name in enumerate(METRICS):
        off = _off(typical(known[:, j]), typical(measured[:, j]))
        found[name] = float(np.mean(off)) if len(off) else float("nan")
        found[f"{name}_median"] = float(np.median(off)) if len(off) else float("nan")
        tail = _off(known[:, j, -1], measured[:, j, -1])
        found[f"{name}_p99"] = float(np.mean(tail)) if len(tail) else float("nan")
    return found


def _off(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    seen = ~np.isnan(ours) & ~np.isnan(theirs)
    return np.asarray(np.abs(ours[seen] / theirs[seen] - 1.0))


def verdict_of(
    errors: Mapping[str, Mapping[str, float]],
    coefficients: Sequence[str],
    identified: Sequence[str],
    theta: FloatArray,
    folds: int,
) -> str:
    """What the fit is good for, in words; theta in units of the prior, folds 0 for a single point."""
    missing = [name for name in coefficients if name not in identified]
    unknown = f"not identified by these points: {', '.join(missing)}" if missing else ""
    if not folds:
        alone = "one point: no held-out error; test at other rates and prompt lengths"
        return f"{alone}; {unknown}" if unknown else alone
    held = errors["held_out"]
    if not held["tpot"] <= POOR or not held["ttft_median"] <= 2 * POOR:
        return (
            f"poor: held-out error {held['tpot']:.0%} of TPOT, {held['ttft_median']:.0%} of TTFT; check that GPU, "
            "precision, parallelism, replicas and prefix cache are those that were tested"
        )
    far = [name for name, t in zip(coefficients, theta, strict=True) if abs(t) > FAR]
    parts = [unknown] if unknown else []
    if far:
        parts.append(f"{', '.join(far)} far from the catalog: is what was stated what was tested?")
    if not held["ttft"] <= 2 * POOR:
        parts.append("TTFT next to saturation is not predicted (a percent of speed changes it by multiples there)")
    return f"usable; {'; '.join(parts)}" if parts else "good"
