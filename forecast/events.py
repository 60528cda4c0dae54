"""What the user declares: launches, price changes, migrations, days unlike others.

A past event with a known uplift is divided out of history; one without is not learnt from, and what it did is measured
against the weekly shape and expected of coming events of the same name. An event for good (no end) whose uplift is not
known is measured, too: for its ramp and four weeks, history before it is brought to the level since, with doubt that
shrinks as days come; later its ramp and a week are not learnt from, and what came since is history like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from configs.errors import InputError
from configs.forecasting import Event
from data.records import BoolArray, FloatArray, SeriesKey
from data.units import HOURS_PER_WEEK
from forecast.clean import filled

UNKNOWN_SD = 0.5
"""Assumption (2026-11): an event of unknown size that was never seen before moves demand by a factor of 1.6 either
way."""
SETTLING_DAYS, RECENT_DAYS = 7, 28
LEAST_HOURS = 24.0
"""An event that was seen for less than this counts for its share of it; the rest is what was expected of it before."""
LEAST_REQUESTS = 16.0
"""So many expected at full effect tell the log of a size within a quarter: the same for less of them."""
WIDEST = 5.0
"""Logs of sizes are measured within this much either way."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Factor on every hour and the standard deviation of its log, [hours]; what to say of it."""

    factor: FloatArray
    deviation: FloatArray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """An event of unknown size as history shows it: the log of its size (None: nothing to tell it from) and the hours
    at full effect that it was told from. lasting: whether history before it was brought to the level since; all_of_it:
    whether too little lies outside it, so that all of history is taken to be at its level."""

    event: Event
    size: float | None = None
    hours: float = 0.0
    lasting: bool = False
    all_of_it: bool = False


def applies(event: Event, key: SeriesKey) -> bool:
    """Whether an event concerns a series."""
    return (
        (not event.llms or key.llm in event.llms)
        and (not event.request_classes or key.request_class in event.request_classes)
        and (not event.regions or key.region in event.regions)
    )


def check_events(
    events: Sequence[Event], keys: Sequence[SeriesKey], first: pd.Timestamp, future: pd.DatetimeIndex
) -> list[str]:
    """What to say of events that move nothing: they lie outside history (from `first` on) and the hours ahead, or name
    no series. InputError where one names an LLM, class or region that no series has: a slip of the pen must not drop
    an event."""
    known = (
        ("llms", sorted({key.llm for key in keys})),
        ("request_classes", sorted({key.request_class for key in keys})),
        ("regions", sorted({key.region for key in keys})),
    )
    notes = []
    for event in events:
        for field, names in known:
            strange = [name for name in getattr(event, field) if name not in names]
            if strange:
                near = get_close_matches(strange[0], names, 1, 0.0)
                raise InputError(
                    f"forecast.events: {field} of {event.name} from {event.start}",
                    f"{field.replace('_', ' ')} of the traffic history", ", ".join(strange),
                    f"Did you mean {near[0]}? There are: {', '.join(names[:12])}.",
                )  # fmt: skip
        if not any(applies(event, key) for key in keys):
            notes.append(f"event {event.name} from {event.start}: no series has its LLM, class and region at once")
        elif event.until is not None and pd.Timestamp(event.until, tz="UTC") + pd.Timedelta(days=1) <= first:
            notes.append(f"event {event.name} from {event.start}: over before history begins; it moves nothing")
        elif pd.Timestamp(event.start, tz="UTC") > future[-1]:
            notes.append(f"event {event.name} from {event.start}: begins after the forecast ends; it moves nothing")
    return notes


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


def _now(event: Event, index: pd.DatetimeIndex) -> float:
    """How much of an event for good is part of today's level."""
    return float(_share(event, index, None)[-1]) if event.until is None and len(index) else 0.0


def _divided(observed: pd.Series, event: Event, log_size: float) -> pd.Series:
    """An event of that size divided out; one for good is part of today's level: history before it is brought to it."""
    index = pd.DatetimeIndex(observed.index)
    return observed * np.exp(log_size * (_now(event, index) - _share(event, index, event.until)))


