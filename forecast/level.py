"""How the weekly level of a series moves: a local-level model, integrated over what its history leaves open.

x(k) = m(k) + s_T e(k), m(k+1) = m(k) + d + s_R n(k): the log of the k-th weekly total is a level that walks, drifts
and a week that passes. Twelve weeks cannot tell these apart with certainty, so the predictive distribution is a mixture
over a grid of (s_R, s_T) with a drift or none, each triple weighted by its likelihood and a prior; it has the heavier
tails that little evidence must have. A drift is a season's course more often than growth: it dies away ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.records import BoolArray, FloatArray
from data.units import HOURS_PER_WEEK

WALK = np.geomspace(0.002, 0.5, 14)
PASSING = np.geomspace(0.004, 1.0, 14)
PRIOR_WALK, PRIOR_PASSING = 0.025, 0.05
"""Medians of the prior standard deviations a week (log). Assumption (2026-11): a service's level walks about 2.5 % a
week, which is 9 % over a quarter, and single weeks stray by 5 %."""
NEW_SERVICE, OLD_SERVICE_WEEKS = 3.0, 3
"""Both are three times that where under three weeks are known (assumption): new services move faster."""
PRIOR_SPREAD = 0.8
"""Standard deviation of the log of either: a factor of 2.2 either way."""

DRIFT = 0.02
"""Standard deviation of the drift a week where there is one: a year's course moves a city's traffic by up to a few
percent a week (assumption, chosen on generated series, as the next two)."""
DRIFTS = 0.3
"""Prior probability that there is a drift."""
DRIFT_STAYS = 0.75
"""Share of a drift that is left a week later."""
LEAST_COURSE_WEEKS = 4
KNOWN_HOURS = 48
"""Observed hours of a week from which on it says where the level was; the level walks through the others unseen."""


@dataclass(frozen=True, slots=True)
class LevelBelief:
    """Grid of parameter triples with weights, and what is believed given each: arrays of shape [triples].

    mean, variance: of the log of the current weekly level if there were no drift; walk, passing: s_R and s_T; drift,
    drift_variance: of d; lag: how many weeks of drift the level without one lies behind.
    """

    weight: FloatArray
    mean: FloatArray
    variance: FloatArray
    walk: FloatArray
    passing: FloatArray
    drift: FloatArray
    drift_variance: FloatArray
    lag: FloatArray

    @property
    def level(self) -> float:
        """Expected log of the current weekly level."""
        return float(self.weight @ (self.mean + self.lag * self.drift))

    def trend(self, weeks: int) -> FloatArray:
        """Expected log of the level of each coming week relative to the current one, [weeks]."""
        return np.asarray(float(self.weight @ self.drift) * drifted(weeks))


def expected_course(levels: FloatArray, hours: int) -> FloatArray:
    """Factor on each coming hour of a course that levels [weeks] have been on, [hours]; none under four weeks."""
    if len(levels) < LEAST_COURSE_WEEKS:
        return np.ones(hours)
    trend = believe(levels).trend(-(-hours // HOURS_PER_WEEK))
    return np.asarray(np.exp(np.repeat(trend, HOURS_PER_WEEK)[:hours]))


def drifted(weeks: int) -> FloatArray:
    """How many weeks' drift each coming week has seen, [weeks]: a drift dies away."""
    return np.asarray(np.cumsum(DRIFT_STAYS ** np.arange(weeks)))


