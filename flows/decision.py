"""One month decided and then lived through: demand by any rule, the plan it leads to, what it costs and what it misses.

The same optimizer, capacities and prices serve every rule, so that only the view of demand differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from configs.forecasting import ForecastPolicy
from data.history import TrafficHistory
from data.ledger.records import HOUR, Actual
from data.plan_records import FleetPlan, FleetProblem, HeldCommitment
from data.records import Demand, FloatArray, SeriesKey
from data.units import HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR
from flows.ledger import actuals
from forecast import portfolio
from forecast.scenarios import Month, demand_from_summaries, summarise
from reconcile.capacity import by_api, capacity_score, supply

BUFFER = 1.3
"""What the usual spreadsheet adds to last week."""
PEAK_WEEKS = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known when a month is planned, and what came: history up to the month, its first hour and length, and
    its actual requests by series, [hours], NaN where not observed."""

    month: str
    history: TrafficHistory
    first_hour: np.datetime64
    hours: int
    actual: Mapping[SeriesKey, FloatArray]
    policy: ForecastPolicy
    seed: int
    days: int | None = None
    """The length of the span where it is not a calendar month; its name is then its first day."""

    @property
    def paid_hours(self) -> float:
        """The hours that the month's cost in a plan stands for."""
        return float(self.hours) if self.days is None else HOURS_PER_MONTH


Rule = Callable[[Moment], Demand]


def until(history: TrafficHistory, cut: np.datetime64) -> TrafficHistory:
    """History as it was known at an hour."""
    frame = history.frame
    return replace(history, frame=frame[frame["ts"] < pd.Timestamp(cut, tz="UTC")].reset_index(drop=True))


def certain(moment: Moment, hourly: Mapping[SeriesKey, FloatArray]) -> Demand:
    """Demand of one month known for certain: requests of every hour by series."""
    keys = tuple(sorted(hourly, key=str))
    whole = (Month(moment.month, 0, moment.hours),)
    summaries = [summarise(hourly[key][None, :].astype(np.float32), whole) for key in keys]
    return demand_from_summaries(keys, summaries, whole, 1, moment.policy.burst_factor)


def fleetcast(moment: Moment) -> Demand:
    """The forecast's scenarios."""
    policy = moment.policy.model_copy(update={"horizon_months": 1})
    return portfolio.forecast(moment.history, policy, moment.seed, days=moment.days).demand


def clairvoyant(moment: Moment) -> Demand:
    """What came; hours that were not observed are taken as last week's."""
    naive = _last_week(moment)
    return certain(moment, {key: np.where(np.isnan(real), naive[key], real) for key, real in moment.actual.items()})


def naive_with_buffer(moment: Moment) -> Demand:
    """Last week again and again, plus 30 %."""
    return certain(moment, {key: BUFFER * values for key, values in _last_week(moment).items()})


def flat_peak(moment: Moment) -> Demand:
    """The largest hour of the last four weeks, in every hour."""
    found = {}
    for one in actuals(moment.history):
        recent = one.requests[-PEAK_WEEKS * HOURS_PER_WEEK :]
        found[one.key] = np.full(moment.hours, float(np.nanmax(recent)))
    return certain(moment, found)


RULES: Mapping[str, Rule] = {
    "fleetcast": fleetcast,
    "clairvoyant": clairvoyant,
    "seasonal naive + 30 %": naive_with_buffer,
    "flat peak": flat_peak,
}


BUFFERS = ("seasonal naive + 30 %", "flat peak")


def _last_week(moment: Moment) -> dict[SeriesKey, FloatArray]:
    found = {}
    for one in actuals(moment.history):
        week = one.requests[-HOURS_PER_WEEK:]
        week = np.where(np.isnan(week), np.nanmean(week), week)
        found[one.key] = week[np.arange(moment.hours) % len(week)]
    return found


@dataclass(frozen=True, slots=True)
class Lived:
    """A month under one plan: cash of the fleet it provisions, in the observed share of the month, US dollars; hours
    and requests short, where load is the hour's mean times the burst factor; GPUs run; whether a plan was found."""

    month: str
    rule: str
    observed_hours: int
    usd: float
    short_hours: int
    reserve_hours: int
    unserved_requests: float
    requests: float
    gpus: int
    status: str