def _measured(observed: pd.Series, clean: pd.Series, share: FloatArray) -> tuple[float | None, float]:
    """The log of an event's size, from what came in its hours over what the weekly shape would have had at the level of
    the days about them, and from how many hours at full effect; None where nothing was observed."""
    complete, _ = filled(clean)
    seen = (share > 0.0) & observed.notna().to_numpy()
    expected, part = complete.to_numpy()[seen], share[seen]
    # Of few requests, chance alone makes a size: hours count up to what their number can tell of it.
    got, told = float(observed.to_numpy()[seen].sum()), LEAST_HOURS * float((expected * part**2).sum()) / LEAST_REQUESTS
    hours = min(float(np.square(part).sum()), told)
    if float(expected.sum()) <= 0.0:
        return None, 0.0
    if got <= 0.0:
        return -WIDEST, hours
    if (part == 1.0).all():
        return float(np.log(got / expected.sum())), hours

    def beyond(size: float) -> float:
        return float(np.log((expected * np.exp(size * part)).sum() / got))

    if beyond(-WIDEST) > 0.0 or beyond(WIDEST) < 0.0:
        return WIDEST if beyond(WIDEST) < 0.0 else -WIDEST, hours
    return float(brentq(beyond, -WIDEST, WIDEST)), hours


def _tells(observed: pd.Series, mask: BoolArray) -> bool:
    """Whether history outside some hours tells what demand would be without them: not where they go on to its end and
    leave both under a week and less than they take."""
    seen = observed.notna().to_numpy()
    outside, inside = int((seen & ~mask).sum()), int((seen & mask).sum())
    return outside > 0 and (not mask[-1] or outside >= min(HOURS_PER_WEEK, inside))


def _told(size: float | None, hours: float, before: Sequence[float]) -> tuple[float, float]:
    """Log of an event's size and its standard deviation, from what it has shown so far and what `before` like it had.

    Events seen say where, and how widely, with the prior's doubt shared among them; a week of one is one seen.
    """
    mean, spread = (float(np.mean(before)), float(np.std(before))) if before else (0.0, 0.0)
    weight = min(hours / LEAST_HOURS, 1.0) if size is not None else 0.0
    seen = len(before) + (hours / HOURS_PER_WEEK if size is not None else 0.0)
    log = weight * (size or 0.0) + (1.0 - weight) * mean
    return log, float(np.sqrt(spread**2 + UNKNOWN_SD**2 / (1.0 + 4.0 * seen)))


def _read(observed: pd.Series, events: tuple[Event, ...], key: SeriesKey) -> tuple[pd.Series, tuple[Measured, ...]]:
    """History without its events, those of unknown size unobserved or brought to the level since, and these events."""
    index = pd.DatetimeIndex(observed.index)
    mine = [event for event in events if applies(event, key)]
    for event in mine:
        if event.uplift is not None:
            observed = _divided(observed, event, float(np.log(event.uplift)))
    unknown = [event for event in mine if event.uplift is None]
    if not unknown or not len(index):
        return observed, ()
    end = index[-1] + pd.Timedelta(hours=1)
    found: list[Measured] = []
    hidden = np.zeros(len(index), dtype=np.bool_)
    lasting: list[tuple[Event, FloatArray]] = []
    passing: list[tuple[Event, FloatArray]] = []
    for event in unknown:
        recent = event.until is None and end <= pd.Timestamp(event.start, tz="UTC") + pd.Timedelta(
            days=event.ramp_days + RECENT_DAYS
        )
        (lasting if recent else passing).append(
            (event, _share(event, index, None if recent else _end_of_unknown(event)))
        )
    # Shortest first: one that would leave nothing to forecast from is not taken out.
    for event, share in sorted(passing, key=lambda one: int((one[1] > 0.0).sum())):
        if (share > 0.0).any() and not _tells(observed, hidden | (share > 0.0)):
            found.append(Measured(event, all_of_it=True))
        else:
            hidden |= share > 0.0
    for event, share in sorted(lasting, key=lambda one: one[0].start):
        later = [other for other, _ in lasting if other.start > event.start]
        until = min((pd.Timestamp(other.start, tz="UTC") for other in later), default=end)
        since = np.where(index < until, share, 0.0)
        if not (share > 0.0).any():
            found.append(Measured(event))
        elif not (observed.notna().to_numpy() & (share == 0.0) & ~hidden).any():
            found.append(Measured(event, all_of_it=True))
        else:
            size, hours = _measured(observed, observed.mask(hidden | (share > 0.0)), since)
            alike = [one.size for one in found if one.event.name == event.name and one.size is not None]
            taken, _ = _told(size, hours, alike)
            observed = _divided(observed, event, taken)
            found.append(Measured(event, taken, hours, lasting=True))
    clean = observed.mask(hidden)
    whole = {id(one.event) for one in found}
    for event, share in passing:
        if id(event) not in whole:
            found.append(Measured(event, *_measured(observed, clean, share)))
    return clean, tuple(found)


