"""Real traffic in two months, 33 and 14 days: an error of the level is found, attributed and corrected.

As it is, the first vintage over-forecasts the second month by under 2 %, against a day-to-day scatter of 11 %: that is
no finding, and nothing is proposed. With the second month's traffic multiplied by a known factor the noise is still the
real one and the error is known. No single reconciliation day is trusted: the correction is made on every day that has a
week of evidence and at least four days left to be judged by.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.forecasting import ForecastPolicy
from data.forecast_records import SeriesForecast
from data.frames import checked_history
from data.history import TrafficHistory
from data.hourly import read_hourly_counts
from data.ledger.records import Actual, Vintage
from data.records import SeriesKey
from forecast.portfolio import forecast
from reconcile.apply import corrected_history
from reconcile.attribution import CAUSES, cost_ratio, waterfall
from reconcile.corrections import propose
from reconcile.drift import TRACKING_LIMIT
from reconcile.fleet import reconcile_fleet

pytestmark = pytest.mark.truth

KEY = SeriesKey("Llama-3.1-70B", "conversation", "us-east")
MONTH, END = 33, 47


@pytest.fixture(scope="module")
def requests(reference: Path) -> pd.Series:
    return read_hourly_counts(reference / "traces" / "burstgpt_hourly.csv", "conversation", date(2026, 4, 29)).requests


def history(requests: pd.Series, days: int) -> TrafficHistory:
    past = requests.iloc[: days * 24]
    labels = {"llm": KEY.llm, "request_class": KEY.request_class, "region": KEY.region}
    frame = pd.DataFrame(
        labels
        | {"ts": past.index, "requests": past.to_numpy(), "input_tokens": 0.0, "output_tokens": 0.0, "observed": True}
    )
    return TrafficHistory(checked_history(frame), {}, (), {})


def issue(told: TrafficHistory) -> Vintage:
    one: SeriesForecast = forecast(told, ForecastPolicy(horizon_months=1), seed=1).series[0]
    first = one.hours[0].astype("datetime64[h]")
    return Vintage("run", KEY, first - np.timedelta64(1, "h"), first, one.levels, one.hourly)


def known(requests: pd.Series, days: int) -> Actual:
    first = requests.index[0].tz_convert(None).to_numpy().astype("datetime64[h]")
    return Actual(KEY, first, requests.to_numpy()[: days * 24])


def bias(vintage: Vintage, requests: pd.Series, start: int, stop: int) -> float:
    actual = known(requests, stop)
    first = actual.first_hour + np.timedelta64(start * 24, "h")
    shift = int((first - vintage.first_hour) / np.timedelta64(1, "h"))
    said = vintage.hourly[shift : shift + (stop - start) * 24, vintage.levels.index(0.5)]
    return float(said.sum() / actual.between(first, actual.end).sum() - 1.0)


def changed(requests: pd.Series, factor: float) -> pd.Series:
    """The second month on another level."""
    found = requests.copy()
    found.iloc[MONTH * 24 :] *= factor
    return found


def test_an_error_within_the_noise_is_no_finding(requests: pd.Series) -> None:
    first = issue(history(requests, MONTH))
    assert abs(bias(first, requests, MONTH, END)) < 0.03
    found = reconcile_fleet([(KEY, (first,), known(requests, END))])
    (one,) = found.series
    assert abs(one.drift.tracking_signal) < TRACKING_LIMIT
    assert one.drift.severity == "none"
    assert not [one for one in propose("burstgpt", found) if one.kind == "level"]


@pytest.mark.parametrize("factor", [0.6, 0.85, 0.92, 1.2, 1.5])
def test_a_changed_level_is_found_and_attributed_to_volume(requests: pd.Series, factor: float) -> None:
    first = issue(history(requests, MONTH))
    found = reconcile_fleet([(KEY, (first,), known(changed(requests, factor), END))])
    (one,) = found.series
    assert one.drift.severity == "alarm"
    assert one.drift.ratio == pytest.approx(factor, rel=0.03)
    ratios = dict.fromkeys(CAUSES, None) | {"volume": one.drift.ratio}
    fall = waterfall("cost", "USD", lambda r: 1e5 * cost_ratio(r), ratios, digits=2)
    amounts = {bar.cause: bar.amount for bar in fall.bars}
    assert amounts["volume"] == pytest.approx(fall.actual - fall.planned)
    assert amounts["volume"] == pytest.approx(1e5 * (factor - 1.0), abs=3000)


@pytest.mark.parametrize("factor", [0.6, 0.85, 0.92, 1.2, 1.5])
def test_the_corrected_vintage_is_off_by_at_most_half(requests: pd.Series, factor: float) -> None:
    traffic = changed(requests, factor)
    first = issue(history(traffic, MONTH))
    before, after, untouched = [], [], []
    for day in range(MONTH + 7, END - 3):
        found = reconcile_fleet([(KEY, (first,), known(traffic, day))])
        (level,) = [one for one in propose("burstgpt", found) if one.kind == "level"]
        assert (level.values["factor"] < 1.0) == (factor < 1.0)
        assert level.since == "2026-06-01T00"
        told = history(traffic, day)
        corrected = corrected_history(told, [level])
        assert len(corrected.notes) == 1
        before.append(bias(first, traffic, day, END))
        after.append(bias(issue(corrected), traffic, day, END))
        untouched.append(bias(issue(replace(told)), traffic, day, END))
    assert np.mean(np.abs(after)) <= 0.5 * np.mean(np.abs(before))
    assert np.mean(np.abs(after)) < np.mean(np.abs(untouched)), "waiting for the next vintage alone is not as good"
