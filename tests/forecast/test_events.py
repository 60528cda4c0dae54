"""Declared events: known ones divide history and multiply the future, unknown ones are learnt from, or widen."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from configs.forecasting import Event
from data.records import SeriesKey
from forecast.events import UNKNOWN_SD, coming, without_events

KEY = SeriesKey("m", "chat", "us")
INDEX = pd.date_range("2026-09-07", periods=8 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=4 * 168, freq="h")
FLAT = pd.Series(100.0, index=INDEX)


def days(index: pd.DatetimeIndex, first: date, last: date) -> np.ndarray:
    return np.array([first <= day <= last for day in index.date])


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
