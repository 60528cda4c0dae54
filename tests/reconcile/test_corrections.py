"""What is proposed, and that applying it does what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from data.forecast_records import Forecast, SeriesForecast
from data.frames import checked_history
from data.history import TrafficHistory
from data.ledger.records import HOUR, Actual, Correction, CorrectionLine, Vintage
from data.records import Block, Capacity, CapacityTable, Configuration, Demand, FloatArray, LengthSample, SloTarget
from reconcile.apply import corrected_capacity, corrected_forecast, corrected_history
from reconcile.corrections import Measured, ended, propose
from reconcile.fleet import reconcile_fleet
from reconcile.standing import corrected
from tests.reconcile.test_tally import KEY, LEVELS, START, WEEK, said, series

TARGET = {"llm": KEY.llm, "request_class": KEY.request_class, "region": KEY.region}


def test_an_over_forecast_is_proposed_with_its_ratio_and_not_again_once_in_force() -> None:
    actual = series()
    vintage = said(actual, 4 * WEEK, 4 * WEEK, 1.25)
    found = reconcile_fleet([(KEY, (vintage,), actual)])
    (level,) = [one for one in propose("s", found) if one.kind == "level"]
    assert level.values["factor"] == pytest.approx(0.8, abs=0.01)
    assert level.target == TARGET
    assert "over-forecast by 24" in level.evidence
    assert level.until == found.until
    line = CorrectionLine("1", level, "r2", "2026-08-01", "accepted")
    again = reconcile_fleet([(KEY, (vintage,), actual)], corrected([line], [KEY], {}))
    assert propose("s", again) == ()


def test_a_week_is_needed_and_small_errors_are_left_alone() -> None:
    actual = series()
    short = replace(actual, requests=actual.requests[: 4 * WEEK + 6 * 24])
    assert propose("s", reconcile_fleet([(KEY, (said(actual, 4 * WEEK, WEEK, 1.5),), short)])) == ()
    right = reconcile_fleet([(KEY, (said(actual, 4 * WEEK, 4 * WEEK, 1.0),), actual)])
    assert [one for one in propose("s", right) if one.kind == "level"] == []


def test_a_level_begins_on_its_day_though_days_before_it_were_not_observed() -> None:
    actual = series()
    requests = np.concatenate([actual.requests[: 6 * WEEK], 0.6 * actual.requests[6 * WEEK :]])
    requests[4 * WEEK + 48 : 4 * WEEK + 120] = np.nan
    found = reconcile_fleet([(KEY, (said(actual, 4 * WEEK, 4 * WEEK),), replace(actual, requests=requests))])
    (level,) = [one for one in propose("s", found) if one.kind == "level"]
    assert found.series[0].drift.since == 11
    assert level.since == str(START + np.timedelta64(6 * WEEK, "h"))


@pytest.mark.parametrize(("silent_from", "left"), [(4 * WEEK, 0.0), (6 * WEEK, 0.0), (4 * WEEK, 1e-5)])
def test_a_series_that_sends_nothing_gets_words_and_no_factor(silent_from: int, left: float) -> None:
    """A retired LLM must not hide what is found of the others; no factor on its history is its level."""
    actual, other = series(), replace(KEY, request_class="code")
    gone = actual.requests.copy()
    gone[silent_from:] *= left
    source = [
        (KEY, (said(actual, 4 * WEEK, 4 * WEEK),), replace(actual, requests=gone)),
        (other, (said(actual, 4 * WEEK, 4 * WEEK, 1.25, other),), replace(actual, key=other)),
    ]
    found = reconcile_fleet(source)
    assert found.series[0].drift.severity == "alarm"
    assert {(one.target["request_class"], one.kind) for one in propose("s", found)} >= {("code", "level")}
    assert [one for one in propose("s", found) if one.target["request_class"] == KEY.request_class] == []
    (text,) = ended(found)
    since = str(START + np.timedelta64(silent_from, "h"))
    assert text.startswith(f"{KEY}: sent nothing, or next to it, over {56 - silent_from // 24} days from {since}")
    assert "forecast.events" in text


def test_quantiles_that_are_too_tight_are_widened_towards_what_covers() -> None:
    actual = series()
    vintage = said(actual, 2 * WEEK, 6 * WEEK)
    tight = replace(vintage, hourly=vintage.hourly[:, 2:3] * np.array([0.9, 0.95, 1.0, 1.05, 1.1]))
    (one,) = [c for c in propose("s", reconcile_fleet([(KEY, (tight,), actual)])) if c.kind == "quantiles"]
    # The noise is gamma(20): its 95 % quantile is 39 % above, so that +10 % must become 2.5 to 4 times as far.
    assert 2.0 < one.values["upper"] < 4.5
    assert 2.0 < one.values["lower"] < 4.5


SPREAD_LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
SIGMA = 0.25
"""Hours are log-normal around 1,000 requests with this standard deviation of the logarithm."""


def calibrated(days: int, sigma: float = SIGMA) -> Vintage:
    """A vintage from START on that states quantiles of log-normal hours and the median of its month's total."""
    hourly = np.tile(1000.0 * np.exp(sigma * norm.ppf(SPREAD_LEVELS)), (24 * days, 1))
    total = np.full((1, len(SPREAD_LEVELS)), 720 * 1000.0 * np.exp(SIGMA**2 / 2))
    return Vintage("r", KEY, START - HOUR, START, SPREAD_LEVELS, hourly, ("2026-06",), total, total / 720)


