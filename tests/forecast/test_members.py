"""The methods one by one, against statsmodels and by hand."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.ar_model import AutoReg

from forecast import members
from forecast.clean import hour_of_week

INDEX = pd.date_range("2026-08-03", periods=8 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=400, freq="h")


def service(seed: int = 0) -> pd.Series:
    rng = np.random.default_rng(seed)
    shape = (
        1.0 + 0.5 * np.cos(2 * np.pi * (INDEX.hour.to_numpy() - 15) / 24) - 0.2 * (INDEX.day_of_week.to_numpy() >= 5)
    )
    return pd.Series(rng.poisson(200.0 * shape).astype(float), index=INDEX)


def test_the_autoregression_is_that_of_statsmodels() -> None:
    history = service()
    terms = members._harmonics(len(INDEX) + len(FUTURE))
    fit = AutoReg(np.sqrt(history.to_numpy()), lags=list(members.LAGS), trend="c", exog=terms[: len(INDEX)]).fit()
    theirs = fit.forecast(len(FUTURE), exog=terms[len(INDEX) :])
    assert members.autoregression(history, FUTURE) == pytest.approx(np.square(theirs), rel=1e-4)


@pytest.mark.parametrize("name", list(members.MEMBERS))
def test_methods_are_silent_and_bounded_on_histories_that_never_change(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for level in (0.0, 7.0, 1e12):
            history = pd.Series(level, index=INDEX)
            assert members.MEMBERS[name](history, FUTURE) == pytest.approx(level, rel=1e-3, abs=1e-9)


def test_warnings_of_a_method_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    original = members.ETSModel

    def noisy(*given: object, **named: object) -> object:
        warnings.warn("the exponent overflowed", RuntimeWarning, stacklevel=2)
        return original(*given, **named)

    monkeypatch.setattr(members, "ETSModel", noisy)
    with pytest.warns(RuntimeWarning, match="overflowed"):
        members.combined(service(), FUTURE)


def test_a_day_profile_is_the_mean_day_scaled_by_weekday() -> None:
    """Noise-free, weekdays alike: the profile is the history; one busy weekday keeps four fifths of its excess."""
    clock = 100.0 + INDEX.hour.to_numpy()
    history = pd.Series(np.where(INDEX.day_of_week >= 5, 0.5 * clock, clock), index=INDEX)
    assert members.day_profile(history, INDEX[:168]) == pytest.approx(history.to_numpy()[:168])
    busy = history.where(INDEX.day_of_week != 2, 1.44 * history)
    found = members.day_profile(busy, INDEX[:168])
    wednesday = np.asarray(INDEX[:168].day_of_week == 2)
    expected = 100.0 + np.arange(24)
    pooled = (4.0 + 1.2) / 5.0
    assert found[wednesday] == pytest.approx(expected * (pooled * (1.0 + (1.2 / pooled - 1.0) * 0.8)) ** 2)


def test_the_week_is_shrunk_by_what_its_hours_owe_to_noise() -> None:
    """Without habits of its own an hour of the week gets the profile; strong habits are kept whole."""
    rng = np.random.default_rng(0)
    plain = pd.Series(rng.poisson(200.0, len(INDEX)).astype(float), index=INDEX)
    profile, found, week = (
        f(plain, INDEX[:168]) for f in (members.day_profile, members.shrunk_week, members.four_week_mean)
    )
    assert np.abs(found - profile).mean() < 0.35 * np.abs(week - profile).mean()
    habit = np.tile(np.exp(0.4 * rng.standard_normal(168)), len(INDEX) // 168)
    own = pd.Series(rng.poisson(200.0 * habit).astype(float), index=INDEX)
    assert members.shrunk_week(own, INDEX[:168]) == pytest.approx(200.0 * habit[:168], rel=0.12)


def test_a_failing_method_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setitem(members.MEMBERS, "bounded ETS", broken)
    point, method, degraded = members.combined(service(), FUTURE)
    assert method == "median of 3"
    assert degraded == ("bounded ETS left out: singular",)
    assert np.isfinite(point).all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_hours_of_the_week_are_those_of_the_calendar(unit: Literal["s", "ms", "us", "ns"]) -> None:
    index = pd.date_range("1969-12-20", "1970-01-20", freq="h", tz="UTC").append(
        pd.date_range("2028-02-20", periods=400, freq="h", tz="UTC")
    )
    found = hour_of_week(pd.DatetimeIndex(index).as_unit(unit))
    assert (found == index.day_of_week.to_numpy() * 24 + index.hour.to_numpy()).all()
