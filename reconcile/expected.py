"""What a vintage said of volumes: hours that add up to the totals it stated.

The medians of skewed hours add up to less than the median of their sum (2 % less in BurstGPT's conversation). Volumes,
biases and levels are therefore told from the hours' means, scaled month by month to the total that was said.
"""

from __future__ import annotations

import numpy as np

from data.ledger.records import HOUR, Vintage
from data.records import FloatArray


def mean_weights(levels: tuple[float, ...]) -> FloatArray:
    """Weights [levels] that make a mean of quantiles: the quantile function integrated by trapezoids, flat beyond its
    ends."""
    level = np.asarray(levels, dtype=np.float64)
    edges = np.concatenate([[0.0], (level[1:] + level[:-1]) / 2.0, [1.0]])
    return np.diff(edges)


def expected(one: Vintage) -> FloatArray:
    """Requests an hour that add up to the medians of the month totals that a vintage holds, shape [hours].

    Hours outside of its whole months take the factor of the nearest one. The hours' medians where it holds no whole
    month, and in a month whose hours are said to be empty.
    """
    middle = one.levels.index(0.5)
    if one.monthly_total is None:
        return one.hourly[:, middle]
    means = one.hourly @ mean_weights(one.levels)
    found = means.copy()
    edges: list[tuple[int, int, float]] = []
    for label, total in zip(one.months, one.monthly_total[:, middle], strict=True):
        month = np.datetime64(label, "M")
        start = int((month.astype("datetime64[h]") - one.first_hour) / HOUR)
        stop = int(((month + np.timedelta64(1, "M")).astype("datetime64[h]") - one.first_hour) / HOUR)
        volume = float(means[max(start, 0) : stop].sum())
        if start >= 0 and stop <= len(means) and volume > 0.0:
            edges.append((start, stop, float(total) / volume))
    if not edges:
        return one.hourly[:, middle]
    for i, (start, stop, factor) in enumerate(edges):
        found[start if i else 0 : stop if i + 1 < len(edges) else len(found)] *= factor
    return found
