"""The forecast of a plan: clean, combine, backtest, simulate, reduce."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.forecasting import ForecastPolicy
from data.forecast_records import Accuracy, Forecast, SeriesForecast
from data.frames import KEYS
from data.history import TrafficHistory
from data.records import SeriesKey
from data.units import HOURS_PER_WEEK
from forecast.backtest import quiet_days
from forecast.paths import simulate
from forecast.scenarios import demand_from_paths, whole_months
from forecast.single import Prepared, prepared_or_fallback, up_to


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


def grade(accuracy: tuple[Accuracy, ...], hours: int, empty: bool = False) -> tuple[str, str]:
    """A to D, and the reason with its consequence."""
    if empty:
        return "D", "no traffic in history: nothing to forecast from; give a level of your own"
    if hours < HOURS_PER_WEEK:
        return "D", f"only {hours} h of history: no season is visible; the interval rests on a stated prior"
    if not accuracy:
        return "D", "too short for a single backtest window; the interval rests on a stated prior"
    own, naive = accuracy[0], accuracy[1]
    scores = f"WAPE {own.wape:.2f}, seasonal naive {naive.wape:.2f}, over {own.windows} windows"
    if hours < 3 * HOURS_PER_WEEK:
        return "C", f"{scores}; under three weeks: the weekly season rests on one or two weeks"
    if own.wape > 0.8:
        return "D", f"{scores}: hours are not forecastable; plan for its quantiles, not for its median"
    if own.wape > 0.4:
        return "C", f"{scores}: rough; quantiles are wide"
    return ("A" if own.wape <= 0.2 else "B"), scores


def forecast(history: TrafficHistory, policy: ForecastPolicy, seed: int) -> Forecast:
    """Quantiles of every series, their accuracy on history, and the demand scenarios of the plan.

    A series that is too short, ends early or fails falls back, and its degradations say so; none stops the others.
    Raises InputError where no series has an observed hour.
    """
    frame = history.frame
    last = frame["ts"].max()
    future = horizon(last, policy.horizon_months)
    months = whole_months(future)
    quiet = quiet_days(future, policy.holidays_country)
    rng = np.random.default_rng(seed)
    keys: list[SeriesKey] = []
    ready: list[Prepared] = []
    lengths: list[int] = []
    empty: list[bool] = []
    if not frame["requests"].notna().any():
        raise InputError("traffic history", "an observed hour", "none in any series", "Add history.")
    for name, one in frame.groupby(KEYS):
        key = SeriesKey(*map(str, name))
        observed, late = up_to(one.set_index("ts")["requests"].asfreq("h"), last)
        keys.append(key)
        lengths.append(int(observed.notna().sum()))
        empty.append(not bool((observed > 0.0).any()))
        one_ready = prepared_or_fallback(
            observed, future, policy.backtest_windows, policy.backtest_horizon_days, rng, policy.holidays_country
        )
        ready.append(replace(one_ready, degradations=(*late, *one_ready.degradations)))
    paths = simulate(
        np.stack([one.point for one in ready]), [one.bank for one in ready], quiet,
        np.array([one.sigma for one in ready]), policy.growth_per_month, policy.growth_per_month_sd,
        np.array([one.ceiling for one in ready]), policy.paths, rng,
    )  # fmt: skip
    series = []
    for i, key in enumerate(keys):
        accuracy = ready[i].accuracy
        letter, reason = grade(accuracy, lengths[i], empty[i])
        levels = list(policy.quantiles)
        totals = np.stack([np.quantile(paths[i][:, m.start : m.stop].sum(axis=1), levels) for m in months])
        peaks = np.stack([np.quantile(paths[i][:, m.start : m.stop].max(axis=1), levels) for m in months])
        series.append(
            SeriesForecast(
                key=key,
                hours=future.tz_convert(None).to_numpy(),
                levels=policy.quantiles,
                hourly=np.quantile(paths[i], levels, axis=0).T,
                months=tuple(m.label for m in months),
                monthly_total=totals,
                monthly_peak_hour=peaks,
                method=ready[i].method,
                grade=letter,
                reason=reason,
                accuracy=accuracy,
                degradations=ready[i].degradations,
            )
        )
    demand = demand_from_paths(tuple(keys), paths, months, policy.scenarios, policy.burst_factor)
    notes = []
    if months and future[0].strftime("%Y-%m") != months[0].label:
        notes.append(
            f"hours up to the end of {future[0]:%B %Y} are forecast but not planned: planning starts {months[0].label}"
        )
    if policy.growth_per_month:
        notes.append(f"declared growth of {policy.growth_per_month:+.1%} a month on top of history")
    return Forecast(tuple(series), demand, f"{last:%Y-%m-%dT%H:%MZ}", tuple(notes))
