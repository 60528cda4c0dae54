"""Histories with missing hours: what is unknown stays unknown, and what is told of it is plausible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.forecast_gaps import Gaps, with_gaps
from benchmarks.forecast_series import generate
from data.forecast_records import Accuracy
from forecast.clean import filled
from forecast.empirical import empirical_bank
from forecast.gaps import completed_days, observed_days
from forecast.grade import grade
from forecast.level import believe, standard_levels, weekly_levels
from forecast.paths import compound, simulate
from forecast.residuals import PastErrors, bank_from_windows
from forecast.single import Prepared, Task, prepared_or_fallback
from forecast.windows import quiet_days

INDEX = pd.date_range("2026-06-01", periods=8 * 168, freq="h", tz="UTC")
SHAPE = np.tile(100.0 + 50.0 * np.sin(np.arange(168) / 3.0) ** 2, 8)


def holes(seed: int, share: float, count: int = len(INDEX)) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


def prepared(history: pd.Series, weeks: int = 4) -> tuple[Prepared, pd.DatetimeIndex]:
    future = pd.date_range(history.index[-1] + pd.Timedelta(hours=1), periods=weeks * 168, freq="h")
    return prepared_or_fallback(history, Task(future, 5, weeks * 7)), future


@given(st.integers(0, 10**6), st.floats(0.0, 0.9))
@settings(max_examples=40, deadline=None)
def test_a_missing_hour_of_a_day_is_one_that_was_seen(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    days = rng.normal(size=(30, 24))
    days[rng.random(days.shape) < share] = np.nan
    days = days[observed_days(days)]
    found, seen = completed_days(days), ~np.isnan(days)
    assert np.isfinite(found).all()
    assert (found[seen] == days[seen]).all()
    for hour in np.flatnonzero(seen.any(axis=0)):
        assert np.isin(found[:, hour], days[seen[:, hour], hour]).all()


def test_the_day_most_alike_tells_what_is_missing() -> None:
    """Every day has a twin: a day with holes becomes its twin, whatever the others are."""
    rng = np.random.default_rng(1)
    days = np.repeat(rng.normal(size=(20, 24)), 2, axis=0)
    broken = days.copy()
    broken[::2][rng.random((20, 24)) < 0.4] = np.nan
    assert completed_days(broken) == pytest.approx(days)


def test_days_that_share_no_hour_and_hours_that_no_day_has_are_completed() -> None:
    days = np.full((4, 24), np.nan)
    days[[0, 1, 2, 3], [0, 5, 10, 15]] = [1.0, 2.0, 3.0, 4.0]
    found = completed_days(days)
    assert np.isfinite(found).all()
    assert (found[:, 0] == 1.0).all()
    assert found[2, 3] == pytest.approx(3.0), "nobody saw 03:00: the mean of what its own day has"


@given(st.integers(0, 10**6), st.floats(0.05, 0.6), st.sampled_from([1e-3, 1.0, 1e12]))
@settings(max_examples=25, deadline=None)
def test_a_steady_week_is_filled_as_it_was(seed: int, share: float, scale: float) -> None:
    values = pd.Series(scale * SHAPE, index=INDEX)
    gone = holes(seed, share)
    found, mask = filled(values.mask(gone))
    assert (mask == gone).all()
    # Hours of the week that were never seen take their hour of the day's: the others are exact.
    once = np.tile((~gone).reshape(8, 168).any(axis=0), 8)
    assert found.to_numpy()[~gone] == pytest.approx(values.to_numpy()[~gone])
    if once.all():
        assert found.to_numpy() == pytest.approx(values.to_numpy(), rel=1e-6)


def test_a_gap_is_filled_at_the_level_of_the_days_about_it() -> None:
    """Demand that doubles over eight weeks, three days missing: told within 3 % in the middle and by half of what the
    mean of their hours of the week would err near an end."""
    growth = 2.0 ** (np.arange(len(INDEX)) / len(INDEX))
    values = pd.Series(SHAPE * growth, index=INDEX)
    for start in (24, 4 * 168, 7 * 168 + 48):
        gone = np.zeros(len(INDEX), np.bool_)
        gone[start : start + 72] = True
        found, _ = filled(values.mask(gone))
        means = values.mask(gone).groupby(np.arange(len(INDEX)) % 168).transform("mean")
        off, plain = (abs(one[gone].sum() / values[gone].sum() - 1.0) for one in (found, means))
        assert off < (0.03 if start == 4 * 168 else 0.5 * plain)


def test_a_lone_day_between_gaps_is_no_level() -> None:
    """A closed day is all that was seen of a fortnight: what was not seen is nearer to the month than to it."""
    values = pd.Series(SHAPE, index=INDEX)
    values.iloc[-8 * 24 : -7 * 24] *= 0.02
    gone = np.zeros(len(INDEX), np.bool_)
    gone[-14 * 24 :] = True
    gone[-8 * 24 : -7 * 24] = False
    found, _ = filled(values.mask(gone))
    assert found[gone].sum() > 0.5 * SHAPE[gone].sum()


def test_weekly_levels_are_those_of_what_was_seen() -> None:
    levels = np.log(SHAPE[:168].sum()) + np.array([0.0, 0.1, -0.1, 0.2, 0.0, 0.1, 0.3, 0.2])
    values = SHAPE * np.exp(np.repeat(levels - levels[0], 168))
    seen = ~holes(3, 0.3)
    seen[3 * 168 : 4 * 168] = False
    seen[7 * 168 + 30 :] = False
    told = np.where(seen, values, SHAPE)  # Filled with anything that has the season.
    found = weekly_levels(told, seen)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3, 7]
    assert found[[0, 1, 2, 4, 5, 6]] == pytest.approx(levels[[0, 1, 2, 4, 5, 6]], abs=0.02)
    assert weekly_levels(told, np.ones(len(told), np.bool_)) == pytest.approx(weekly_levels(told))
    few = np.zeros(len(told), np.bool_)
    few[::24] = True
    assert np.isfinite(weekly_levels(values, few)).all(), "hardly observed, but all of them are"


def test_weeks_that_nobody_saw_widen_what_comes() -> None:
    rng = np.random.default_rng(0)
    normals, pair = rng.standard_normal((4000, 10)), rng.random(4000)
    levels = np.cumsum(rng.normal(0.0, 0.05, 12))
    widths = []
    for unknown in (0, 2, 5):
        told = levels.copy()
        told[12 - unknown :] = np.nan
        widths.append(float(standard_levels(believe(told), normals, pair)[:, 0].std()))
    assert widths[0] * 1.15 < widths[1] < widths[2] / 1.15


def test_errors_of_days_with_holes_keep_their_spread() -> None:
    rng = np.random.default_rng(2)
    expected = np.tile(200.0 + 100.0 * np.sin(np.arange(24) / 4.0), 84)
    actual = rng.poisson(expected).astype(float)
    date, quiet = np.arange(84), np.arange(84) % 7 >= 5
    whole = bank_from_windows([PastErrors(actual, expected, quiet, date)])
    told = np.where(holes(4, 0.2, len(actual)), np.nan, actual)
    bank = bank_from_windows([PastErrors(told, expected, quiet, date)])
    assert len(bank.date) == 84, "not one of them is complete"
    assert np.isfinite(bank.days).all()
    assert bank.days.std() == pytest.approx(whole.days.std(), rel=0.05)
    assert bank.spread(expected[:24]) == pytest.approx(whole.spread(expected[:24]), rel=0.1)


def test_days_drawn_from_history_are_those_that_were_seen() -> None:
    """Filled hours are means: drawn as if they were observed, they would hide the bursts beside them."""
    rng = np.random.default_rng(5)
    values = rng.pareto(1.1, 60 * 24)
    seen = ~holes(6, 0.3, len(values))
    seen[10 * 24 : 13 * 24] = False
    told = np.where(seen, values, values[seen].mean())
    bank = empirical_bank(told, 100, seen)
    assert set(np.arange(41, 101)) - set(bank.date.tolist()) == {51, 52, 53}
    filled_in = empirical_bank(told, 100)
    whole = empirical_bank(values, 100)
    assert abs(bank.days.std() - whole.days.std()) < abs(filled_in.days.std() - whole.days.std()) + 0.02


@pytest.mark.parametrize("family", ["web", "taxi", "pedestrian"])
@pytest.mark.parametrize("gaps", [Gaps(0.2), Gaps(0.4), Gaps(0.2, 3)])
def test_a_forecast_with_gaps_is_nearly_the_forecast_without(family: str, gaps: Gaps) -> None:
    history = generate(family, 1100).iloc[: 12 * 168]
    whole, _ = prepared(history)
    found, _ = prepared(with_gaps(history, gaps, family, 0))
    assert not found.empirical, "not one complete day is no reason to give up its hours"
    assert np.abs(found.point - whole.point).sum() < 0.12 * whole.point.sum()


@given(st.integers(0, 10**6), st.floats(0.0, 0.97), st.integers(0, 9))
@settings(max_examples=12, deadline=None)
def test_any_gaps_leave_a_forecast_that_is_finite_and_not_negative(seed: int, share: float, days: int) -> None:
    rng = np.random.default_rng(seed)
    history = pd.Series(rng.poisson(SHAPE).astype(float), index=INDEX)
    found, future = prepared(with_gaps(history, Gaps(share, days), "any", seed))
    assert np.isfinite(found.point).all()
    assert (found.point >= 0.0).all()
    paths = next(simulate([found.model], quiet_days(future), [compound(len(future), 0.0, 0.0)], 50, rng))
    assert np.isfinite(paths).all()
    assert (paths >= 0.0).all()


def test_the_grade_says_how_much_is_missing_and_is_capped_by_it() -> None:
    own = Accuracy("portfolio", 5, 0.1, 0.8, 0.0, 0.02, {}, {}, {}, 0.1, "2026-06-01")
    accuracy = (own, own)
    assert grade(accuracy, 2000) == grade(accuracy, 2000, missing=0.1)
    assert [grade(accuracy, 2000, missing=share)[0] for share in (0.0, 0.3, 0.6, 0.8)] == ["A", "A", "B", "C"]
    assert "60% of its hours are unobserved, so B is the best it can have" in grade(accuracy, 2000, missing=0.6)[1]
    assert "30% of its hours are unobserved: " in grade(accuracy, 2000, missing=0.3)[1]
