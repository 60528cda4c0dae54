"""What the user declares: launches, price changes, migrations, days unlike others.

A past event with a known uplift is divided out of history; one without is not learnt from, and what it did is measured
against the weekly shape and expected of coming events of the same name. An event for good (no end) whose uplift is not
known counts as temporary for its ramp and a week, and from then on as history like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from configs.forecasting import Event
from data.records import BoolArray, FloatArray, SeriesKey
from forecast.clean import filled, hour_of_week

UNKNOWN_SD = 0.5
"""Assumption (2026-11): an event of unknown size that was never seen before moves demand by a factor of 1.6 either
way."""
SETTLING_DAYS = 7


@dataclass(frozen=True, slots=True)
class Effect:
    """Factor on every hour and the standard deviation of its log, [hours]; what to say of it."""

    factor: FloatArray
    deviation: FloatArray
    notes: tuple[str, ...] = ()


def applies(event: Event, key: SeriesKey) -> bool:
    """Whether an event concerns a series."""
    return (
        (not event.llms or key.llm in event.llms)
        and (not event.request_classes or key.request_class in event.request_classes)
        and (not event.regions or key.region in event.regions)
    )


def _share(event: Event, index: pd.DatetimeIndex, last: date | None) -> FloatArray:
    """How much of an event is in effect in each hour, 0 to 1: up over the ramp, off after the last day."""
    hours = (index - pd.Timestamp(event.start, tz="UTC")) / pd.Timedelta(hours=1)
    begun = np.asarray(hours, dtype=np.float64)
    ramp = np.ones(len(index)) if event.ramp_days == 0 else np.clip((begun + 1.0) / (24.0 * event.ramp_days), 0.0, 1.0)
    share = np.where(begun >= 0.0, ramp, 0.0)
    if last is not None:
        share = np.where(np.asarray(index < pd.Timestamp(last, tz="UTC") + pd.Timedelta(days=1)), share, 0.0)
    return np.asarray(share)


def _end_of_unknown(event: Event) -> date:
    return event.until or event.start + timedelta(days=event.ramp_days + SETTLING_DAYS)


def without_events(observed: pd.Series, events: tuple[Event, ...], key: SeriesKey) -> pd.Series:
    """History with known past events divided out and unknown ones unobserved."""
    index = pd.DatetimeIndex(observed.index)
    clean = observed
    for event in events:
        if not applies(event, key):
            continue
        if event.uplift is not None:
            # An event for good is part of today's level: history before it is brought to the level since.
            share = _share(event, index, event.until)
            level = float(share[-1]) if event.until is None and len(share) else 0.0
            clean = clean * event.uplift**level / np.power(event.uplift, share)
        else:
            clean = clean.mask(_share(event, index, _end_of_unknown(event)) > 0.0)
    return clean


def _measured(observed: pd.Series, clean: pd.Series, mask: BoolArray) -> float | None:
    """log of what came over what the weekly shape would have had in some hours; None where nothing was observed."""
    complete, _ = filled(clean)
    hours = hour_of_week(pd.DatetimeIndex(observed.index))
    expected = complete.groupby(hours).transform("mean").to_numpy()
    seen = mask & observed.notna().to_numpy()
    total = float(expected[seen].sum())
    got = float(observed.to_numpy()[seen].sum())
    return float(np.log(got / total)) if total > 0.0 and got > 0.0 else None


def coming(observed: pd.Series, events: tuple[Event, ...], key: SeriesKey, future: pd.DatetimeIndex) -> Effect:
    """What events do to the hours ahead of one series."""
    index = pd.DatetimeIndex(observed.index)
    log, variance = np.zeros(len(future)), np.zeros(len(future))
    notes: list[str] = []
    clean = without_events(observed, events, key)
    for event in events:
        if not applies(event, key):
            continue
        share = _share(event, future, event.until)
        if event.uplift is not None:
            begun = float(_share(event, index, event.until)[-1]) if event.until is None and len(index) else 0.0
            ahead = share - begun
            if not np.any(ahead):
                continue
            log += ahead * np.log(event.uplift)
            variance += (ahead * event.uplift_sd) ** 2
            notes.append(f"event {event.name} from {event.start}: x {event.uplift:g} as declared")
            continue
        if pd.Timestamp(event.start, tz="UTC") < future[0] and event.until is None:
            continue
        if not share.any():
            continue
        alike = [other for other in events if other.name == event.name and other.uplift is None and applies(other, key)]
        found = [_measured(observed, clean, _share(other, index, _end_of_unknown(other)) > 0.0) for other in alike]
        sizes = [size for size in found if size is not None]
        if sizes:
            mean, spread = float(np.mean(sizes)), float(np.std(sizes))
            # A few past events say where, and how widely, with the prior's doubt shared among them.
            deviation = float(np.sqrt(spread**2 + UNKNOWN_SD**2 / (1.0 + 4.0 * len(sizes))))
            notes.append(f"event {event.name} from {event.start}: x {np.exp(mean):.2f} as {len(sizes)} past ones had")
        else:
            mean, deviation = 0.0, UNKNOWN_SD
            notes.append(
                f"event {event.name} from {event.start}: its size is not known and none like it was seen; quantiles "
                f"are "
                f"widened by a factor of {np.exp(UNKNOWN_SD):.1f} either way"
            )
        log += share * mean
        variance += (share * deviation) ** 2
    return Effect(np.exp(log), np.sqrt(variance), tuple(notes))
