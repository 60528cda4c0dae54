"""Tenants add up to their series in every draw, and their totals come within the intervals as often as stated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.forecast_records import SeriesForecast
from data.history import TenantDays
from data.records import FloatArray, SeriesKey
from forecast.tenants import share_draws, share_errors, smoothed, tenant_forecasts, weekly_log_shares

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
KEY = SeriesKey("m", "chat", "eu")


def days(shares: FloatArray, volume: float = 7000.0) -> TenantDays:
    """Weeks of shares [weeks, tenants] as days."""
    names = tuple(f"t{i}" for i in range(shares.shape[1]))
    return TenantDays(names, "2026-06-01", np.repeat(shares * volume / 7.0, 7, axis=0))


def series(total: float, spread: float, key: SeriesKey = KEY) -> SeriesForecast:
    """A series of which only its month total matters."""
    hours = np.arange(np.datetime64("2026-09-17T00", "h"), np.datetime64("2026-11-01T00", "h"))
    quantiles = total * (1.0 + spread * np.array([-1.6, -1.3, 0.0, 1.3, 1.6]))
    return SeriesForecast(
        key, hours, LEVELS, np.ones((len(hours), 5)), ("2026-10",), quantiles[None], quantiles[None], "m", "A", "", ()
    )


@given(st.integers(0, 100), st.integers(1, 30), st.integers(2, 5), st.integers(0, 20))
def test_shares_add_up_in_every_draw(seed: int, weeks: int, tenants: int, lead: int) -> None:
    rng = np.random.default_rng(seed)
    logs = weekly_log_shares(days(rng.dirichlet(np.ones(tenants), weeks)))
    assert len(logs) == weeks
    found = share_draws(logs, lead, rng, 50)
    assert found.shape == (50, tenants)
    assert found.sum(axis=1) == pytest.approx(np.ones(50))
    assert (found > 0.0).all()


def test_errors_are_those_of_past_levels_four_weeks_on() -> None:
    rng = np.random.default_rng(1)
    logs = weekly_log_shares(days(rng.dirichlet(np.full(3, 20.0), 12)))
    found = share_errors(logs, 2)
    assert found is not None
    assert len(found) == 12 - 4 - 2
    for origin in range(len(found)):
        weight = 0.5 ** (np.arange(origin, -1, -1) / 4.0)
        level = (weight[:, None] * logs[: origin + 1]).sum(axis=0) / weight.sum()
        came = np.exp(logs[origin + 3 : origin + 7]).mean(axis=0)
        assert found[origin] == pytest.approx(np.log(came) - level)
        assert smoothed(logs)[origin] == pytest.approx(level)
    longer = share_errors(logs, 10)
    assert longer is not None
    assert len(longer) == 3, "the longest lead that history has"
    assert share_errors(logs[:6], 0) is None


def test_steady_shares_split_the_series_and_nothing_is_left_over() -> None:
    steady = np.tile([0.7, 0.2, 0.1], (12, 1))
    found = tenant_forecasts(
        {("m", "chat"): days(steady)}, [series(1e6, 0.0), series(5.0, 0.1, SeriesKey("m", "x", "eu"))], 1
    )
    assert [one.tenant for one in found] == ["t0", "t1", "t2"]
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert [one.share for one in found] == pytest.approx([0.7, 0.2, 0.1], rel=1e-3)
    assert sum(one.monthly_total for one in found) == pytest.approx(np.full((1, 5), 1e6), rel=1e-3)


@given(st.integers(0, 100), st.integers(2, 20), st.data())
def test_weeks_without_requests_say_nothing(seed: int, weeks: int, data: st.DataObject) -> None:
    """The level after a gap is the mean of the weeks that were seen, by their age in weeks of the calendar."""
    lost = data.draw(st.lists(st.integers(1, weeks - 2), unique=True)) if weeks > 2 else []
    shares = np.random.default_rng(seed).dirichlet(np.full(3, 20.0), weeks)
    known = days(shares)
    for week in lost:
        known.requests[7 * week : 7 * week + 7] = 0.0
    level = smoothed(weekly_log_shares(known))[-1]
    seen = [week for week in range(weeks) if week not in lost]
    weight = np.array([0.5 ** ((weeks - 1 - week) / 4.0) for week in seen])
    assert level == pytest.approx(weight @ np.log(shares[seen]) / weight.sum(), abs=0.01)


def test_a_gap_in_the_log_is_no_move_of_shares() -> None:
    steady = days(np.tile([0.9, 0.1], (16, 1)))
    steady.requests[7 * 6 : 7 * 8] = 0.0
    errors = share_errors(weekly_log_shares(steady), 1)
    assert errors is not None
    assert errors == pytest.approx(np.zeros((9, 2)), abs=1e-3)
    steady.requests[7 : 7 * 13] = 0.0
    assert share_errors(weekly_log_shares(steady), 1) is None


@pytest.mark.parametrize(("walk", "noise"), [(0.06, 0.02), (0.0, 0.15)])
def test_intervals_hold_as_often_as_stated(walk: float, noise: float) -> None:
    rng = np.random.default_rng(7)
    inside = []
    for seed in range(150):
        level = np.cumsum(rng.normal(0.0, walk, (32, 3)), axis=0) + np.log([0.6, 0.3, 0.1])
        raw = np.exp(level + rng.normal(0.0, noise, (32, 3)))
        shares = raw / raw.sum(axis=1, keepdims=True)
        total = 1e6 * (1.0 + 0.05 * rng.normal())
        found = tenant_forecasts({("m", "chat"): days(shares[:26])}, [series(1e6, 0.05)], seed)
        came = total * shares[28:32].mean(axis=0)
        inside += [one.monthly_total[0, 1] <= came[i] <= one.monthly_total[0, 3] for i, one in enumerate(found)]
    assert 0.68 <= np.mean(inside) <= 0.92
