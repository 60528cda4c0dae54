"""The weekly level model against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from forecast import level
from forecast.level import (
    DRIFT,
    DRIFT_STAYS,
    DRIFTS,
    PASSING,
    PRIOR_PASSING,
    PRIOR_SPREAD,
    PRIOR_WALK,
    WALK,
    believe,
    drifted,
    expected_course,
    standard_levels,
)

LEVELS = np.log([100.0, 104.0, 98.0, 111.0, 109.0, 118.0])


@pytest.mark.parametrize("unknown", [[], [2], [0, 3], [1, 2, 5], [4, 5]])
def test_posterior_equals_dense_gaussian_conditioning(unknown: list[int]) -> None:
    """Weights, levels and drifts of every parameter triple from the joint normal of levels, drift and the known weeks,
    written out: the level now is diffuse, the drift is none or from its prior."""
    told = LEVELS.copy()
    told[unknown] = np.nan
    belief = believe(told)
    known = ~np.isnan(told)
    seen, back = LEVELS[known], np.arange(len(LEVELS))[::-1][known]
    n = len(seen)
    change = np.diff(np.eye(n), axis=0)
    scores, now, drifts, spread = [], [], [], []
    for drift_sd, odds in ((0.0, 1.0 - DRIFTS), (DRIFT, DRIFTS)):
        for walk in WALK:
            for passing in PASSING:
                # x(k) = m(n) - d (n - k) - steps from k to n + e(k).
                cov = walk**2 * np.minimum(back[:, None], back[None]) + passing**2 * np.eye(n)
                whole = cov + drift_sd**2 * np.outer(back, back)
                inverse = np.linalg.inv(whole)
                level = (inverse @ seen).sum() / inverse.sum()
                now.append(level)
                spread.append(1.0 / inverse.sum())
                drifts.append(-(drift_sd**2) * back @ inverse @ (seen - level))
                likelihood = stats.multivariate_normal.logpdf(change @ seen, cov=change @ whole @ change.T)
                where = stats.norm.logpdf(np.log([walk / PRIOR_WALK, passing / PRIOR_PASSING]), scale=PRIOR_SPREAD)
                scores.append(likelihood + where.sum() + np.log(odds))
    weight = np.exp(np.array(scores) - max(scores))
    assert belief.weight == pytest.approx(weight / weight.sum(), abs=1e-9)
    assert belief.mean + belief.lag * belief.drift == pytest.approx(np.array(now), abs=1e-9)
    assert belief.variance + belief.lag**2 * belief.drift_variance == pytest.approx(np.array(spread), rel=1e-7)
    assert belief.drift == pytest.approx(np.array(drifts), abs=1e-9)


def test_drawn_levels_have_the_spread_of_the_mixture() -> None:
    belief = believe(LEVELS)
    rng = np.random.default_rng(0)
    weeks, paths = 4, 200_000
    drawn = standard_levels(belief, rng.standard_normal((paths, 2 + 2 * weeks)), rng.random(paths))
    for week in range(weeks):
        reach = belief.lag + drifted(weeks)[week]
        own = belief.variance + (week + 1) * belief.walk**2 + belief.passing**2 + reach**2 * belief.drift_variance
        mean = belief.mean + reach * belief.drift
        expected = belief.weight @ (own + (mean - belief.weight @ mean) ** 2)
        assert drawn[:, week].var() == pytest.approx(expected, rel=0.03)
        assert drawn[:, week].mean() == pytest.approx(0.0, abs=0.003)


def test_a_steady_course_goes_on_and_dies_away() -> None:
    """Twelve weeks that rise by 3 % each: the next ones rise too, ever less, and by no more than six weeks' worth."""
    rising = believe(0.03 * np.arange(12.0))
    trend = rising.trend(26)
    assert 0.02 < trend[0] < 0.03
    assert (np.diff(trend) > 0.0).all()
    assert (np.diff(trend, 2) < 0.0).all()
    assert trend[-1] < 0.03 / (1.0 - DRIFT_STAYS)
    assert believe(np.zeros(12)).trend(26) == pytest.approx(np.zeros(26), abs=1e-12)


def test_a_course_needs_four_weeks_and_moves_hours_by_weeks() -> None:
    rising = np.repeat(np.exp(0.03 * np.arange(12)), 168)
    course = expected_course(level.weekly_levels(rising), 400)
    weekly = np.exp(believe(level.weekly_levels(rising)).trend(3))
    assert course[[0, 167, 168, 335, 336, 399]] == pytest.approx(weekly[[0, 0, 1, 1, 2, 2]])
    assert (expected_course(level.weekly_levels(rising[: 4 * 168 - 1]), 400) == 1.0).all()


def test_a_walk_is_not_taken_for_a_course() -> None:
    """Over many walks of a year's ordinary movement, expecting the course to go on costs little: it is shrunk."""
    rng = np.random.default_rng(3)
    steps = rng.normal(0.0, 0.03, (200, 16))
    walks = np.cumsum(steps, axis=1)
    trends = np.array([believe(one[:12]).trend(4)[-1] for one in walks])
    came = walks[:, -1] - walks[:, 11]
    assert np.mean(np.square(came - trends)) < 1.1 * np.mean(np.square(came))


def test_little_history_is_wide_and_empty_weeks_stay_finite() -> None:
    short, long = believe(LEVELS[:1]), believe(LEVELS)
    assert short.weight @ short.variance > 2.0 * (long.weight @ long.variance)
    young, old = believe(LEVELS[:2]), believe(LEVELS[:2], len(LEVELS))
    assert young.weight @ young.walk > 2.0 * (old.weight @ old.walk), "the beginning of an old service is no new one"
    assert np.isfinite(level.weekly_levels(np.zeros(500))).all()
    assert np.isfinite(level.weekly_levels(np.r_[np.zeros(300), np.ones(204)])).all()