def drawn(hours: int, seed: int) -> FloatArray:
    return np.asarray(1000.0 * np.exp(SIGMA * np.random.default_rng(seed).standard_normal(hours)))


def next_quantiles(vintage: Vintage, told: Sequence[Correction]) -> FloatArray:
    """Quantiles of an hour of the next vintage, made like this one from a history on the corrected level."""
    level = math.prod(one.values["factor"] for one in told if one.kind == "level")
    hours = level * vintage.hourly[:1]
    one = SeriesForecast(
        KEY, np.arange(1).astype("datetime64[h]"), vintage.levels, hours, (), hours, hours, "", "", "", ()
    )
    rps = np.ones((1, 1, 1, 1))
    demand = Demand((KEY,), ("2026-07",), (Block("peak", 7),), np.ones(1), rps)
    return corrected_forecast(Forecast((one,), demand, ""), told).series[0].hourly[0]


@pytest.mark.parametrize("share", [0.7, 0.85, 1.0, 1.3])
@pytest.mark.parametrize("seed", range(5))
def test_a_level_error_alone_leaves_the_spread_and_once_accepted_quantiles_cover_as_stated(
    share: float, seed: int
) -> None:
    """Known truth: the quantiles are right but for the level."""
    vintage = calibrated(30)
    found = reconcile_fleet([(KEY, (vintage,), Actual(KEY, START, share * drawn(24 * 28, seed)))])
    told = propose("s", found)
    assert {one.kind for one in told} <= ({"level"} if share != 1.0 else set())
    after = next_quantiles(vintage, told)
    came = share * drawn(100_000, 99)
    for level, value in zip(SPREAD_LEVELS, after, strict=True):
        assert np.mean(came <= value) == pytest.approx(level, abs=0.025)


def test_a_level_that_moved_and_vintages_on_two_levels_leave_the_spread() -> None:
    moved = drawn(24 * 30, 7) * np.where(np.arange(24 * 30) < 24 * 16, 1.0, 0.7)
    found = reconcile_fleet([(KEY, (calibrated(30),), Actual(KEY, START, moved))])
    assert found.series[0].drift.since == 16
    assert [one.kind for one in propose("s", found)] == ["level"]

    first = calibrated(30)
    learnt = replace(first, issued_from=START + 335 * HOUR, first_hour=START + 336 * HOUR, hourly=0.85 * first.hourly,
                     months=(), monthly_total=None, monthly_peak_hour=None)  # fmt: skip
    found = reconcile_fleet([(KEY, (first, learnt), Actual(KEY, START, 0.6 * drawn(24 * 30, 8)))])
    assert [one.kind for one in propose("s", found)] == ["level"]