def live(moment: Moment, rule: str, problem: FleetProblem, plan: FleetPlan) -> Lived:
    """What a plan costs and misses in the month that came."""
    by_llm: dict[str, FloatArray] = {}
    for key, real in moment.actual.items():
        by_llm[key.llm] = by_llm[key.llm] + real if key.llm in by_llm else real
    seen = max((int((~np.isnan(real)).sum()) for real in by_llm.values()), default=0)
    burst, short, reserve, unserved = moment.policy.burst_factor, 0, 0, 0.0
    for llm, real in by_llm.items():
        there = supply(plan.pools, llm, moment.month)
        to_api = by_api(moment.actual, llm, {key: one.rps_max for key, one in problem.api.items()}, burst)
        score = capacity_score(llm, moment.month, real, there, burst, problem.planning_quantile, to_api)
        short, reserve = short + score.short_hours, reserve + score.reserve_hours
        over = (real - to_api) * burst / SECONDS_PER_HOUR - score.carried_rps
        unserved += float(np.nansum(np.maximum(over, 0.0))) * SECONDS_PER_HOUR / burst
    # What runs, and is paid, is the fleet of the design scenario: which scenario comes is not known beforehand.
    cash = plan.scenario_usd[plan.design_scenario] if plan.scenario_usd else 0.0
    return Lived(
        moment.month, rule, seen, cash * seen / moment.paid_hours, short, reserve, unserved,
        float(sum(np.nansum(real) for real in by_llm.values())),
        sum(pool.gpus for pool in plan.pools if pool.month == moment.month), plan.stats.status,
    )  # fmt: skip


def later(month: str, months: int) -> str:
    """The month `months` after another, YYYY-MM."""
    return str(np.datetime64(month, "M") + np.timedelta64(months, "M"))


def carried(plan: FleetPlan, held: tuple[HeldCommitment, ...]) -> tuple[HeldCommitment, ...]:
    """Commitments that the next month starts with: those held, and those just bought."""
    bought = tuple(
        HeldCommitment(one.region, one.gpu, one.gpus, one.usd_per_gpu_h, later(one.month, one.term_months))
        for one in plan.purchases
        if one.term_months > 0
    )
    return (*held, *bought)


def remaining_usd(held: tuple[HeldCommitment, ...], month: str) -> float:
    """What commitments still cost after a month, US dollars."""
    after = np.datetime64(later(month, 1), "M")
    return sum(
        one.gpus
        * one.usd_per_gpu_h
        * HOURS_PER_MONTH
        * max(int((np.datetime64(one.expires, "M") - after).astype(int)), 0)
        for one in held
    )


def moments(
    history: TrafficHistory, policy: ForecastPolicy, seed: int, least_weeks: int, least_days: int = 7,
    every_days: int | None = None,
) -> tuple[Moment, ...]:  # fmt: skip
    """Every calendar month, or with `every_days` every span of so many days, that has `least_weeks` of history before
    it in every series and at least `least_days` observed days in it (half a span, where that is less)."""
    known: tuple[Actual, ...] = actuals(history)
    first = max(one.first_hour for one in known) + least_weeks * HOURS_PER_WEEK * HOUR
    end = max(one.end for one in known)
    if every_days is not None:
        return _spans(history, known, policy, seed, (first, end), every_days, min(least_days, every_days // 2))
    start = first.astype("datetime64[M]")
    start = start if start.astype("datetime64[h]") == first else start + np.timedelta64(1, "M")
    found = []
    while (start.astype("datetime64[h]") + least_days * 24 * HOUR) <= end:
        begin = start.astype("datetime64[h]")
        stop = (start + np.timedelta64(1, "M")).astype("datetime64[h]")
        hours = int((stop - begin) / HOUR)
        real = {one.key: one.between(begin, stop) for one in known}
        if all((~np.isnan(values)).sum() >= least_days * 24 for values in real.values()):
            found.append(Moment(str(start), until(history, begin), begin, hours, real, policy, seed))
        start = start + np.timedelta64(1, "M")
    return tuple(found)


def _spans(
    history: TrafficHistory, known: tuple[Actual, ...], policy: ForecastPolicy, seed: int,
    within: tuple[np.datetime64, np.datetime64], days: int, least_days: int,
) -> tuple[Moment, ...]:  # fmt: skip
    """Spans of so many days one after the other, from midnight on."""
    begin, end = within
    begin = (begin + 23 * HOUR).astype("datetime64[D]").astype("datetime64[h]")
    found = []
    while begin + least_days * 24 * HOUR <= end:
        stop = begin + days * 24 * HOUR
        real = {one.key: one.between(begin, stop) for one in known}
        if all((~np.isnan(values)).sum() >= least_days * 24 for values in real.values()):
            name = str(begin.astype("datetime64[D]"))
            found.append(Moment(name, until(history, begin), begin, 24 * days, real, policy, seed, days))
        begin = stop
    return tuple(found)


def scaled(rule: Rule, factor: float) -> Rule:
    """A rule with its demand times a factor."""

    def demand(moment: Moment) -> Demand:
        plain = rule(moment)
        return replace(plain, rps=plain.rps * factor)

    return demand
