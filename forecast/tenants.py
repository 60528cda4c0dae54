"""Each tenant's part of a series: its share, how shares of this class have moved, and totals that add up.

Shares are taken on a log scale, week by week; the share now is their mean, recent weeks weighted more. How far shares
stray is not modelled but measured: every past week is an origin, and the error of its smoothed shares so many weeks
ahead is one draw, taken for all tenants at once, so that one tenant's gain is another's loss. In every draw the tenants
of a series add up to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.forecast_records import SeriesForecast, TenantForecast
from data.history import TenantDays
from data.records import FloatArray

HALF_LIFE_WEEKS = 4.0
MOST_WEEKS = 52
MONTH_WEEKS = 4
LEAST_ORIGINS = 3
PRIOR_SD = 0.25
"""Standard deviation of the log of a share a month ahead where history is too short to tell. Assumption (2026-11)."""
DRAWS = 2000


def weekly_log_shares(days: TenantDays) -> FloatArray:
    """Log of each tenant's share of the last whole weeks, [weeks, tenants], oldest first; half a request stands in for
    none. A week without any request (a gap in the log) says nothing of shares: NaN. Under a week counts as one."""
    weeks = min(len(days.requests) // 7, MOST_WEEKS)
    if weeks == 0:
        sums = days.requests.sum(axis=0, keepdims=True)
    else:
        sums = days.requests[len(days.requests) - 7 * weeks :].reshape(weeks, 7, -1).sum(axis=1)
    logs = np.log((sums + 0.5) / (sums + 0.5).sum(axis=1, keepdims=True))
    seen = sums.sum(axis=1) > 0
    logs[~seen] = np.nan
    return np.asarray(logs[int(seen.argmax()) :])


def smoothed(logs: FloatArray) -> FloatArray:
    """The level after each week, [weeks, tenants]: means of the weeks seen until then, half as heavy every four weeks
    of the calendar. The first week is one that was seen."""
    weeks = len(logs)
    age = np.arange(weeks)[:, None] - np.arange(weeks)[None, :]
    weight = np.where(age >= 0, 0.5 ** (np.maximum(age, 0) / HALF_LIFE_WEEKS), 0.0) * np.isfinite(logs[:, 0])
    return np.asarray(weight @ np.nan_to_num(logs) / weight.sum(axis=1, keepdims=True))


def share_errors(logs: FloatArray, lead: int) -> FloatArray | None:
    """Errors of past levels against the mean share of the four weeks that begin `lead` weeks later, [origins, tenants],
    on the log scale; from the longest lead that history has, widened as a walk's are, where it does not reach so far.
    Weeks that nobody saw are in no mean. None under three origins."""
    there = len(logs) - MONTH_WEEKS - LEAST_ORIGINS
    if there < 0:
        return None
    used = min(lead, there)
    level, shares = smoothed(logs), np.exp(logs)
    seen = np.isfinite(shares[:, 0])
    view = np.lib.stride_tricks.sliding_window_view
    number = view(seen, MONTH_WEEKS).sum(axis=-1)
    windows = view(np.nan_to_num(shares), MONTH_WEEKS, axis=0).sum(axis=-1) / np.maximum(number, 1)[:, None]
    origins = len(logs) - MONTH_WEEKS - used
    kept = (number[1 + used :][:origins] > 0) & seen[:origins]
    if kept.sum() < LEAST_ORIGINS:
        return None
    errors = np.log(windows[1 + used :][:origins][kept]) - level[:origins][kept]
    return np.asarray(errors * np.sqrt((lead + MONTH_WEEKS) / (used + MONTH_WEEKS)))


def share_draws(logs: FloatArray, lead: int, rng: np.random.Generator, draws: int = DRAWS) -> FloatArray:
    """Shares of a month `lead` weeks ahead, [draws, tenants], every row adding up to 1. Errors are drawn with either
    sign: that a tenant grew is no promise that it goes on."""
    level, errors = smoothed(logs)[-1], share_errors(logs, lead)
    if errors is None:
        moved = rng.normal(0.0, PRIOR_SD * np.sqrt((lead + MONTH_WEEKS) / MONTH_WEEKS), (draws, len(level)))
    else:
        moved = errors[rng.integers(len(errors), size=draws)] * rng.choice([-1.0, 1.0], size=(draws, 1))
    raw = np.exp(level + moved)
    return np.asarray(raw / raw.sum(axis=1, keepdims=True))


def tenant_forecasts(
    known: Mapping[tuple[str, str], TenantDays], series: Sequence[SeriesForecast], seed: int
) -> tuple[TenantForecast, ...]:
    """Month totals of every tenant of every series whose class names tenants, by LLM and class; regions share alike.

    The share is drawn independently of the series' own total.
    """
    found = []
    for number, one in enumerate(series):
        days = known.get((one.key.llm, one.key.request_class))
        if days is None:
            continue
        rng = np.random.default_rng([seed, number])
        logs = weekly_log_shares(days)
        level = np.exp(smoothed(logs)[-1])
        totals = np.empty((len(one.months), len(days.tenants), len(one.levels)))
        for m, month in enumerate(one.months):
            begin = np.datetime64(month, "M").astype("datetime64[D]")
            lead = max(int((begin - one.hours[0].astype("datetime64[D]")).astype(int)) // 7, 0)
            volume = np.interp(rng.random(DRAWS), one.levels, one.monthly_total[m])
            mine = share_draws(logs, lead, rng) * volume[:, None]
            totals[m] = np.quantile(mine, list(one.levels), axis=0).T
        found += [
            TenantForecast(one.key, tenant, float(level[i] / level.sum()), one.levels, one.months, totals[:, i])
            for i, tenant in enumerate(days.tenants)
        ]
    return tuple(found)
