"""`fleetcast autoscale`: how every pool of a plan, or one configuration, is scaled, and where reacting is too late."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.loading import LoadedScenario, load_scenario
from data.history import TrafficHistory
from data.ingest import load_history
from data.load_traces import Load
from data.records import Configuration
from data.scaling_records import BurstBudget, Candidate, LoadTrace, PoolScaling, Timeline
from flows.progress import report
from flows.scaling_loads import busiest_shape, loads, read_traces
from flows.scaling_pools import PoolAsk, one_pool, pools_of, read_plan
from flows.scaling_replica import Replica, replica
from models.autoscaler.choose import Question, choose, supply_factor, warm_reserve
from models.autoscaler.facts import followed_growth_per_min
from models.autoscaler.run import watch
from reports.scaling import said

TIMELINE_S = 60.0


def autoscale_run(
    run: Path, config: str | None, traces: Sequence[Path], data_folder: Path | None = None
) -> tuple[PoolScaling, ...]:
    """Every pool of a run folder. config: the scenario, where the one in the folder names files relative to a place
    that it is no longer in. Raises InputError for what cannot be read."""
    plan = read_plan(run)
    kept = run / "scenario.yaml"
    loaded = load_scenario(config if config is not None else str(kept))
    demand = run / "demand.parquet"
    scenarios = pd.read_parquet(demand) if demand.is_file() else None
    asks = pools_of(plan, loaded.scenario.autoscaling.max_replicas, scenarios)
    if not asks:
        raise InputError(str(run), "a plan with pools", "none", "See `plan.json`, status.")
    return _scale(loaded, asks, read_traces(loaded, traces), data_folder)


def autoscale_one(
    config: str | None,
    one: Configuration,
    classes: Sequence[str],
    peak_rps: float,
    traces: Sequence[Path],
    data_folder: Path | None = None,
) -> tuple[PoolScaling, ...]:
    """One configuration under classes of a scenario at a peak."""
    loaded = load_scenario(config)
    history = load_history(loaded.scenario.traffic, loaded.base, data_folder, loaded.scenario.seed)
    known = replica(loaded, history, one, classes)
    ask = one_pool(loaded.scenario, known.capacity.configuration, classes, peak_rps, known.facts.operating_rps)
    return (_pool(loaded, history, ask, known, read_traces(loaded, traces)),)


def _scale(
    loaded: LoadedScenario, asks: Sequence[PoolAsk], traces: Sequence[Load], data_folder: Path | None
) -> tuple[PoolScaling, ...]:
    history = load_history(loaded.scenario.traffic, loaded.base, data_folder, loaded.scenario.seed)
    curves: dict[tuple[Configuration, tuple[str, ...]], Replica] = {}
    found = []
    for ask in asks:
        report(f"scaling {ask.configuration.label} in {ask.region}")
        key = (ask.configuration, ask.request_classes)
        if key not in curves:
            curves[key] = replica(loaded, history, ask.configuration, ask.request_classes)
        found.append(_pool(loaded, history, ask, curves[key], traces))
    return tuple(found)


def _pool(
    loaded: LoadedScenario, history: TrafficHistory, ask: PoolAsk, known: Replica, traces: Sequence[Load]
) -> PoolScaling:
    policy = loaded.scenario.autoscaling
    facts = known.facts
    burst = BurstBudget(policy.burst.factor, policy.burst.ramp_s, policy.burst.hold_s, policy.burst.short_s)
    shape = busiest_shape(history, ask.configuration.llm, ask.request_classes)
    days, weights = loads(ask, shape, loaded.scenario, traces, facts)
    peak_hour = ask.peak_rps / loaded.scenario.forecast.burst_factor
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
    )
    chosen = choose(asked)
    plain = next(kind for kind in chosen.kinds if kind.name == "reaction")
    at = facts.operating_rps / facts.knee_rps
    shorts = [row.short_s for row in plain.best.verdicts]
    hardest = days[shorts.index(max(shorts))]
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
        timelines=(
            ("chosen", _timeline(chosen.best, hardest, asked)),
            ("reaction", _timeline(plain.best, hardest, asked)),
        ),
        method=known.method,
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
