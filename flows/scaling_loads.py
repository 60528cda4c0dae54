"""The days that policies are held against: made from history and plan, and real traces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.loading import LoadedScenario
from configs.schema import Scenario
from data.history import TrafficHistory
from data.load_traces import Load, arrivals, day_from_hours, read_load, real_day, with_burst
from data.records import FloatArray
from data.scaling_records import BurstBudget, LoadTrace, ReplicaFacts
from data.units import SECONDS_PER_HOUR
from flows.scaling_pools import PoolAsk

RECENT_DAYS = 28


def busiest_shape(history: TrafficHistory, llm: str, classes: Sequence[str]) -> FloatArray:
    """Mean requests/s by hour [24] of the weekday with the highest hour, over the last weeks of history."""
    frame = history.frame
    mine = frame[(frame["llm"] == llm) & frame["request_class"].isin(list(classes))]
    hourly = mine.groupby("ts")["requests"].sum().sort_index().iloc[-RECENT_DAYS * 24 :]
    stamps = pd.DatetimeIndex(hourly.index)
    total, count = np.zeros((7, 24)), np.zeros((7, 24))
    np.add.at(total, (stamps.day_of_week, stamps.hour), hourly.to_numpy(dtype=np.float64))
    np.add.at(count, (stamps.day_of_week, stamps.hour), 1.0)
    whole = (count > 0).all(axis=1)
    if not whole.any():
        raise InputError(f"history of {llm}", "a whole day", f"{len(hourly)} hours", "Give a longer history.")
    means = total[whole] / count[whole]
    shape: FloatArray = means[int(np.argmax(means.max(axis=1)))] / SECONDS_PER_HOUR
    if shape.max() <= 0.0:
        raise InputError(
            f"history of {llm}", "requests in the last weeks", "none", "Check the traffic of the scenario."
        )
    return shape


def loads(
    ask: PoolAsk, shape: FloatArray, scenario: Scenario, traces: Sequence[Load], facts: ReplicaFacts
) -> tuple[list[LoadTrace], list[float]]:
    """The days that a policy is held against, and their weights in what it costs (0 for bursts and traces).

    The busiest day at the peak of every demand scenario up to the design, expected at the median; the burst on the
    design day at the steepest rise, the peak and the trough, unforeseen; every real trace at the design peak. Bursts
    stop at what all replicas carry.
    """
    burst, seed = scenario.autoscaling.burst, scenario.seed
    budget = BurstBudget(burst.factor, burst.ramp_s, burst.hold_s, burst.short_s)
    peak_hour = ask.peak_rps / scenario.forecast.burst_factor
    hours = shape * (peak_hour / shape.max())
    design = day_from_hours("design day", hours, "history, at the plan's peak")
    median = design.per_s * ask.median_share
    most = ask.max_replicas * facts.operating_rps
    found, weights = [], []
    for number, (name, share, probability) in enumerate(ask.scenarios):
        day = day_from_hours(name, hours * share, "history, at the scenario's peak")
        found.append(_trace(day, median, seed + 100 + number, facts))
        weights.append(probability)
    if burst.factor > 1.0:
        rise = np.diff(design.per_s, prepend=design.per_s[0])
        slow = np.convolve(rise, np.ones(900) / 900.0, mode="same")
        # An hour's distance from either end, so that a burst at night is whole.
        inside = slice(SECONDS_PER_HOUR, len(rise) - SECONDS_PER_HOUR - round(burst.hold_s + 2 * burst.ramp_s))
        places = {
            "rise": int(np.argmax(slow[inside])) + SECONDS_PER_HOUR,
            "peak": int(np.argmax(design.per_s[inside])) + SECONDS_PER_HOUR,
            "trough": int(np.argmin(design.per_s[inside])) + SECONDS_PER_HOUR,
        }
        for number, (name, at_s) in enumerate(places.items()):
            day = with_burst(design, budget, at_s, most)
            day = replace(day, name=f"burst at {name}")
            found.append(_trace(day, design.per_s, seed + 2 + number, facts))
            weights.append(0.0)
    for number, load in enumerate(traces):
        day, expected = real_day(load, ask.peak_rps)
        found.append(_trace(day, expected, seed + 10 + number, facts))
        weights.append(0.0)
    return found, weights


def _trace(load: Load, expected: FloatArray, seed: int, facts: ReplicaFacts) -> LoadTrace:
    start = max(math.ceil(float(load.per_s[:60].mean()) / facts.operating_rps), 1)
    return LoadTrace(load.name, 1.0, arrivals(load, seed), expected, start, load.source)


def read_traces(loaded: LoadedScenario, extra: Sequence[Path]) -> list[Load]:
    """The scenario's traces (relative to its file) and those of the command line."""
    return [read_load(path) for path in [*(loaded.base / name for name in loaded.scenario.autoscaling.traces), *extra]]
