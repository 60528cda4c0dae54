"""Declared events: known ones divide history and multiply the future, unknown ones are learnt from, or widen."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from configs.errors import InputError
from configs.forecasting import Event, ForecastPolicy
from data.frames import checked_history
from data.history import TrafficHistory
from data.records import SeriesKey
from forecast.events import UNKNOWN_SD, check_events, coming, without_events
from forecast.portfolio import forecast

KEY = SeriesKey("m", "chat", "us")
INDEX = pd.date_range("2026-09-07", periods=8 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=4 * 168, freq="h")
FLAT = pd.Series(100.0, index=INDEX)


def days(index: pd.DatetimeIndex, first: date, last: date) -> np.ndarray:
    return np.array([first <= day <= last for day in index.date])


def history(values: np.ndarray) -> TrafficHistory:
    key = {"llm": KEY.llm, "request_class": KEY.request_class, "region": KEY.region}
    tokens = {"input_tokens": values, "output_tokens": values, "observed": True}
    return TrafficHistory(checked_history(pd.DataFrame(key | {"ts": INDEX, "requests": values} | tokens)), {}, (), {})


def test_a_known_past_event_is_divided_out() -> None:
    event = Event(name="promo", start=date(2026, 9, 20), until=date(2026, 9, 22), uplift=1.5)
    values = FLAT.where(~days(INDEX, event.start, date(2026, 9, 22)), 150.0)
    assert without_events(values, (event,), KEY).to_numpy() == pytest.approx(100.0)
    assert without_events(values, (event,), SeriesKey("other", "chat", "us")).to_numpy() == pytest.approx(100.0)
    elsewhere = event.model_copy(update={"regions": ("eu",)})
    assert without_events(values, (elsewhere,), KEY) is values


def test_a_launch_for_good_brings_history_to_the_level_since() -> None:
    event = Event(name="launch", start=date(2026, 10, 5), uplift=2.0, ramp_days=4)
    share = np.clip((np.arange(len(INDEX)) - 28 * 24 + 1) / 96.0, 0.0, 1.0)
    values = FLAT * 2.0**share
    assert without_events(values, (event,), KEY).to_numpy() == pytest.approx(200.0)
    assert coming(values, (event,), KEY, FUTURE).factor == pytest.approx(1.0), "it is in the level already"


def test_a_coming_event_ramps_up() -> None:
    event = Event(name="launch", start=date(2026, 11, 9), uplift=3.0, ramp_days=10, uplift_sd=0.2)
    effect = coming(FLAT, (event,), KEY, FUTURE)
    begun = int((pd.Timestamp("2026-11-09", tz="UTC") - FUTURE[0]) / pd.Timedelta(hours=1))
    assert (effect.factor[:begun] == 1.0).all()
    assert effect.factor[begun + 119] == pytest.approx(3.0**0.5)
    assert effect.factor[-1] == pytest.approx(3.0)
    assert effect.deviation[-1] == pytest.approx(0.2)


def test_an_unknown_event_is_learnt_from_its_likes_and_widens_where_there_are_none() -> None:
    past = Event(name="promo", start=date(2026, 9, 20), until=date(2026, 9, 22))
    ahead = Event(name="promo", start=date(2026, 11, 9), until=date(2026, 11, 10))
    values = FLAT.where(~days(INDEX, past.start, date(2026, 9, 22)), 180.0)
    assert without_events(values, (past, ahead), KEY).isna().sum() == 72
    learnt = coming(values, (past, ahead), KEY, FUTURE)
    on = days(FUTURE, ahead.start, date(2026, 11, 10))
    assert learnt.factor[on] == pytest.approx(1.8)
    assert learnt.factor[~on] == pytest.approx(1.0)
    assert 0.0 < learnt.deviation[on].max() < UNKNOWN_SD
    blind = coming(FLAT, (ahead,), KEY, FUTURE)
    assert blind.factor == pytest.approx(1.0)
    assert blind.deviation[on] == pytest.approx(UNKNOWN_SD)
    assert "not known" in blind.notes[0]


@pytest.mark.parametrize("days_ago", [1, 3, 6, 9, 13, 27, 40])
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_an_unknown_launch_for_good_goes_on_ahead_however_young_it_is(days_ago: int, factor: float) -> None:
    rng = np.random.default_rng(days_ago)
    shape = 1000.0 * (1.0 + 0.5 * np.cos(2.0 * np.pi * (np.arange(len(INDEX)) - 15.0) / 24.0))
    values = rng.poisson(shape).astype(float)
    values[-24 * days_ago :] = rng.poisson(factor * shape[-24 * days_ago :])
    launch = Event(name="launch", start=(INDEX[-1] - pd.Timedelta(days=days_ago - 1)).date())
    policy = ForecastPolicy(horizon_months=1, paths=200, backtest_windows=2, events=(launch,))
    found = forecast(history(values), policy, 1)
    one = found.series[0]
    middle, low, high = (one.monthly_total[0, one.levels.index(q)] / 744.0 for q in (0.5, 0.1, 0.9))
    assert middle == pytest.approx(1000.0 * factor, rel=0.06)
    assert low < 1000.0 * factor < high
    if days_ago <= 28:
        assert any("launch" in note and "so far" in note for note in found.notes)
        assert high > 1.1 * middle, "how it goes on is not sure"


def test_a_shutdown_of_unknown_size_is_next_to_nothing_ahead() -> None:
    down = Event(name="shutdown", start=INDEX[-3 * 24].date())
    values = FLAT.where(INDEX[-3 * 24] > INDEX, 0.0)
    assert without_events(values, (down,), KEY).max() < 1.0
    past = Event(name="works", start=date(2026, 9, 20), until=date(2026, 9, 22))
    ahead = Event(name="works", start=date(2026, 11, 9), until=date(2026, 11, 10))
    closed = FLAT.where(~days(INDEX, past.start, date(2026, 9, 22)), 0.0)
    assert coming(closed, (past, ahead), KEY, FUTURE).factor.min() < 0.01


def test_a_ramp_under_way_is_measured_and_goes_on() -> None:
    event = Event(name="launch", start=INDEX[-10 * 24].date(), ramp_days=16)
    share = np.clip((np.arange(len(INDEX)) - (len(INDEX) - 10 * 24) + 1) / 384.0, 0.0, 1.0)
    values = FLAT * 3.0**share
    assert without_events(values, (event,), KEY).to_numpy() == pytest.approx(100.0 * 3.0**0.625, rel=1e-6)
    effect = coming(values, (event,), KEY, FUTURE)
    assert effect.factor[-1] == pytest.approx(3.0**0.375, rel=1e-6)
    assert effect.deviation[-1] > 0.0


def test_few_requests_do_not_make_a_size() -> None:
    event = Event(name="launch", start=INDEX[-24].date())
    rare = pd.Series(np.random.default_rng(0).poisson(0.05, len(INDEX)).astype(float), index=INDEX)
    rare.iloc[-24:] = 0.0
    rare.iloc[-5] = 10.0
    before = rare.iloc[:-24].max()
    assert without_events(rare, (event,), KEY).iloc[:-24].max() < 1.5 * before, "ten requests where one was expected"


def test_two_launches_in_a_row_are_told_apart() -> None:
    first, second = (Event(name=name, start=INDEX[-days * 24].date()) for name, days in (("one", 12), ("two", 5)))
    values = FLAT.copy()
    values.iloc[-12 * 24 :] = 150.0
    values.iloc[-5 * 24 :] = 300.0
    assert without_events(values, (second, first), KEY).to_numpy() == pytest.approx(300.0)
    assert coming(values, (first, second), KEY, FUTURE).factor == pytest.approx(1.0)


@pytest.mark.parametrize(("field", "wrong"), [("llms", "M"), ("request_classes", "chats"), ("regions", "us-east")])
def test_a_slip_of_the_pen_does_not_drop_an_event(field: str, wrong: str) -> None:
    event = Event.model_validate({"name": "launch", "start": date(2026, 12, 1), "uplift": 2.0, field: (wrong,)})
    right = {"llms": KEY.llm, "request_classes": KEY.request_class, "regions": KEY.region}[field]
    policy = ForecastPolicy(horizon_months=1, paths=50, events=(event,))
    with pytest.raises(InputError, match=rf"{field} of launch.*") as error:
        forecast(history(FLAT.to_numpy()), policy, 1)
    assert wrong in str(error.value)
    assert f"Did you mean {right}?" in str(error.value)


def test_events_that_move_nothing_are_named() -> None:
    early = Event(name="early", start=date(2026, 1, 1), until=date(2026, 9, 6), uplift=2.0)
    late = Event(name="late", start=date(2027, 1, 1))
    inside = Event(name="inside", start=date(2026, 12, 31), uplift=2.0)
    touching = Event(name="touching", start=date(2026, 1, 1), until=date(2026, 9, 7), uplift=2.0)
    other = SeriesKey("n", "tool", "us")
    apart = Event(name="apart", start=date(2026, 11, 9), llms=("n",), request_classes=("chat",))
    year = pd.date_range(FUTURE[0], periods=60 * 24, freq="h")
    notes = check_events((early, late, inside, touching, apart), [KEY, other], INDEX[0], year)
    assert [note.split()[1] for note in notes] == ["early", "late", "apart"]
    policy = ForecastPolicy(horizon_months=1, paths=50, events=(late,))
    assert any("event late" in note for note in forecast(history(FLAT.to_numpy()), policy, 1).notes)


def test_an_event_that_covers_history_is_not_taken_out_of_it() -> None:
    whole = Event(name="campaign", start=date(2026, 1, 1), until=FUTURE[14 * 24].date())
    assert without_events(FLAT, (whole,), KEY).to_numpy() == pytest.approx(100.0)
    effect = coming(FLAT, (whole,), KEY, FUTURE)
    assert effect.factor == pytest.approx(1.0)
    assert effect.deviation[0] == 0.0
    assert effect.deviation[-1] == pytest.approx(UNKNOWN_SD), "what follows it is not known"
    assert "all is taken at its level" in effect.notes[0]
    halves = tuple(
        Event(name="half", start=start, until=until)
        for start, until in ((date(2026, 9, 1), date(2026, 10, 5)), (date(2026, 10, 6), FUTURE[-1].date()))
    )
    assert without_events(FLAT, halves, KEY).notna().any()
