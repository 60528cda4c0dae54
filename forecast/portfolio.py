"""The forecast of a plan: clean, combine, backtest, calibrate, simulate, reduce."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.forecasting import DeclaredLevel, ForecastPolicy
from data.forecast_records import Forecast, SeriesForecast
from data.frames import KEYS
from data.history import TrafficHistory
from data.records import BoolArray, Demand, Float32Array, FloatArray, SeriesKey
from forecast.backtest import with_intervals
from forecast.calibrate import calibration, together
from forecast.clean import in_use, launched
from forecast.cold import pooled_shape, week_shape
from forecast.declared import check_declared, declared_for, with_declared
from forecast.events import Effect, check_events, coming, without_events
from forecast.explain import parts_of
from forecast.grade import grade
from forecast.hierarchy import Sums
from forecast.lengths import length_forecasts
from forecast.parallel import Spread, prepare_all
from forecast.paths import Growth, PathModel, compound, simulate
from forecast.scenarios import (
    Month,
    PathSummary,
    demand_from_summaries,
    demand_of_paths,
    reduction,
    summarise,
    whole_months,
)
from forecast.single import LEAST_WEEK_DAYS, Prepared, Task, up_to
from forecast.stop import as_it_ran, silent_hours
from forecast.windows import quiet_days

FRESH_SEED = 1


@dataclass(frozen=True, slots=True)
class Input:
    """One series as it goes in: history up to the common last hour, events taken out, and what they do ahead; used: the
    same from its launch on; raw_hours: of these, how many were observed before events were taken out."""

    key: SeriesKey
    observed: pd.Series
    used: pd.Series
    raw_hours: int
    empty: bool
    effect: Effect
    declared: bool
    notes: tuple[str, ...]


def silent(_: str) -> None:
    """Progress that goes nowhere."""


def horizon(last: pd.Timestamp, months: int) -> pd.DatetimeIndex:
    """Hours from the one after `last` to the end of the `months`-th whole calendar month that starts after it."""
    start = last + pd.Timedelta(hours=1)
    first = (
        start
        if start == start.normalize().replace(day=1)
        else (start.normalize().replace(day=1) + pd.DateOffset(months=1))
    )
    end = first + pd.DateOffset(months=months)
    return pd.date_range(start, end, freq="h", inclusive="left")


def following(last: pd.Timestamp, days: int) -> pd.DatetimeIndex:
    """The hours of the next so many days."""
    return pd.date_range(last + pd.Timedelta(hours=1), periods=24 * days, freq="h")


def quantiles(paths: Float32Array, levels: Sequence[float]) -> FloatArray:
    """Quantiles over paths of every hour, [hours, levels], linear between order statistics."""
    ordered = np.sort(np.ascontiguousarray(paths.T), axis=1)
    place = np.asarray(levels) * (ordered.shape[1] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, ordered.shape[1] - 1)
    below, above = ordered[:, low].astype(np.float64), ordered[:, high].astype(np.float64)
    return np.asarray(below + (above - below) * (place - low))


def inputs_of(history: TrafficHistory, policy: ForecastPolicy, future: pd.DatetimeIndex) -> list[Input]:
    """Every series of the frame, in its order."""
    found = []
    last = future[0] - pd.Timedelta(hours=1)
    for name, one in history.frame.groupby(KEYS):
        key = SeriesKey(*map(str, name))
        observed, late = up_to(one.set_index("ts")["requests"].asfreq("h"), last)
        effect = coming(observed, policy.events, key, future)
        clean = without_events(observed, policy.events, key)
        used, before = launched(as_it_ran(clean, silent_hours(clean)))
        found.append(
            Input(
                key,
                clean,
                used,
                int(observed.iloc[before:].notna().sum()),
                not bool((observed > 0.0).any()),
                effect,
                declared_for(key, policy.levels) is not None,
                late,
            )
        )
    return found


def borrowed_shapes(series: list[Input]) -> list[FloatArray | None]:
    """For every short series the pooled shape of the long ones of its class, else of all; None for long series."""
    own = [week_shape(one.used) for one in series]
    shapes: list[FloatArray | None] = []
    for one in series:
        if -(-in_use(one.used) // 24) >= LEAST_WEEK_DAYS and one.raw_hours >= 168:
            shapes.append(None)
            continue
        donors = [(other.key, shape) for other, shape in zip(series, own, strict=True) if shape is not None]
        alike = [shape for key, shape in donors if key.request_class == one.key.request_class]
        shapes.append(pooled_shape(alike or [shape for _, shape in donors]))
    return shapes


def calibrated(ready: list[Prepared]) -> list[Prepared]:
    """Every series with its calibration: pooled with the others of its kind (modelled, or drawn from history)."""
    pools = [one.past.pool for one in ready]
    everyone = {
        kind: together([pool for pool, one in zip(pools, ready, strict=True) if one.empirical is kind])
        for kind in (False, True)
    }
    found = []
    for one, pool in zip(ready, pools, strict=True):
        # Hours drawn from history are spread as history was: only those of a model are widened or narrowed.
        fit = calibration(pool, everyone[one.empirical], hours=not one.empirical)
        accuracy = with_intervals(one.past, everyone[one.empirical], hours=not one.empirical)
        past = replace(one.past, accuracy=accuracy)
        found.append(replace(one, model=replace(one.model, calibration=fit), past=past))
    return found


def at_declared_levels(
    ready: list[Prepared], series: list[Input], shapes: list[FloatArray | None], levels: tuple[DeclaredLevel, ...],
    future: pd.DatetimeIndex,
) -> list[Prepared]:  # fmt: skip
    """Series of which the user declared a level, at it; their hours err as those of the largest series of their class
    do, else of the largest of all. InputError where a declaration names no series."""
    check_declared(levels, [one.key for one in series])
    ranked = sorted(range(len(ready)), key=lambda i: -ready[i].recent)
    found = list(ready)
    for i, one in enumerate(series):
        said = declared_for(one.key, levels)
        if said is None:
            continue
        donors = [j for j in ranked if not ready[j].empirical and len(ready[j].model.bank.date)]
        alike = [j for j in donors if series[j].key.request_class == one.key.request_class]
        donor = ready[(alike or donors)[0]] if donors else None
        found[i] = with_declared(ready[i], said, future, shapes[i], donor)
    return found


def _series(
    one: Input, ready: Prepared, paths: Float32Array, summary: PathSummary, growth: Growth, months: tuple[Month, ...],
    future: pd.DatetimeIndex, levels: tuple[float, ...],
) -> SeriesForecast:  # fmt: skip
    accuracy = ready.past.accuracy
    missing = 1.0 - one.raw_hours / max(len(one.used), 1)
    letter, reason = grade(accuracy, one.raw_hours, one.empty, one.declared, ready.empirical, missing, ready.silent)
    totals = np.quantile(summary.total, list(levels), axis=0).T
    return SeriesForecast(
        key=one.key,
        hours=future.tz_convert(None).to_numpy(),
        levels=levels,
        hourly=quantiles(paths, levels),
        months=tuple(m.label for m in months),
        monthly_total=np.asarray(totals),
        monthly_peak_hour=np.asarray(np.quantile(summary.peak, list(levels), axis=0).T),
        method=ready.method,
        grade=letter,
        reason=reason,
        accuracy=accuracy,
        degradations=(*one.notes, *ready.degradations),
        parts=parts_of(ready, one.effect.factor, growth.factor, months, totals[:, levels.index(0.5)]),
    )


def forecast(
    history: TrafficHistory, policy: ForecastPolicy, seed: int, report: Callable[[str], None] = silent, fresh: int = 0,
    days: int | None = None, spread: Spread | None = None,
) -> Forecast:  # fmt: skip
    """Quantiles of every series, their accuracy on history, and the demand scenarios of the plan.

    A series that is too short, ends early or fails falls back, and its degradations say so; none stops the others.
    report is called with what is being done; spread prepares series elsewhere; `fresh` paths are drawn anew beside
    those of the plan. Raises InputError where no series has an observed hour. With `days`, these next days are the only
    span, named by their first, instead of calendar months.
    """
    if not history.frame["requests"].notna().any():
        raise InputError("traffic history", "an observed hour", "none in any series", "Add history.")
    last = history.frame["ts"].max()
    future = horizon(last, policy.horizon_months) if days is None else following(last, days)
    months = whole_months(future) if days is None else (Month(f"{future[0]:%Y-%m-%d}", 0, len(future)),)
    quiet: BoolArray = quiet_days(future, policy.holidays_country)
    series = inputs_of(history, policy, future)
    idle = check_events(policy.events, [one.key for one in series], history.frame["ts"].min(), future)
    task = Task(future, policy.backtest_windows, policy.backtest_horizon_days, policy.holidays_country)
    shapes = borrowed_shapes(series)
    jobs = [(one.observed, task, seed + i, shape) for i, (one, shape) in enumerate(zip(series, shapes, strict=True))]
    ready = calibrated(prepare_all(jobs, policy.workers, report, spread))
    ready = at_declared_levels(ready, series, shapes, policy.levels, future)
    declared = compound(len(future), policy.growth_per_month, policy.growth_per_month_sd, policy.growth_saturation)
    growth = [declared.with_events(one.effect.factor, one.effect.deviation) for one in series]
    keys = [one.key for one in series]
    sums = Sums(keys, policy.paths, len(future))
    made: list[SeriesForecast] = []
    summaries: list[PathSummary] = []
    models = [one.model for one in ready]
    every = simulate(models, quiet, growth, policy.paths, np.random.default_rng(seed))
    for i, paths in enumerate(every):
        sums.add(i, paths)
        summaries.append(summarise(paths, months))
        made.append(_series(series[i], ready[i], paths, summaries[i], declared, months, future, policy.quantiles))
    demand = demand_from_summaries(tuple(keys), summaries, months, policy.scenarios, policy.burst_factor)
    lengths = length_forecasts(history.frame, months, policy.quantiles, seed)
    whole = sums.peak("all", months) if len(keys) > 1 else summaries[0].peak
    lost = reduction(demand, summaries, months, whole, policy.burst_factor)
    notes = [
        *_notes(policy, future, months),
        *idle,
        *dict.fromkeys(note for one in series for note in one.effect.notes),
    ]
    notes += [one.note for one in lengths]
    notes.append(
        f"reduction to {policy.scenarios} scenarios: volume within {lost.volume:.1%}, 95 % peaks within "
        f"{lost.peak:.1%}, {lost.spread:.0%} of the spread of volumes lost; peaks of all series at once are "
        f"{lost.sum_peak:+.1%} against the 95 % peak of their sum"
    )
    return Forecast(
        tuple(made), demand, f"{last:%Y-%m-%dT%H:%MZ}", tuple(notes),
        groups=sums.quantiles(months, list(policy.quantiles)), lengths=lengths, reduction=lost,
        fresh=_fresh(keys, models, quiet, growth, months, policy, seed, fresh) if fresh else None,
    )  # fmt: skip


def _fresh(
    keys: list[SeriesKey], models: list[PathModel], quiet: BoolArray, growth: list[Growth], months: tuple[Month, ...],
    policy: ForecastPolicy, seed: int, paths: int,
) -> Demand:  # fmt: skip
    """Demand of paths that the plan's scenarios were not made from."""
    again = simulate(models, quiet, growth, paths, np.random.default_rng([seed, FRESH_SEED]))
    return demand_of_paths(tuple(keys), [summarise(one, months) for one in again], months, policy.burst_factor)


def _notes(policy: ForecastPolicy, future: pd.DatetimeIndex, months: tuple[Month, ...]) -> list[str]:
    notes = []
    if months and months[0].start > 0:
        notes.append(
            f"hours up to the end of {future[0]:%B %Y} are forecast but not planned: planning starts {months[0].label}"
        )
    if policy.growth_per_month:
        limit = "" if policy.growth_saturation is None else f", saturating at {policy.growth_saturation:g} times today"
        notes.append(f"declared growth of {policy.growth_per_month:+.1%} a month on top of history{limit}")
    return notes
