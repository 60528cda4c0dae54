"""Could two traces come from the same traffic? Distances and p-values by aspect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from data.fitted import Trace, clock_resolution, minute_counts
from data.records import FloatArray

LEAST_P = 0.01
JOINT_POINTS = 400
PERMUTATIONS = 200


@dataclass(frozen=True, slots=True)
class Comparison:
    """One aspect: the Kolmogorov-Smirnov or energy distance of both traces, its p-value, and whether that is above
    1 %. Gaps and minutes of a trace are not independent of each other, so that their p-values are too small rather than
    too large: passing says more than failing."""

    aspect: str
    distance: float
    p_value: float
    agrees: bool


def energy_distance(a: FloatArray, b: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """Energy distance of two samples of points [n, d] and [m, d] (Szekely and Rizzo), and its permutation p-value."""
    points = np.concatenate([a, b])
    apart = cdist(points, points)
    n, m = len(a), len(b)
    # One column a labelling: the true one first, then random ones; all distances come from one product.
    left = np.zeros((n + m, 1 + PERMUTATIONS))
    left[:n, 0] = 1.0
    for column in range(1, 1 + PERMUTATIONS):
        left[rng.choice(n + m, n, replace=False), column] = 1.0
    to_left = apart @ left
    within_left = (left * to_left).sum(axis=0)
    cross = ((1.0 - left) * to_left).sum(axis=0)
    within_right = apart.sum() - within_left - 2.0 * cross
    distance = 2.0 * cross / (n * m) - within_left / n**2 - within_right / m**2
    return float(distance[0]), float((1 + (distance[1:] >= distance[0]).sum()) / (1 + PERMUTATIONS))


def _joint(trace: Trace, rng: np.random.Generator) -> FloatArray:
    rows = rng.choice(len(trace.ts_us), min(JOINT_POINTS, len(trace.ts_us)), replace=False)
    columns = (trace.input_tokens, trace.output_tokens, trace.cached_tokens)
    return np.stack([np.log1p(column[rows].astype(np.float64)) for column in columns], axis=1)


def compare(one: Trace, other: Trace, seed: int = 0) -> tuple[Comparison, ...]:
    """Requests a minute, gaps between arrivals (in ticks of the coarser clock), input and output lengths, and lengths
    jointly."""
    rng = np.random.default_rng(seed)
    tick = max(clock_resolution(one.ts_us), clock_resolution(other.ts_us))
    aspects = {
        "requests a minute": (minute_counts(one.ts_us)[1], minute_counts(other.ts_us)[1]),
        "gaps": (np.rint(np.diff(one.ts_us) / tick), np.rint(np.diff(other.ts_us) / tick)),
        "input tokens": (one.input_tokens, other.input_tokens),
        "output tokens": (one.output_tokens, other.output_tokens),
    }
    found = []
    for name, (a, b) in aspects.items():
        result = stats.ks_2samp(a, b)
        p = float(result.pvalue)
        found.append(Comparison(name, float(result.statistic), p, p >= LEAST_P))
    distance, p = energy_distance(_joint(one, rng), _joint(other, rng), rng)
    found.append(Comparison("lengths jointly", distance, p, p >= LEAST_P))
    return tuple(found)
