"""Scores against the forecast room's own formulas, by hand, and their sums."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.ledger.records import Actual, Vintage
from data.records import SeriesKey
from forecast import accuracy
from reconcile.fleet import month_sums, reconcile_fleet
from reconcile.series import reconcile_series, track
from reconcile.tally import HORIZONS, by_horizon, intervals, naive_scale, point_sums, score, seasonal_naive, tally

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
START = np.datetime64("2026-06-01T00", "h")
KEY = SeriesKey("llm", "chat", "us-east")
WEEK = 168


def series(seed: int = 0, weeks: int = 8) -> Actual:
    rng = np.random.default_rng(seed)
    season = 100 + 60 * np.sin(np.arange(weeks * WEEK) * 2 * np.pi / 24)
    return Actual(KEY, START, season * rng.gamma(20, 1 / 20, weeks * WEEK))


def said(actual: Actual, first: int, hours: int, factor: float = 1.0, key: SeriesKey = KEY, run: str = "r") -> Vintage:
    """A vintage that knows the season, times a factor, with fixed relative quantiles."""
    at = np.arange(first, first + hours)
    middle = factor * (100 + 60 * np.sin(at * 2 * np.pi / 24))
    hourly = middle[:, None] * np.array([0.66, 0.72, 1.0, 1.3, 1.4])
    begin = START + np.timedelta64(first, "h")
    return Vintage(run, key, begin - np.timedelta64(1, "h"), begin, LEVELS, hourly)


def test_scores_are_those_of_the_forecast_room() -> None:
    actual = series()
    one = said(actual, 4 * WEEK, 2 * WEEK, 1.1)
    real = actual.requests[4 * WEEK : 6 * WEEK].copy()
    real[[3, 70, 71]] = np.nan
    naive = seasonal_naive(actual, one.first_hour, len(real))
    volume = 1.03 * one.hourly[:, 2]
    rows = tally(real, one.hourly, LEVELS, volume, naive, naive_scale(actual, one.first_hour))
    found = score(rows.sum(axis=0), LEVELS)
    point = one.hourly[:, 2]
    history = actual.requests[: 4 * WEEK]
    assert found.observed == len(real) - 3
    assert found.wape == pytest.approx(accuracy.wape(real, point))
    assert found.bias == pytest.approx(accuracy.bias(real, volume))
    assert found.mase == pytest.approx(accuracy.mase(real, point, history, WEEK))
    assert found.fva == pytest.approx(1 - accuracy.wape(real, point) / accuracy.wape(real, naive))
    losses = [accuracy.pinball(real, one.hourly[:, i], level) for i, level in enumerate(LEVELS)]
    assert found.pinball == pytest.approx(np.mean(losses))
    for nominal, (low, high) in intervals(LEVELS).items():
        assert found.coverage[nominal] == pytest.approx(
            accuracy.covered(real, one.hourly[:, low], one.hourly[:, high]), abs=1e-12
        )


def test_intervals_are_the_central_ones() -> None:
    assert intervals(LEVELS) == {0.8: (1, 3), 0.9: (0, 4)}
    assert intervals((0.5, 0.9)) == {}


@given(st.integers(1, 40 * 24))
def test_horizons_add_up_to_the_whole(hours: int) -> None:
    rows = np.random.default_rng(hours).random((hours, 4))
    ahead = by_horizon(rows)
    assert ahead.shape == (len(HORIZONS), 4)
    assert ahead.sum(axis=0) == pytest.approx(rows.sum(axis=0))
    assert ahead[0] == pytest.approx(rows[:24].sum(axis=0))
    assert ahead[1] == pytest.approx(rows[24 : 7 * 24].sum(axis=0))


def test_only_whole_observed_days_and_months_are_summed() -> None:
    hours = np.ones((24 * 35, 3))
    hours[24 * 10, 0] = np.nan
    first = np.datetime64("2026-05-31T05", "h")
    days = point_sums(hours[:, 0], hours[:, 1], hours[:, 2], first)
    assert len(days) == 33  # 34 whole days fit after 19 hours of the first; one has a gap
    assert (days == 24).all()
    assert len(month_sums(hours, first)) == 0
    hours[24 * 10, 0] = 1.0
    assert month_sums(hours, first).tolist() == [[720.0, 720.0, 720.0]]


def test_the_track_is_what_was_last_said() -> None:
    actual = series()
    early, late = said(actual, 5, 6 * WEEK, 2.0), said(actual, 3 * WEEK + 7, 2 * WEEK, 1.0)
    sums, days = track([late, early], actual)
    assert days.tolist() == [date(2026, 6, 2) + timedelta(n) for n in range(len(sums))]
    ratio = sums[:, 1] / (24 * 100)
    switch = 3 * 7  # the late vintage begins at 07:00: its first whole day is the next one
    assert ratio[:switch] == pytest.approx(2.0)
    assert ratio[switch : switch + 12] == pytest.approx(1.0)
    assert ratio[switch + 14 :] == pytest.approx(2.0)


def test_totals_of_a_group_cancel_where_members_do_not() -> None:
    actual = series()
    other = SeriesKey("llm", "code", "us-east")
    mirrored = Actual(other, START, actual.requests)
    source = [
        (KEY, (said(actual, 4 * WEEK, WEEK, 1.2),), actual),
        (other, (said(actual, 4 * WEEK, WEEK, 0.8, other),), mirrored),
        (SeriesKey("llm", "none", "us-east"), (said(actual, 4 * WEEK, WEEK),), None),
    ]
    found = reconcile_fleet(source, tenants={"chat": "acme", "none": "acme"})
    assert [str(one) for one in found.without] == ["llm/none/us-east"]
    by_name = {(one.dimension, one.name): one for one in found.groups}
    whole = by_name["llm", "llm"]
    assert whole.series == 2
    assert by_name["request_class", "code"].series == 1
    assert by_name["tenant", "acme"].members == by_name["request_class", "chat"].members
    assert {name for dimension, name in by_name if dimension == "tenant"} == {"acme"}, "code has no tenant"
    assert abs(whole.total[0].bias) < 0.05
    assert whole.members.wape > 2 * whole.total[1].wape
    assert whole.members.bias == pytest.approx(whole.total[0].bias)
    assert {name for name, _ in found.horizons} == {"1 day", "2-7 days"}
    assert found.until == str(actual.end - np.timedelta64(1, "h"))


def test_months_are_scored_when_they_are_whole() -> None:
    rng = np.random.default_rng(3)
    hourly = rng.gamma(9, 10, 30 * 24)
    actual = Actual(KEY, START, hourly)
    totals = hourly.sum() * np.array([[0.9, 0.95, 1.1, 1.2, 1.3]])
    peaks = hourly.max() * np.array([[0.5, 0.6, 0.7, 0.8, 0.9]])
    vintage = Vintage(
        "r",
        KEY,
        START - np.timedelta64(1, "h"),
        START,
        LEVELS,
        np.outer(hourly, np.ones(5)),
        ("2026-06",),
        totals,
        peaks,
    )
    scored = reconcile_series(KEY, [vintage], actual)
    assert scored is not None
    (month,) = scored.vintages[0].months
    assert month.total_error == pytest.approx(0.1)
    assert month.total_inside == {0.8: True, 0.9: True}
    assert month.peak_error == pytest.approx(-0.3)
    assert month.peak_inside == {0.8: False, 0.9: False}
    part = reconcile_series(KEY, [vintage], Actual(KEY, START, hourly[:100]))
    assert part is not None
    (month,) = part.vintages[0].months
    assert np.isnan(month.total_error)
    assert month.observed_share == pytest.approx(100 / 720)


def test_nothing_observed_is_nothing_scored() -> None:
    actual = series()
    assert reconcile_series(KEY, [said(actual, 8 * WEEK, WEEK)], actual) is None