@lru_cache(maxsize=64)
def _filters(apart: tuple[int, ...], since: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """For every pair: whitening of the differences of the known levels, log determinant, weights of the levels in the
    current level's mean, and its variance. Depends on how many weeks each known level lies after the one before, and
    on how many weeks since the last are unknown, alone."""
    walk, passing = (grid.ravel() for grid in np.meshgrid(WALK, PASSING, indexing="ij"))
    n = len(apart)
    step = np.diag(np.array(apart, dtype=np.float64))
    tie = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    covariance = walk[:, None, None] ** 2 * step + passing[:, None, None] ** 2 * tie
    root = np.linalg.cholesky(covariance) if n else np.zeros((len(walk), 0, 0))
    white = np.linalg.inv(root)
    logdet = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    # Kalman filter from a diffuse start: the first week is the level, known to within s_T.
    weights = np.zeros((len(walk), n + 1))
    weights[:, 0] = 1.0
    variance = passing**2
    for k, weeks in enumerate(apart, start=1):
        prior = variance + weeks * walk**2
        gain = prior / (prior + passing**2)
        weights *= (1.0 - gain)[:, None]
        weights[:, k] = gain
        variance = (1.0 - gain) * prior
    return white, logdet, weights, variance + since * walk**2


def believe(levels: FloatArray, known_weeks: int = 0) -> LevelBelief:
    """The belief after the logs of weekly totals `levels` [weeks], oldest first, NaN where unknown; at least one known.

    known_weeks: how many weeks of the service are known by now, where that is more: it is no new one.
    """
    wide = NEW_SERVICE if max(len(levels), known_weeks) < OLD_SERVICE_WEEKS else 1.0
    walk, passing = (grid.ravel() for grid in np.meshgrid(WALK, PASSING, indexing="ij"))
    at = np.flatnonzero(~np.isnan(levels))
    last, levels, apart = len(levels) - 1, levels[at], np.diff(at)
    white, logdet, weights, variance = _filters(tuple(apart.tolist()), int(last - at[-1]))
    scaled, steady = white @ np.diff(levels), white @ apart
    prior = (
        -0.5
        * (np.log(walk / (wide * PRIOR_WALK)) ** 2 + np.log(passing / (wide * PRIOR_PASSING)) ** 2)
        / PRIOR_SPREAD**2
    )
    likelihood = -0.5 * (scaled**2).sum(axis=1) - logdet
    # With a drift from N(0, DRIFT^2): its posterior, and the likelihood with it integrated out.
    precision = (steady**2).sum(axis=1) + 1.0 / DRIFT**2
    drift = (steady * scaled).sum(axis=1) / precision
    gain = 0.5 * drift**2 * precision - 0.5 * np.log(precision * DRIFT**2)
    score = np.concatenate([likelihood + prior + np.log(1.0 - DRIFTS), likelihood + gain + prior + np.log(DRIFTS)])
    weight = np.exp(score - score.max())
    weight /= weight.sum()
    none, behind = np.zeros_like(drift), weights @ (last - at)
    return LevelBelief(
        weight, np.tile(weights @ levels, 2), np.tile(variance, 2), np.tile(walk, 2), np.tile(passing, 2),
        np.concatenate([none, drift]), np.concatenate([none, 1.0 / precision]), np.tile(behind, 2),
    )  # fmt: skip


def weekly_levels(values: FloatArray, seen: BoolArray | None = None, weeks: int = 12) -> FloatArray:
    """Log of the totals of the last whole 7-day blocks, oldest first, at most `weeks`; a floor keeps empty weeks
    finite. Under a week there is one level: a week at the mean of what there is.

    seen: [hours], which of them were observed and not filled. A week's total is that of its observed hours over their
    share of the mean week: what it was filled with came from its neighbours, and levels would seem steadier than they
    are. A week that was hardly observed is NaN, unless all are.
    """
    count = min(len(values) // 168, weeks)
    if count == 0:
        return np.asarray(np.log(np.maximum(np.array([values.mean() * 168.0 if len(values) else 0.0]), 1e-12)))
    block = values[len(values) - count * 168 :].reshape(count, 168)
    totals, known = block.sum(axis=1), np.ones(count, dtype=np.bool_)
    if seen is not None and not seen.all():
        part = seen[len(values) - count * 168 :].reshape(count, 168)
        share = part @ block.mean(axis=0) / max(float(block.mean(axis=0).sum()), 1e-300)
        totals = np.divide((block * part).sum(axis=1), share, out=totals, where=share > 0.0)
        hours = part.sum(axis=1)
        known = hours >= (KNOWN_HOURS if (hours >= KNOWN_HOURS).any() else 1)
    levels = np.log(np.maximum(totals, max(1e-3 * float(totals.max(initial=0.0)), 1e-12)))
    return np.where(known | ~known.any(), levels, np.nan)


def standard_levels(belief: LevelBelief, normals: FloatArray, pair: FloatArray) -> FloatArray:
    """Log of the level of each coming week relative to what is expected of it (`belief.level` and `belief.trend`),
    [paths, weeks].

    normals: [paths, 2 + 2 weeks] standard normals (the level now, the drift, the level's steps, the passing weeks);
    pair: [paths] uniform, which parameter triple, in order of how much they let levels move: series that share it are
    wild together.
    """
    weeks = (normals.shape[1] - 2) // 2
    ahead = drifted(weeks)
    far = float(ahead[-1]) if weeks else 0.0
    reach = belief.walk**2 * max(weeks, 1) + belief.passing**2 + belief.drift_variance * (belief.lag + far) ** 2
    order = np.argsort(reach, kind="stable")
    chosen = order[np.minimum(np.searchsorted(np.cumsum(belief.weight[order]), pair), len(order) - 1)]
    walk, passing = belief.walk[chosen][:, None], belief.passing[chosen][:, None]
    now = (belief.mean[chosen] - belief.level + np.sqrt(belief.variance[chosen]) * normals[:, 0])[:, None]
    drift = belief.drift[chosen] + np.sqrt(belief.drift_variance[chosen]) * normals[:, 1]
    course = drift[:, None] * (belief.lag[chosen][:, None] + ahead) - belief.trend(weeks)
    steps = np.cumsum(normals[:, 2 : 2 + weeks], axis=1) * walk
    return np.asarray(now + course + steps + normals[:, 2 + weeks :] * passing)
