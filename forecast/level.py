"""How the weekly level of a series moves: a local-level model, integrated over what its history leaves open.

x(k) = m(k) + s_T e(k), m(k+1) = m(k) + s_R n(k): the log of the k-th weekly total is a level that walks and a week that
passes. Twelve weeks cannot tell the two apart with certainty, so the predictive distribution is a mixture over a grid
of (s_R, s_T), each pair weighted by its likelihood and a prior; it has the heavier tails that little evidence must
have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.records import FloatArray

WALK = np.geomspace(0.002, 0.5, 14)
PASSING = np.geomspace(0.004, 1.0, 14)
PRIOR_WALK, PRIOR_PASSING = 0.025, 0.05
"""Medians of the prior standard deviations a week (log). Assumption (2026-11): a service's level walks about 2.5 % a
week, which is 9 % over a quarter, and single weeks stray by 5 %."""
NEW_SERVICE = 3.0
"""Both are three times that where under three weeks are known (assumption): new services move faster."""
PRIOR_SPREAD = 0.8
"""Standard deviation of the log of either: a factor of 2.2 either way."""


@dataclass(frozen=True, slots=True)
class LevelBelief:
    """Grid of parameter pairs with weights, and the level now given each: arrays of shape [pairs].

    mean, variance: of the log of the current weekly level; walk, passing: s_R and s_T.
    """

    weight: FloatArray
    mean: FloatArray
    variance: FloatArray
    walk: FloatArray
    passing: FloatArray

    @property
    def level(self) -> float:
        """Expected log of the current weekly level."""
        return float(self.weight @ self.mean)


@lru_cache(maxsize=64)
def _filters(weeks: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """For every pair: whitening of the differences of `weeks` levels, log determinant, weights of the levels in the
    current level's mean, and its variance. Depends on the number of weeks alone."""
    walk, passing = (grid.ravel() for grid in np.meshgrid(WALK, PASSING, indexing="ij"))
    n = weeks - 1
    step = np.eye(n)
    tie = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    covariance = walk[:, None, None] ** 2 * step + passing[:, None, None] ** 2 * tie
    root = np.linalg.cholesky(covariance) if n else np.zeros((len(walk), 0, 0))
    white = np.linalg.inv(root)
    logdet = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    # Kalman filter from a diffuse start: the first week is the level, known to within s_T.
    weights = np.zeros((len(walk), weeks))
    weights[:, 0] = 1.0
    variance = passing**2
    for k in range(1, weeks):
        prior = variance + walk**2
        gain = prior / (prior + passing**2)
        weights *= (1.0 - gain)[:, None]
        weights[:, k] = gain
        variance = (1.0 - gain) * prior
    return white, logdet, weights, variance


def believe(levels: FloatArray) -> LevelBelief:
    """The belief after the logs of weekly totals `levels` [weeks], oldest first; at least one week."""
    wide = NEW_SERVICE if len(levels) < 3 else 1.0
    walk, passing = (grid.ravel() for grid in np.meshgrid(WALK, PASSING, indexing="ij"))
    white, logdet, weights, variance = _filters(len(levels))
    scaled = white @ np.diff(levels)
    likelihood = -0.5 * (scaled**2).sum(axis=1) - logdet
    prior = (
        -0.5
        * (np.log(walk / (wide * PRIOR_WALK)) ** 2 + np.log(passing / (wide * PRIOR_PASSING)) ** 2)
        / PRIOR_SPREAD**2
    )
    score = likelihood + prior
    weight = np.exp(score - score.max())
    weight /= weight.sum()
    return LevelBelief(weight, weights @ levels, variance, walk, passing)


def weekly_levels(values: FloatArray, weeks: int = 12) -> FloatArray:
    """Log of the totals of the last whole 7-day blocks, oldest first, at most `weeks`; a floor keeps empty weeks
    finite. Under a week there is one level: a week at the mean of what there is."""
    count = min(len(values) // 168, weeks)
    if count == 0:
        return np.asarray(np.log(np.maximum(np.array([values.mean() * 168.0 if len(values) else 0.0]), 1e-12)))
    totals = values[len(values) - count * 168 :].reshape(count, 168).sum(axis=1)
    return np.asarray(np.log(np.maximum(totals, max(1e-3 * float(totals.max(initial=0.0)), 1e-12))))


def standard_levels(belief: LevelBelief, normals: FloatArray, pair: FloatArray) -> FloatArray:
    """Log of the level of each coming week relative to `belief.level`, [paths, weeks].

    normals: [paths, 1 + 2 weeks] standard normals (the level now, its steps, the passing weeks); pair: [paths] uniform,
    which parameter pair, in order of how much they let levels move: series that share it are wild together.
    """
    weeks = (normals.shape[1] - 1) // 2
    order = np.argsort(belief.walk**2 * max(weeks, 1) + belief.passing**2, kind="stable")
    chosen = order[np.minimum(np.searchsorted(np.cumsum(belief.weight[order]), pair), len(order) - 1)]
    walk, passing = belief.walk[chosen][:, None], belief.passing[chosen][:, None]
    now = (belief.mean[chosen] - belief.level + np.sqrt(belief.variance[chosen]) * normals[:, 0])[:, None]
    steps = np.cumsum(normals[:, 1 : 1 + weeks], axis=1) * walk
    return np.asarray(now + steps + normals[:, 1 + weeks :] * passing)
