"""Break-evens against a scan of every volume, splits against a scan of every count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.breakeven import DAYS_PER_MONTH, SelfHost, break_even, day_shape, hybrid

OWN = st.builds(
    SelfHost,
    rps=st.floats(0.05, 20.0),
    replica_usd=st.floats(500.0, 60_000.0),
    spares=st.integers(0, 3),
    fixed_usd=st.sampled_from([0.0, 1000.0, 16_000.0]),
    usd_per_request=st.sampled_from([0.0, 1e-4]),
    peak_to_mean=st.floats(1.0, 6.0),
)


@settings(max_examples=80, deadline=None)
@given(OWN, st.floats(1e-5, 0.05))
def test_break_even_is_where_a_scan_finds_it(own: SelfHost, api: float) -> None:
    found = break_even(own, api)
    # Every volume just after a step and its surroundings: cost is linear in between, so a crossing lies between points.
    steps = own.daily * np.arange(1, 400)
    grid = np.unique(
        np.concatenate([steps * (1 - 1e-9), steps * (1 + 1e-9), np.geomspace(own.daily * 1e-4, steps[-1], 800)])
    )
    cheaper = np.array([own.usd(q) < q * DAYS_PER_MONTH * api for q in grid])
    if found.first_daily is None:
        # Cheaper nowhere but, at best, never for good.
        assert not cheaper[-1]
        return
    assert found.always_daily is not None
    if found.first_daily > grid[-1]:
        assert not cheaper.any()
        return
    before, after = grid < found.first_daily * (1 - 1e-6), grid > found.always_daily * (1 + 1e-6)
    assert not cheaper[before].any()
    assert cheaper[after].all()
    assert own.usd(found.first_daily * (1 + 1e-6)) <= found.first_daily * (1 + 1e-6) * DAYS_PER_MONTH * api * (1 + 1e-6)
    assert found.utilisation is not None
    assert 0 < found.utilisation <= 1 / own.peak_to_mean + 1e-9


def test_known_figures() -> None:
    # 1 request/s, 730 USD a month, no spare, flat day: 86,400 requests a day; an API at 0.0005 USD a request takes
    # 730 / 0.0005 = 1.46 M requests a month = 48,000 a day, 55.6 % of what the replica carries.
    own = SelfHost(1.0, 730.0, spares=0)
    found = break_even(own, 0.0005)
    assert found.first_daily == pytest.approx(48_000)
    assert found.utilisation == pytest.approx(48_000 / 86_400)
    assert found.replica_utilisation == pytest.approx(48_000 / 86_400)
    # Past one replica the second must pay for itself: 96,000 a day, the API is cheaper between 86,400 and that.
    assert found.always_daily == pytest.approx(96_000)
    assert own.usd(90_000) > 90_000 * DAYS_PER_MONTH * 0.0005
    assert break_even(own, 0.0001).first_daily is None
    assert break_even(own, 0.0001).replica_utilisation > 1


@pytest.mark.parametrize("peak", [1.0, 1.5, 2.0, 5.0])
def test_a_day_has_its_peak_and_its_mean(peak: float) -> None:
    shape = day_shape(peak)
    assert shape.mean() == pytest.approx(1.0)
    assert shape.max() == pytest.approx(peak, rel=1e-6)


def test_a_day_cannot_peak_below_its_mean() -> None:
    with pytest.raises(ValueError, match="peak_to_mean"):
        day_shape(0.5)


@settings(max_examples=60, deadline=None)
@given(OWN, st.floats(1e-5, 0.05), st.floats(1.0, 3e6))
def test_no_other_count_is_cheaper(own: SelfHost, api: float, daily: float) -> None:
    if daily / own.daily > 200:
        return
    best = hybrid(own, api, daily)
    hourly = day_shape(own.peak_to_mean) * daily / 24
    for n in range(math.ceil(hourly.max() / own.rps / 3600) + 2):
        usd = n * own.replica_usd + (own.fixed_usd if n else 0.0)
        for rate in hourly:
            mine = min(rate, n * own.rps * 3600)
            usd += DAYS_PER_MONTH * (mine * own.usd_per_request + (rate - mine) * api)
        assert best.usd <= usd * (1 + 1e-9)
    assert best.usd <= best.api_usd * (1 + 1e-9)
