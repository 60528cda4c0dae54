"""Tenants' misses add up to their series' miss, whatever they sent and whoever is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.forecast_records import TenantForecast
from data.ledger.records import HOUR, Actual, Vintage
from data.records import SeriesKey
from reconcile.tenants import last_said, tenant_misses, tenant_months

KEY = SeriesKey("llm", "chat", "eu")
START = np.datetime64("2026-11-02T00", "h")


def vintage(first: np.datetime64, level: float, hours: int = 48) -> Vintage:
    hourly = np.full((hours, 3), level) * np.array([0.8, 1.0, 1.2])
    return Vintage("run", KEY, first - HOUR, first, (0.05, 0.5, 0.95), hourly)


def test_what_was_said_last_holds() -> None:
    said = last_said([vintage(START, 10.0), vintage(START + 24 * HOUR, 20.0, 12)], START - 2 * HOUR, 60)
    assert np.isnan(said[:2]).all()
    assert said[2:26] == pytest.approx(10.0)
    assert said[26:38] == pytest.approx(20.0)
    assert said[38:50] == pytest.approx(10.0)
    assert np.isnan(said[50:]).all()


@given(
    st.lists(st.floats(0.0, 500.0), min_size=3, max_size=3),
    st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3),
    st.sets(st.sampled_from("abc"), min_size=1),
)
def test_misses_add_up(sent: list[float], weights: list[float], heard: set[str]) -> None:
    rates = dict(zip("abc", sent, strict=True))
    shares = {name: weight / sum(weights) for name, weight in zip("abc", weights, strict=True)}
    actual = {(KEY, name): Actual(KEY, START, np.full(30, rates[name])) for name in heard}
    found = tenant_misses({KEY: [vintage(START, 100.0, 24)]}, actual, {KEY: shares})
    total = sum(one.miss for one in found)
    assert total == pytest.approx(24 * (sum(rates[name] for name in heard) - 100.0), abs=1e-6)
    assert {one.tenant for one in found} == set("abc")
    assert all(one.hours == 24 for one in found)


def test_a_class_without_shares_has_no_plan_by_tenant_and_one_unsaid_is_left_out() -> None:
    other = SeriesKey("llm", "batch", "eu")
    actual = {(key, "acme"): Actual(key, START, np.full(24, 5.0)) for key in (KEY, other)}
    (one,) = tenant_misses({KEY: [vintage(START, 100.0)]}, actual, {})
    assert (one.tenant, one.request_class, one.actual) == ("acme", "chat", 120.0)
    assert np.isnan(one.planned)
    assert np.isnan(one.miss)


def test_whole_months_are_scored_against_what_was_forecast_of_each_tenant() -> None:
    levels, june = (0.1, 0.5, 0.9), np.datetime64("2026-06-01T00", "h")
    rows = np.array([[600.0, 720.0, 900.0], [70.0, 80.0, 90.0]])
    said = [
        TenantForecast(KEY, name, share, levels, ("2026-06",), rows[i : i + 1])
        for i, (name, share) in enumerate((("acme", 0.9), ("gone", 0.1)))
    ]
    sent = {(KEY, "acme"): Actual(KEY, june, np.full(30 * 24, 1.1))}
    gone, acme = tenant_months(said, sent, "2026-06")
    assert (acme.tenant, acme.said, acme.inside) == ("acme", 720.0, {0.8: True})
    assert acme.actual == pytest.approx(792.0)
    assert (gone.tenant, gone.actual, gone.inside) == ("gone", 0.0, {0.8: False})
    assert tenant_months(said, {(KEY, "acme"): Actual(KEY, june, np.full(29 * 24, 1.1))}, "2026-06") == ()
    assert tenant_months(said, sent, "2026-07") == ()
