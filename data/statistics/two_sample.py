"""Could two traces come from the same traffic? Distances and p-values by aspect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from data.fitted import Trace, clock_resolution, minute_counts
from data.records import BoolArray, FloatArray, IntArray

LEAST_P = 0.01
JOINT_POINTS = 800
PERMUTATIONS = 200
LEAST_BLOCKS = 12
GAP_EDGES = 1024


@dataclass(frozen=True, slots=True)
class Comparison:
    """One aspect: the Kolmogorov-Smirnov or energy distance of both traces, its p-value, and whether that is above
    1 %."""

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


def effective_size(values: FloatArray) -> float:
    """How many independent values a series in order of time is worth: n (1 - r) / (1 + r), r its lag-1 rank
    correlation where positive (Bayley and Hammersley 1946, for a first-order autoregression)."""
    if len(values) < 3 or np.ptp(values) == 0:
        return float(len(values))
    ranks = stats.rankdata(values)
    spread = min(np.ptp(ranks[1:]), np.ptp(ranks[:-1]))
    r = max(float(np.corrcoef(ranks[1:], ranks[:-1])[0, 1]), 0.0) if spread > 0 else 0.0
    return len(values) * (1.0 - r) / (1.0 + r)


def series_test(aspect: str, a: FloatArray, b: FloatArray) -> Comparison:
    """Kolmogorov-Smirnov of two series in order of time, its p-value that of as many values as they are worth."""
    distance = float(stats.ks_2samp(a, b).statistic)
    n, m = effective_size(a), effective_size(b)
    p = float(stats.kstwobign.sf(np.sqrt(n * m / (n + m)) * distance))
    return Comparison(aspect, distance, p, p >= LEAST_P)


def gaps_test(one: IntArray, other: IntArray, rng: np.random.Generator) -> Comparison:
    """Kolmogorov-Smirnov distance of the gaps between arrivals (microseconds since 1970 [n], [m]), in ticks of the
    coarser clock. Busy minutes have short gaps and many of them, so that gaps are no independent draws: the p-value is
    that of random labellings of whole blocks of minutes, 12 blocks a trace or more."""
    tick = max(clock_resolution(one), clock_resolution(other))
    gaps = [np.rint(np.diff(ts) / tick) for ts in (one, other)]
    shortest = min((int(ts[-1]) - int(ts[0])) / 60e6 for ts in (one, other))
    width_us = max(1, min(10, int(shortest // LEAST_BLOCKS))) * 60_000_000
    blocks = [np.unique((ts[1:] - ts[0]) // width_us, return_inverse=True)[1] for ts in (one, other)]
    edges = np.unique(np.quantile(np.concatenate(gaps), np.linspace(0, 1, GAP_EDGES)))
    tables = []
    for values, block in zip(gaps, blocks, strict=True):
        place = np.searchsorted(edges, values, side="left")
        size = int(block[-1]) + 1
        tables.append(np.bincount(block * len(edges) + place, minlength=size * len(edges)).reshape(size, -1))
    table = np.concatenate(tables).astype(np.float64)
    total = table.sum(axis=0)

    def distance(left: BoolArray) -> float:
        a = table[left].sum(axis=0)
        b = total - a
        return float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())

    mine = np.arange(len(table)) < len(tables[0])
    found = distance(mine)
    beyond = sum(distance(rng.permutation(mine)) >= found for _ in range(PERMUTATIONS))
    p = (1 + beyond) / (1 + PERMUTATIONS)
    return Comparison("gaps", found, p, p >= LEAST_P)


def compare(one: Trace, other: Trace, seed: int = 0) -> tuple[Comparison, ...]:
    """Requests a minute, gaps between arrivals, input and output lengths, and lengths jointly."""
    rng = np.random.default_rng(seed)
    found = [
        series_test("requests a minute", minute_counts(one.ts_us)[1], minute_counts(other.ts_us)[1]),
        gaps_test(one.ts_us, other.ts_us, rng),
    ]
    lengths = {
        "input tokens": (one.input_tokens, other.input_tokens),
        "output tokens": (one.output_tokens, other.output_tokens),
    }
    for name, (a, b) in lengths.items():
        result = stats.ks_2samp(a, b)
        p = float(result.pvalue)
        found.append(Comparison(name, float(result.statistic), p, p >= LEAST_P))
    distance, p = energy_distance(_joint(one, rng), _joint(other, rng), rng)
    found.append(Comparison("lengths jointly", distance, p, p >= LEAST_P))
    return tuple(found)


def compare_hours(one: FloatArray, other: FloatArray) -> tuple[Comparison, ...]:
    """Requests an hour, how they change from hour to hour (ratio), and requests a day, of two hourly series."""
    days = [series[: len(series) // 24 * 24].reshape(-1, 24).sum(axis=1) for series in (one, other)]
    return (
        series_test("requests an hour", one, other),
        series_test("change from hour to hour", np.diff(np.log1p(one)), np.diff(np.log1p(other))),
        series_test("requests a day", days[0], days[1]),
    )
