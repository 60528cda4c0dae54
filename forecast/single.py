"""One series made ready to simulate: its point forecast, what past errors say of it, and how its level may move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from data.records import BoolArray, FloatArray
from data.units import HOURS_PER_WEEK
from forecast.backtest import NOTHING, Scored, scored
from forecast.calendar import as_sundays, without_holidays
from forecast.calibrate import Evidence, examine
from forecast.clean import filled, launched, seen_in_use
from forecast.cold import from_shape
from forecast.empirical import empirical_bank, flat_level
from forecast.fallback import last_week_share, mixed, with_last_week
from forecast.level import believe, expected_course, weekly_levels
from forecast.members import combined, seasonal_naive
from forecast.paths import PathModel
from forecast.residuals import PastErrors, bank_from_windows, day_numbers
from forecast.shift import settled
from forecast.stop import as_it_ran, chance_of_return, silent_hours
from forecast.windows import Window, in_sample, rolling_windows

LEAST_HOURS = 24
LEAST_WEEK_DAYS = 14
"""Days, begun ones too, from which on a history has its own shape of the week."""
MUCH_MISSING = 0.1
CEILING = 4.0
"""Paths stop at this multiple of the largest hour in history; growth and events declared by the user come on top."""
LEAST_LEVELS = 4
EMPIRICAL_CEILING = 2.0
"""The same where paths are drawn from history, whose largest hours are in the draw already."""
UNFORECASTABLE = 0.8
"""Backtest WAPE from which on the past itself is the better forecast of the hours."""

MEAN, DECLARED = "mean of history", "declared level"
"""Methods where nothing can be estimated."""
NO_HOUR = "no observed hour: nothing is forecast; give a level of your own (forecast.levels)"
NO_REQUEST = "no request in history: nothing is forecast; give a level of your own (forecast.levels)"


@dataclass(frozen=True, slots=True)
class Task:
    """What is wanted of every series: the hours to forecast, how many past windows of how many days to learn from, and
    whose public holidays apply."""

    future: pd.DatetimeIndex
    windows: int
    window_days: int
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """point [hours]: the forecast; model: what paths are drawn from, calibration still missing; past: its scores;
    empirical: drawn from history itself, because hours are not forecastable; course: [hours], the factor that history's
    rise or fall has on the forecast; recent: mean requests an hour of the last four weeks at today's level, what the
    forecast is explained against, 0 of a service that stopped; seen: observed hours since the first request; silent:
    hours since its last request where it stopped (forecast/stop.py)."""

    point: FloatArray
    model: PathModel
    past: Scored
    method: str
    degradations: tuple[str, ...]
    empirical: bool
    course: FloatArray
    recent: float
    seen: int
    silent: int = 0

    @property
    def stop_note(self) -> str:
        """What to say of a service that stopped."""
        return (
            f"no request for {self.silent // 24} days: taken as stopped, with a chance of {self.model.runs:.0%} that "
            "it is back as it was; leave the series out if it is gone for good, declare an event over those days if it "
            "is only paused"
        )


def prepare(observed: pd.Series, task: Task, seed: int = 0, shape: FloatArray | None = None) -> Prepared:
    """Forecast one hourly series (NaN: unobserved).

    shape: requests by hour of the week of other series, sum 1, which a history under two weeks borrows. Raises
    ValueError and LinAlgError where a method fails on it; `prepared_or_fallback` does not.
    """
    rng = np.random.default_rng(seed)
    future, country = task.future, task.country
    clean = without_holidays(observed, country)
    complete, unseen = filled(clean)
    history, shift = settled(complete)
    values = history.to_numpy()
    levels = weekly_levels(values, ~unseen)
    point, method, degraded = combined(history, future, levels)
    notes = list(degraded)
    if shift is not None:
        notes.append(f"level shift x {shift.factor:.2f} on {shift.day:%Y-%m-%d}: history before is scaled to it")
    if shape is not None and -(-len(observed) // 24) < LEAST_WEEK_DAYS:
        borrowed = from_shape(clean, shape, future)
        whole = len(observed) >= HOURS_PER_WEEK
        point = (point + borrowed) / 2.0 if whole else borrowed
        method = "pooled shape of other series" + (f" and {method}" if whole else "")
        notes.append("under two weeks of history: the week's shape is borrowed from other series")
    past = rolling_windows(observed, task.windows, task.window_days, country)
    course = expected_course(levels, len(future))
    share = last_week_share(past) if len(observed) >= 4 * HOURS_PER_WEEK else 0.0
    if share > 0.0:
        past = with_last_week(past, share)
        point = mixed(point, seasonal_naive(history, future), share)
        course = course ** (1.0 - share)
        method += f" with {share:.0%} of the last week"
    bank = bank_from_windows(
        [PastErrors(w.ordinary, w.forecast, w.quiet, w.date) for w in past],
        in_sample(history, clean if shift is None else clean.where(clean.index >= shift.day), country),
    )
    model = PathModel(
        point=as_sundays(point, future, country), bank=bank, belief=believe(levels), levels=levels,
        ceiling=CEILING * float(observed.max()),
    )  # fmt: skip
    evidence = [examine(w, model, rng) for w in past]
    result = Prepared(
        point=model.point, model=model, past=scored(past, method, evidence, len(future) / 24), method=method,
        degradations=tuple(notes), empirical=False, course=course, recent=float(values[-4 * HOURS_PER_WEEK :].mean()),
        seen=seen_in_use(observed),
    )  # fmt: skip
    hopeless = bool(result.past.accuracy) and result.past.accuracy[0].wape > UNFORECASTABLE
    return (
        drawn_from_history(result, complete.to_numpy(), ~unseen, future, past, rng)
        if hopeless or not len(bank.date)
        else result
    )


def drawn_from_history(
    one: Prepared, history: FloatArray, seen: BoolArray, future: pd.DatetimeIndex, past: list[Window],
    rng: np.random.Generator,
) -> Prepared:  # fmt: skip
    """The same series with paths drawn from its own days (forecast/empirical.py); seen: observed hours of history."""
    last_date = int(day_numbers(future[:1])[0]) - 1
    levels = weekly_levels(history, seen)
    model = replace(
        one.model,
        point=np.full(len(future), flat_level(history)),
        bank=empirical_bank(history, last_date, seen),
        belief=believe(levels),
        levels=levels,
        ceiling=EMPIRICAL_CEILING / CEILING * one.model.ceiling,
        # The mean of a few weeks says too little of what weeks are on average.
        mean=len(levels) >= LEAST_LEVELS,
    )

    def again(window: Window) -> Evidence:
        known = replace(window, forecast=np.full(len(window.forecast), flat_level(window.history)))
        bank = empirical_bank(window.history, int(window.date[0]) - 1, window.seen)
        return examine(known, replace(model, bank=bank), rng)

    evidence = [again(window) for window in past]
    # Scored as what is published of their hours: the median of what they are drawn from.
    medians = [replace(window, forecast=found.upper[0]) for window, found in zip(past, evidence, strict=True)]
    method = "median of its own past days"
    return replace(
        one, model=model, past=scored(medians, method, evidence, len(future) / 24), method=method, empirical=True
    )


def up_to(observed: pd.Series, last: pd.Timestamp) -> tuple[pd.Series, tuple[str, ...]]:
    """The series on every hour up to `last`, the hours it lacks unobserved, and what to say of it."""
    short = int((last - observed.index[-1]) / pd.Timedelta(hours=1))
    if short == 0:
        return observed, ()
    whole = observed.reindex(pd.date_range(observed.index[0], last, freq="h"))
    return whole, (f"history ends {short} h before the other series: those hours count as unobserved",)


def prepared_or_fallback(observed: pd.Series, task: Task, seed: int = 0, shape: FloatArray | None = None) -> Prepared:
    """The series from its launch on by `prepare`, or by the mean of what was observed under a wide prior where that
    cannot be done; says which."""
    silent = silent_hours(observed)
    used, before = launched(as_it_ran(observed, silent))
    found = _prepared_or_mean(used, task, seed, shape)
    notes = list(found.degradations)
    if silent:
        found = stopped(found, observed, silent)
        notes.append(found.stop_note)
    missing = float(observed.iloc[before:].isna().mean())
    if missing > MUCH_MISSING and found.method != MEAN:
        notes.append(
            f"{missing:.0%} of the hours are unobserved: told from their hours of the week, at their days' levels"
        )
    if before:
        notes.append(
            f"launched {used.index[0]:%Y-%m-%d %H:00}: the {before} h without a request before are not history"
        )
    return replace(found, degradations=tuple(notes))


def stopped(one: Prepared, observed: pd.Series, silent: int) -> Prepared:
    """A series as it ran, gone on all but a share of its paths, on which it is back and never above what was seen."""
    model = replace(one.model, runs=chance_of_return(silent), ceiling=float(observed.max()))
    return replace(one, model=model, recent=0.0, silent=silent, seen=seen_in_use(observed))


def _prepared_or_mean(observed: pd.Series, task: Task, seed: int, shape: FloatArray | None) -> Prepared:
    seen = int(observed.notna().sum())
    in_use = seen_in_use(observed)
    if seen >= LEAST_HOURS and in_use:
        try:
            return prepare(observed, task, seed, shape)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError, IndexError) as error:
            why = f"fell back to the mean of history: {type(error).__name__}: {error}"
    elif in_use:
        why = f"only {seen} observed hours: their mean, under a wide prior"
    else:
        why = NO_REQUEST if seen else NO_HOUR
    level = float(observed.mean()) if seen else 0.0
    point = np.full(len(task.future), level)
    if shape is not None and in_use:
        point = from_shape(observed, shape, task.future)
        why += ", in the shape of other series' weeks"
    levels = weekly_levels(np.array([level]))
    known = observed.dropna().to_numpy(dtype=np.float64)
    last_date = int(day_numbers(task.future[:1])[0]) - 1
    model = PathModel(
        point, empirical_bank(known[: len(known) // 24 * 24], last_date), believe(levels), levels,
        CEILING * float(observed.max()) if seen else 0.0,
    )  # fmt: skip
    return Prepared(point, model, NOTHING, MEAN, (why,), True, np.ones(len(point)), level, in_use)