@pytest.mark.parametrize("share", [0.7, 1.3])
def test_quantiles_that_are_too_tight_are_widened_around_the_level_too_and_never_narrowed_beside_it(
    share: float,
) -> None:
    actual = Actual(KEY, START, share * drawn(24 * 28, 3))
    tight = calibrated(30, SIGMA / 3)
    told = propose("s", reconcile_fleet([(KEY, (tight,), actual)]))
    (one,) = [one for one in told if one.kind == "quantiles"]
    # Three times as far, of which four weeks of hours against two of the stated spread say 3^(2/3).
    assert one.values["upper"] == pytest.approx(3 ** (2 / 3), rel=0.1)
    assert one.values["lower"] == pytest.approx(3 ** (2 / 3), rel=0.1)
    assert "on the level that came" in one.evidence
    came = share * drawn(100_000, 99)
    after, before = next_quantiles(tight, told), next_quantiles(tight, [c for c in told if c.kind == "level"])
    assert np.mean(came <= before[4]) < 0.75
    assert 0.84 < np.mean(came <= after[4]) < 0.95

    wide = calibrated(30, 3 * SIGMA)
    assert [c.kind for c in propose("s", reconcile_fleet([(KEY, (wide,), actual)]))] == ["level"]


def test_measurements_away_from_assumptions_become_corrections() -> None:
    empty = reconcile_fleet([])
    told = [
        Measured("lengths", {"llm": "a"}, {"input_tokens": 1000, "output_tokens": 100}, {"input_tokens": 500}, 99),
        Measured("cache", {"llm": "a"}, {"cache_hit": 0.0}, {"cache_hit": 0.4}, 99),
        Measured("goodput", {"llm": "a"}, {"goodput": 2.0}, {"goodput": 2.05}, 9),
    ]
    found = {one.kind: one.values for one in propose("s", empty, told)}
    assert found == {"lengths": {"input_tokens": 0.5}, "cache": {"cache_hit": 0.4}}


def history() -> TrafficHistory:
    hours = pd.date_range(str(START), periods=48, freq="h", tz="UTC")
    rows = [
        pd.DataFrame(
            {
                "llm": "llm", "request_class": name, "region": "us-east", "ts": hours, "requests": 10.0,
                "input_tokens": 100.0, "output_tokens": 20.0, "observed": True,
            }
        )
        for name in ("chat", "code")
    ]  # fmt: skip
    tokens = np.array([10, 20, 1], dtype=np.int64)
    sample = LengthSample(tokens, tokens, np.array([0, 10, 0]), np.full(3, 1 / 3), "file")
    return TrafficHistory(checked_history(pd.concat(rows)), {("llm", "chat"): sample, ("llm", "code"): sample}, (), {})


def test_a_level_correction_moves_the_hours_before_it_and_no_others() -> None:
    since = str(START + np.timedelta64(24, "h"))
    one = Correction("s", "level", TARGET, {"factor": 0.5}, since, "", "seen")
    found = corrected_history(history(), [one])
    by_class = dict(list(found.frame.groupby("request_class")))
    assert by_class["chat"]["requests"].tolist() == [5.0] * 24 + [10.0] * 24
    assert by_class["chat"]["input_tokens"].tolist() == [50.0] * 24 + [100.0] * 24
    assert (by_class["code"]["requests"] == 10.0).all()
    (note,) = found.notes
    assert note.severity == "correction"
    assert "factor 0.5; seen" in note.text
    checked_history(found.frame)