def without_events(observed: pd.Series, events: tuple[Event, ...], key: SeriesKey) -> pd.Series:
    """History with known past events divided out and unknown ones unobserved, or brought to the level since."""
    return _read(observed, events, key)[0]


def coming(observed: pd.Series, events: tuple[Event, ...], key: SeriesKey, future: pd.DatetimeIndex) -> Effect:
    """What events do to the hours ahead of one series."""
    index = pd.DatetimeIndex(observed.index)
    log, variance = np.zeros(len(future)), np.zeros(len(future))
    notes: list[str] = []
    for event in events:
        if event.uplift is None or not applies(event, key):
            continue
        ahead = _share(event, future, event.until) - _now(event, index)
        if np.any(ahead):
            log += ahead * np.log(event.uplift)
            variance += (ahead * event.uplift_sd) ** 2
            notes.append(f"event {event.name} from {event.start}: x {event.uplift:g} as declared")
    _, unknown = _read(observed, events, key)
    for one in unknown:
        alike = [
            other.size for other in unknown
            if other is not one and other.event.name == one.event.name and other.size is not None
        ]  # fmt: skip
        known = _of_unknown(one, alike, key, index, future)
        if known is not None:
            log += known.factor
            variance += known.deviation**2
            notes += known.notes
    return Effect(np.exp(log), np.sqrt(variance), tuple(notes))


def _of_unknown(
    one: Measured, alike: list[float], key: SeriesKey, index: pd.DatetimeIndex, future: pd.DatetimeIndex
) -> Effect | None:
    """What an event of unknown size does to the hours ahead, as logs of factors; None where it does nothing more.

    alike: logs of the sizes of others of its name.
    """
    event, name = one.event, f"event {one.event.name} from {one.event.start}"
    share = _share(event, future, event.until)
    if one.lasting:
        _, deviation = _told(one.size, one.hours, ())
        text = (
            f"{name}: x {np.exp(one.size or 0.0):.2f} on {key} so far, told from {one.hours:.0f} h; history before is "
            f"brought to that level, and quantiles are widened by a factor of {np.exp(deviation):.2f} either way"
        )
        return Effect((share - _now(event, index)) * (one.size or 0.0), share * deviation, (text,))
    if one.all_of_it:
        ahead = share - _share(event, index, event.until)[-1]
        mean, deviation = _told(None, 0.0, alike)
        ends = f", and what follows it is not known (x {np.exp(-mean):.2f})" if np.any(ahead < 0.0) else ""
        text = f"{name}: history of {key} is too short outside it to tell its size: all is taken at its level{ends}"
        return Effect(ahead * mean, np.abs(ahead) * deviation, (text,))
    if not share.any() or (event.until is None and pd.Timestamp(event.start, tz="UTC") < future[0]):
        return None
    mean, deviation = _told(one.size, one.hours, alike)
    if one.size is not None:
        text = f"{name}: x {np.exp(mean):.2f} as it had on {key} so far"
    elif alike:
        text = f"{name}: x {np.exp(mean):.2f} as {len(alike)} past ones had"
    else:
        text = (
            f"{name}: its size is not known and none like it was seen; quantiles are widened by a factor of "
            f"{np.exp(UNKNOWN_SD):.1f} either way"
        )
    return Effect(share * mean, share * deviation, (text,))
