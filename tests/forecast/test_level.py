"""The weekly level model against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from forecast import level
from forecast.level import PASSING, PRIOR_PASSING, PRIOR_SPREAD, PRIOR_WALK, WALK, believe, standard_levels

LEVELS = np.log([100.0, 104.0, 98.0, 111.0, 109.0, 118.0])


def test_posterior_equals_dense_gaussian_conditioning() -> None:
    """Weights, means and variances of every parameter pair from the joint normal of levels and weeks, written out."""
    belief = believe(LEVELS)
    n = len(LEVELS)
    scores, means, variances = [], [], []
    for walk in WALK:
        for passing in PASSING:
            # m(n) has a diffuse prior; x(k) = m(n) - steps from k to n + e(k).
            back = np.arange(n)[::-1]
            cov = walk**2 * np.minimum(back[:, None], back[None]) + passing**2 * np.eye(n)
            inverse = np.linalg.inv(cov)
            precision = inverse.sum()
            means.append((inverse @ LEVELS).sum() / precision)
            variances.append(1.0 / precision)
            change = np.diff(np.eye(n), axis=0)
            likelihood = stats.multivariate_normal.logpdf(change @ LEVELS, cov=change @ cov @ change.T)
            prior = stats.norm.logpdf(np.log([walk / PRIOR_WALK, passing / PRIOR_PASSING]), scale=PRIOR_SPREAD).sum()
            scores.append(likelihood + prior)
    weight = np.exp(np.array(scores) - max(scores))
    assert belief.weight == pytest.approx(weight / weight.sum(), abs=1e-9)
    assert belief.mean == pytest.approx(np.array(means), abs=1e-9)
    assert belief.variance == pytest.approx(np.array(variances), rel=1e-9)


def test_drawn_levels_have_the_spread_of_the_mixture() -> None:
    belief = believe(LEVELS)
    rng = np.random.default_rng(0)
    weeks, paths = 4, 200_000
    drawn = standard_levels(belief, rng.standard_normal((paths, 1 + 2 * weeks)), rng.random(paths))
    for week in range(weeks):
        own = belief.variance + (week + 1) * belief.walk**2 + belief.passing**2
        mean = belief.weight @ belief.mean
        expected = belief.weight @ (own + (belief.mean - mean) ** 2)
        assert drawn[:, week].var() == pytest.approx(expected, rel=0.03)
        assert drawn[:, week].mean() == pytest.approx(0.0, abs=0.002)


def test_little_history_is_wide_and_empty_weeks_stay_finite() -> None:
    short, long = believe(LEVELS[:1]), believe(LEVELS)
    assert short.weight @ short.variance > 2.0 * (long.weight @ long.variance)
    assert np.isfinite(level.weekly_levels(np.zeros(500))).all()
    assert np.isfinite(level.weekly_levels(np.r_[np.zeros(300), np.ones(204)])).all()