def test_lengths_and_cache_follow_their_corrections() -> None:
    told = [
        Correction("s", "lengths", {"llm": "llm", "request_class": "chat"}, {"input_tokens": 0.5}, "", "", ""),
        Correction("s", "cache", {"request_class": "chat"}, {"cache_hit": 0.6}, "", "", ""),
    ]
    found = corrected_history(history(), told)
    chat = found.lengths["llm", "chat"]
    assert chat.input_tokens.tolist() == [5, 10, 1]
    assert chat.output_tokens.tolist() == [10, 20, 1]
    assert chat.cached_tokens.tolist() == [3, 6, 1]

    assert found.lengths["llm", "code"].input_tokens.tolist() == [10, 20, 1]


def forecast() -> Forecast:
    hourly = np.outer(np.array([100.0, 50.0]), np.array([0.5, 0.8, 1.0, 1.2, 1.5]))
    one = SeriesForecast(
        KEY,
        np.arange(2).astype("datetime64[h]"),
        LEVELS,
        hourly,
        ("2026-06",),
        hourly[:1],
        hourly[:1],
        "m",
        "A",
        "",
        (),
    )
    rps = np.array([[[[4.0, 8.0], [1.0, 2.0]]]])
    demand = Demand((KEY,), ("2026-06",), (Block("peak", 7), Block("busy", 90)), np.array([0.5, 0.5]), rps)
    return Forecast((one,), demand, "2026-05-31T23:00Z")


def test_quantiles_move_from_their_median_by_the_factor_of_their_side() -> None:
    one = Correction("s", "quantiles", TARGET, {"lower": 2.0, "upper": 0.5}, "", "", "")
    found = corrected_forecast(forecast(), [one])
    assert found.series[0].hourly[0] == pytest.approx([0.0, 60.0, 100.0, 110.0, 125.0])
    assert found.demand.rps[0, 0, 0] == pytest.approx([2.0, 7.0])
    assert found.demand.rps[0, 0, 1] == pytest.approx([0.5, 1.75])
    assert "quantiles correction" in found.notes[-1]


def test_a_margin_lifts_peaks_alone_and_none_changes_nothing() -> None:
    found = corrected_forecast(forecast(), [Correction("s", "margin", {"llm": "llm"}, {"factor": 1.5}, "", "", "")])
    assert found.demand.rps[0, 0].tolist() == [[6.0, 12.0], [1.0, 2.0]]

    other = Correction("s", "level", TARGET, {"factor": 0.5}, "", "", "")
    before = forecast()
    assert corrected_forecast(before, [other]) is before


def test_a_goodput_correction_scales_the_configurations_it_names() -> None:
    slo = SloTarget(1, 0.1, 95)
    rows = tuple(
        Capacity(
            Configuration("llm", gpu, "fp8", "bf16", 1, "vllm"), "chat", slo, 4.0, 3.0, 0.5, 0.05, 100.0, "TPOT",
            1.0, 1.0, 1.0, "simulation", "fitted",
        )
        for gpu in ("H100", "L4")
    )  # fmt: skip
    told = [Correction("s", "goodput", {"gpu": "H100", "request_class": "chat"}, {"goodput": 0.5}, "", "", "")]
    found = corrected_capacity(CapacityTable(rows, "cpu", 2), told)
    assert [(r.knee_rps, r.operating_rps, r.provenance) for r in found.rows] == [
        (2.0, 1.5, "calibrated"),
        (4.0, 3.0, "fitted"),
    ]


def test_corrections_compose_so_that_the_next_vintage_is_right() -> None:
    """A level that fell: the history before, scaled by the proposed factor, is the history of the new level."""
    actual = series(weeks=8)
    fell = Actual(KEY, START, np.concatenate([actual.requests[: 6 * WEEK], 0.6 * actual.requests[6 * WEEK :]]))
    vintage = said(fell, 4 * WEEK, 4 * WEEK)
    (one,) = [c for c in propose("s", reconcile_fleet([(KEY, (vintage,), fell)])) if c.kind == "level"]
    assert one.since == str(START + np.timedelta64(6 * WEEK, "h"))
    assert one.values["factor"] == pytest.approx(0.6, abs=0.01)
