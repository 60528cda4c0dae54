"""One pool held against its days: the policy that is chosen, what simpler ones miss it by, and how it goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from configs.schema import Scenario
from data.catalog import find_gpu
from data.history import TrafficHistory
from data.load_traces import Load
from data.records import BoolArray
from data.scaling_records import BurstBudget, Candidate, LoadTrace, PoolScaling, Timeline
from flows.scaling_loads import busiest_shape, loads
from flows.scaling_pools import PoolAsk
from flows.scaling_replica import Replica
from models.autoscaler.choose import Question, choose, coarse_step_s, coarser, supply_factor, warm_reserve
from models.autoscaler.facts import followed_growth_per_min
from models.autoscaler.run import watch
from reports.scaling import said

TIMELINE_S = 60.0
AROUND_S = 1.5 * 3600.0
"""What is kept of a timeline, on either side of the moment at which plain reaction has the least to spare."""


def scale_pool(
    scenario: Scenario,
    history: TrafficHistory,
    ask: PoolAsk,
    known: Replica,
    traces: Sequence[Load] = (),
    brief: bool = False,
) -> PoolScaling:
    """The pool held against its days; brief: a few dozen policies in coarse steps. Raises InputError for a history
    without a whole day."""
    policy = scenario.autoscaling
    facts = known.facts
    burst = BurstBudget(policy.burst.factor, policy.burst.ramp_s, policy.burst.hold_s, policy.burst.short_s)
    shape = busiest_shape(history, ask.configuration.llm, ask.request_classes)
    days, weights = loads(ask, shape, scenario, traces, facts)
    peak_hour = ask.peak_rps / scenario.forecast.burst_factor
    asked = Question(
        facts=facts,
        start_up=known.start_up,
        burst=burst,
        promise=known.promise,
        signals=policy.signals,
        traces=tuple(days),
        weights=tuple(weights),
        trough_rps=float(shape.min() / shape.max()) * peak_hour,
        peak_rps=peak_hour,
        max_replicas=ask.max_replicas,
        usd_per_replica_h=ask.usd_per_replica_h,
        interval_s=policy.interval_s,
        forecast=policy.forecast,
        nodes_per_min=policy.nodes_per_min or math.inf,
        brief=brief,
    )
    chosen = choose(asked)
    plain = next(kind for kind in chosen.kinds if kind.name == "reaction")
    at = facts.operating_rps / facts.knee_rps
    shorts = [row.short_s for row in plain.best.verdicts]
    hardest = days[shorts.index(max(shorts))]
    seen = coarser(hardest, coarse_step_s(policy.interval_s)) if brief else hardest
    timelines = (_timeline(chosen.best, seen, asked), _timeline(plain.best, seen, asked))
    kept = _telling(timelines[1], facts.knee_rps)
    found = PoolScaling(
        llm=ask.configuration.llm,
        region=ask.region,
        request_classes=ask.request_classes,
        configuration=known.capacity.configuration,
        facts=facts,
        start_up=known.start_up,
        promise=known.promise,
        burst=burst,
        peak_rps=peak_hour,
        chosen=chosen.best,
        chosen_kind=chosen.kind,
        kinds=chosen.kinds,
        signals=chosen.signals,
        follows_per_min=followed_growth_per_min(at, known.start_up, policy.interval_s),
        warm_reserve=warm_reserve(chosen.best, facts, chosen.load, peak_hour),
        supply_factor=supply_factor(facts, ask.max_replicas, peak_hour),
        usd_per_replica_h=ask.usd_per_replica_h,
        fixed_usd_per_day=24.0 * ask.usd_per_replica_h * ask.max_replicas,
        policies=chosen.tried,
        statement="",
        schedule=_schedule(chosen.best, days[0]),
        pictured=hardest.name,
        timelines=(("chosen", _cut(timelines[0], kept)), ("reaction", _cut(timelines[1], kept))),
        method=f"{known.method}; {'brief search in' if brief else 'search in'} steps of {seen.step_s:g} s",
        assumed=(
            ("GPU price", ask.priced_as_of),
            ("start-up times", policy.start_up.as_of),
            ("GPU figures", find_gpu(ask.configuration.gpu).source.as_of),
        ),
    )
    return replace(found, statement=said(found))


def _schedule(one: Candidate, median: LoadTrace) -> tuple[int, ...]:
    """What the policy wants by the forecast of a median day, by hour."""
    policy = one.policy
    if policy.reactive:
        return ()
    hours = median.expected_rps.reshape(24, -1).max(axis=1)
    wanted = np.ceil(hours / policy.forecast_rps - 1e-9).astype(int) + policy.headroom
    return tuple(int(n) for n in np.clip(wanted, policy.min_replicas, policy.max_replicas))


def _telling(plain: Timeline, knee_rps: float) -> BoolArray:
    """The minutes about the one in which the ready replicas have the least to spare."""
    middle = plain.seconds[int(np.argmin(plain.ready * knee_rps - plain.load_rps))]
    begin = min(max(middle - AROUND_S, 0.0), max(float(plain.seconds[-1]) - 2 * AROUND_S, 0.0))
    return np.asarray((plain.seconds >= begin) & (plain.seconds <= begin + 2 * AROUND_S))


def _cut(line: Timeline, kept: BoolArray) -> Timeline:
    return Timeline(*(getattr(line, one.name)[kept] for one in fields(Timeline)))


def _timeline(one: Candidate, day: LoadTrace, asked: Question) -> Timeline:
    """By the minute."""
    whole = watch(one.policy, day, asked.facts, asked.start_up, asked.interval_s, asked.nodes_per_min)
    width = max(round(TIMELINE_S / asked.interval_s), 1)
    minutes = len(whole.seconds) // width

    def each(values: Any, how: Any) -> Any:
        return how(values[: minutes * width].reshape(minutes, width), axis=1)

    return Timeline(
        seconds=each(whole.seconds, np.min),
        load_rps=each(whole.load_rps, np.mean),
        ready=each(whole.ready, np.min),
        wanted=each(whole.wanted, np.max),
        queue=each(whole.queue, np.max),
    )
