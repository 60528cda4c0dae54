"""The forecast as a whole: honest, finite, coherent, on good histories and on awful ones."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.forecasting import Event, ForecastPolicy
from data.frames import checked_history
from data.history import TrafficHistory
from forecast.portfolio import forecast, horizon
from forecast.scenarios import group_edges, whole_months

POLICY = ForecastPolicy(horizon_months=2, backtest_windows=4, paths=200)


def history(**series: np.ndarray) -> TrafficHistory:
    frames = []
    for name, values in series.items():
        ts = pd.date_range("2026-08-03", periods=len(values), freq="h", tz="UTC")
        frames.append(
            pd.DataFrame(
                {
                    "llm": "m", "request_class": name, "region": "r", "ts": ts, "requests": values,
                    "input_tokens": values, "output_tokens": values, "observed": ~np.isnan(values),
                }
            )
        )  # fmt: skip
    return TrafficHistory(checked_history(pd.concat(frames, ignore_index=True)), {}, (), {})


def seasonal(weeks: int, level: float = 1000.0, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    t = np.arange(weeks * 168)
    rng = np.random.default_rng(seed)
    shape = 1.0 + 0.6 * np.cos(2 * np.pi * (t % 24 - 15) / 24) - 0.3 * ((t // 24) % 7 >= 5)
    return level * shape * rng.gamma(noise**-2, noise**2, len(t))


def test_horizon_is_whole_calendar_months_after_the_last_hour() -> None:
    hours = horizon(pd.Timestamp("2026-11-15 23:00", tz="UTC"), 2)
    assert hours[0] == pd.Timestamp("2026-11-16", tz="UTC")
    assert [m.label for m in whole_months(hours)] == ["2026-12", "2027-01"]
    at_the_edge = horizon(pd.Timestamp("2026-11-30 23:00", tz="UTC"), 1)
    assert len(at_the_edge) == 31 * 24
    assert [m.label for m in whole_months(at_the_edge)] == ["2026-12"]


def test_a_seasonal_series_is_forecast_better_than_the_naive_and_graded() -> None:
    found = forecast(history(a=seasonal(12)), POLICY, 1).series[0]
    own, naive, four = found.accuracy
    assert (naive.method, four.method) == ("seasonal naive", "four-week mean")
    assert own.wape < 0.85 * naive.wape
    assert abs(own.bias) < 0.05
    assert found.grade == "A"


def test_intervals_cover_what_comes() -> None:
    """80 % intervals of the hour over unseen futures of 12 series: within the sampling error of 80 %."""
    hits = []
    for seed in range(12):
        full = seasonal(16, noise=0.25, seed=seed)
        train, future = full[: 12 * 168], full[12 * 168 :]
        found = forecast(history(a=train), ForecastPolicy(horizon_months=1, paths=300), seed).series[0]
        low, high = (found.hourly[: len(future), found.levels.index(q)] for q in (0.1, 0.9))
        hits.append(((future >= low[: len(future)]) & (future <= high)).mean())
    assert 0.73 <= np.mean(hits) <= 0.87


def test_demand_keeps_volume_and_its_blocks_descend() -> None:
    found = forecast(history(a=seasonal(10), b=seasonal(10, 50.0, seed=3)), POLICY, 1)
    demand = found.demand
    assert demand.probabilities.sum() == pytest.approx(1.0)
    assert sum(block.hours for block in demand.blocks) == pytest.approx(730.0)
    assert (np.diff(demand.rps, axis=2) <= 1e-9).all(), "blocks are in order of load"
    assert (np.diff(demand.rps[:, :, 0, :], axis=2) >= -1e-9).all(), "scenario peaks are in order of load"
    hours = np.array([block.hours for block in demand.blocks[1:]])
    volume = (demand.rps[:, :, 1:, :] * hours[None, None, :, None]).sum(axis=2) @ demand.probabilities * 3600
    for i, one in enumerate(found.series):
        median = one.monthly_total[:, one.levels.index(0.5)]
        assert volume[i] == pytest.approx(median, rel=0.12)


def test_scenario_peaks_carry_the_share_of_paths_they_state() -> None:
    found = forecast(history(a=seasonal(10)), POLICY, 1)
    peaks = found.series[0].monthly_peak_hour
    levels = found.series[0].levels
    stated = found.demand.rps[0, :, 0, 3] * 3600 / POLICY.burst_factor
    assert stated == pytest.approx(peaks[:, levels.index(0.95)], rel=0.02)


def test_declared_growth_moves_the_forecast() -> None:
    flat = forecast(history(a=seasonal(10)), POLICY, 1)
    grown = forecast(history(a=seasonal(10)), POLICY.model_copy(update={"growth_per_month": 0.2}), 1)
    middle = flat.series[0].levels.index(0.5)
    ratio = grown.series[0].monthly_total[1, middle] / flat.series[0].monthly_total[1, middle]
    # The second month's middle lies about 2.5 months (2026-10-12 to the end of 2026-12) after the last hour.
    assert ratio == pytest.approx(1.2**2.15, rel=0.05)


def test_a_declared_launch_moves_its_months_and_saturated_growth_stops() -> None:
    flat = forecast(history(a=seasonal(10)), POLICY, 1)
    launch = Event(name="launch", start=date(2026, 12, 1), uplift=1.5, uplift_sd=0.0)
    moved = forecast(history(a=seasonal(10)), POLICY.model_copy(update={"events": (launch,)}), 1)
    middle = flat.series[0].levels.index(0.5)
    ratio = moved.series[0].monthly_total[:, middle] / flat.series[0].monthly_total[:, middle]
    assert ratio == pytest.approx([1.0, 1.5], rel=0.02)
    assert [round(part.events, 6) for part in moved.series[0].parts] == [1.0, 1.5]
    assert any("launch" in note for note in moved.notes)
    growth = {"growth_per_month": 0.5, "growth_per_month_sd": 0.0, "growth_saturation": 1.2}
    bounded = forecast(history(a=seasonal(10)), POLICY.model_copy(update=growth), 1)
    grown = bounded.series[0].monthly_total[:, middle] / flat.series[0].monthly_total[:, middle]
    assert (grown > 1.05).all()
    assert (grown < 1.2).all()


def test_the_same_seed_gives_the_same_demand() -> None:
    one, two = (forecast(history(a=seasonal(6)), POLICY, 9).demand.rps for _ in range(2))
    assert (one == two).all()


def test_series_that_share_a_shock_stay_correlated() -> None:
    rng = np.random.default_rng(0)
    shock = np.repeat(rng.lognormal(0.0, 0.3, 12), 168)
    twins = history(a=seasonal(12, seed=1) * shock, b=seasonal(12, seed=2) * shock)
    demand = forecast(twins, ForecastPolicy(horizon_months=1, backtest_horizon_days=7), 1).demand
    assert (np.diff(demand.rps[:, 0, 2, :], axis=1) > 0).all(), "both rise together from scenario to scenario"


@pytest.mark.parametrize(
    ("values", "grade"),
    [
        (np.full(30, 5.0), "D"),
        (seasonal(1), "C"),
        (seasonal(2), "C"),
        (np.zeros(24 * 40), "D"),
        (np.random.default_rng(0).pareto(0.6, 24 * 60) * 10, "D"),
    ],
)
def test_grades_say_what_history_can_bear(values: np.ndarray, grade: str) -> None:
    found = forecast(history(a=values), POLICY, 1).series[0]
    assert found.grade == grade, found.reason
    assert found.reason


def test_gaps_are_not_zeros() -> None:
    values = seasonal(8)
    holed = values.copy()
    holed[500:600] = np.nan
    whole, gap = (forecast(history(a=v), POLICY, 1).series[0].monthly_total[:, 2] for v in (values, holed))
    assert gap == pytest.approx(whole, rel=0.06)


def test_zeros_before_a_launch_are_not_history() -> None:
    later = np.concatenate([np.zeros(30 * 24), seasonal(3)])
    told, whole = (forecast(history(chat=values), POLICY, 1) for values in (later, seasonal(3)))
    assert any("launched 2026-09-02" in note for note in told.series[0].degradations)
    ours, theirs = (float(one.series[0].monthly_total[:, 2].sum()) for one in (told, whole))
    assert ours == pytest.approx(theirs, rel=0.1)
    rare = np.where(np.random.default_rng(0).random(4 * 168) < 0.05, 10.0, 0.0)
    rare[:200] = 0.0
    assert not any("launched" in note for note in forecast(history(rare=rare), POLICY, 1).series[0].degradations)


@pytest.mark.parametrize(("closed", "days"), [("nights", 5), ("nights and weekends", 14), ("weekends", 21)])
def test_a_service_with_closed_hours_was_launched_too(closed: str, days: int) -> None:
    t = np.arange(10 * 168)
    hours = (t % 24 >= 8) & (t % 24 < 18) if "nights" in closed else t >= 0
    open_ = hours & ((t // 24 % 7 < 5) | ("weekends" not in closed))
    values = np.where(open_, np.random.default_rng(0).poisson(60, len(t)), 0.0)
    values[: -days * 24] = 0.0
    one = forecast(history(chat=values), ForecastPolicy(horizon_months=1, paths=300), 1).series[0]
    assert any("launched" in note for note in one.degradations)
    # November 2026 has 21 working days.
    expected = 60.0 * (10 if "nights" in closed else 24) * (21 if "weekends" in closed else 30)
    low, middle, high = (one.monthly_total[0, one.levels.index(q)] for q in (0.05, 0.5, 0.95))
    assert low < expected < high
    assert middle == pytest.approx(expected, rel=0.2)


def test_no_observed_hour_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="an observed hour"):
        forecast(history(a=np.full(60, np.nan)), POLICY, 1)


def test_a_series_that_cannot_be_forecast_falls_back_and_the_others_do_not_notice() -> None:
    good = seasonal(8)
    alone = forecast(history(z=good), POLICY, 1).series[0]
    late = np.concatenate([good[:-50], np.full(50, np.nan)])[:-50]
    found = {
        one.key.request_class: one for one in forecast(history(few=good[:20], late=late, z=good), POLICY, 1).series
    }
    assert found["z"].method == alone.method
    assert not found["z"].degradations
    assert found["few"].grade == "D"
    assert any("20 observed hours" in text for text in found["few"].degradations)
    assert any("50 h before" in text for text in found["late"].degradations)


def test_a_failing_method_is_named_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise np.linalg.LinAlgError("no convergence")

    monkeypatch.setattr("forecast.single.rolling_windows", broken)
    found = forecast(history(a=seasonal(8)), POLICY, 1).series[0]
    assert any("no convergence" in text for text in found.degradations)
    assert found.grade == "D"
    assert np.isfinite(found.hourly).all()


AWFUL = st.one_of(
    st.just("zeros"), st.just("constant"), st.just("spike"), st.just("gaps"), st.just("huge"), st.just("tiny")
)


@settings(max_examples=25)
@given(AWFUL, st.integers(24, 1500), st.integers(0, 10_000))
def test_no_history_makes_nonsense(kind: str, hours: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.poisson(20.0, hours).astype(float)
    if kind == "zeros":
        values[:] = 0.0
    elif kind == "constant":
        values[:] = 7.0
    elif kind == "spike":
        values[rng.integers(hours)] = 1e9
    elif kind == "gaps":
        values[rng.random(hours) < 0.4] = np.nan
        values[-1] = 3.0
        values[:24] = np.where(np.isnan(values[:24]), 1.0, values[:24])
    elif kind == "huge":
        values *= 1e12
    elif kind == "tiny":
        values = (rng.random(hours) < 0.01).astype(float)
    policy = ForecastPolicy(horizon_months=1, backtest_windows=2, paths=50)
    found = forecast(history(a=values), policy, seed)
    top = 12.0 * max(float(np.nanmax(values)), 1.0)
    for array in (found.series[0].hourly, found.series[0].monthly_peak_hour, found.demand.rps * 3600):
        assert np.isfinite(array).all()
        assert (array >= 0).all()
        assert array.max() <= top


def test_group_edges_end_at_one() -> None:
    for n in (1, 2, 3, 5, 8, 30):
        edges = group_edges(n)
        assert len(edges) == n
        assert edges[-1] == 1.0
        assert (np.diff(np.concatenate([[0.0], edges])) > 0).all()
