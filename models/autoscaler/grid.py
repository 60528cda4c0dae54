"""The policies that are tried: from plain reaction to reserves, standby nodes and forecasts, on every signal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from data.scaling_records import BurstBudget, ReplicaFacts, ScalerPolicy, Signal, StartUp
from models.autoscaler.facts import signal_at

KINDS = {
    "reaction": "scales on its signal at the operating point, holds no reserve",
    "lower threshold": "scales early: replicas are held at a lower load",
    "warm reserve": "replicas beyond what the signal asks for, ready at all hours",
    "standby nodes": "nodes kept with the image on them: only weights and warm-up are waited for",
    "forecast": "scales by the forecast a start-up ahead, and on its signal where load exceeds it",
    "fixed": "as many replicas as there may be, at all hours: nothing scales",
}
THRESHOLDS = (0.75, 0.65, 0.55, 0.45, 0.35)
"""Loads below the operating point at which a scaler may hold its replicas, as shares of the knee."""
BRIEF_THRESHOLDS = (0.65, 0.45)
DOWN_WINDOWS_S = (300.0, 900.0)
PREFERRED: tuple[Signal, ...] = ("concurrency", "kv_cache", "rate")
"""What a brief search looks at, the first that may be: signals that follow load without a queue."""
SMOOTHING_S = 30.0
"""Signals are means of about the last minute, as a scrape every 15 s can give: half a window old."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A policy, its kind, and the load it holds replicas at, as a share of the knee."""

    kind: str
    load: float
    policy: ScalerPolicy


def policies(
    facts: ReplicaFacts,
    start_up: StartUp,
    burst: BurstBudget,
    signals: Sequence[Signal],
    trough_rps: float,
    peak_rps: float,
    max_replicas: int,
    interval_s: float,
    forecast: bool,
    brief: bool = False,
) -> list[Tried]:
    """Every kind on every signal, with the fewest replicas that the trough needs, its burst, or the peak; brief: a few
    dozen of them, on one signal."""
    at = facts.operating_rps / facts.knee_rps
    reserve = max(math.ceil((burst.factor - 1.0) * peak_rps / facts.knee_rps), 1)
    reserves = sorted({1, math.ceil(reserve / 2), reserve})
    usual = math.ceil(trough_rps / facts.operating_rps)
    bursting = math.ceil(burst.factor * trough_rps / facts.knee_rps)
    # Two at least: one may fail or be drained.
    at_peak = math.ceil(peak_rps / facts.operating_rps)
    fewest = (bursting, at_peak) if brief else (usual, bursting, at_peak)
    floors = sorted({min(max(one, 2), max_replicas) for one in fewest})
    lead_s = start_up.cold_s + interval_s
    rows: list[tuple[str, float, int, int, float]] = [("reaction", at, 0, 0, 0.0)]
    lower = BRIEF_THRESHOLDS if brief else THRESHOLDS
    held, standing = ((at,), (at,)) if brief else ((at, 0.75, 0.65), (at, 0.65, 0.5))
    nodes = reserves[-1:] if brief else reserves[-2:]
    rows += [("lower threshold", load, 0, 0, 0.0) for load in lower if load < at]
    rows += [("warm reserve", load, n, 0, 0.0) for load, n in product(held, reserves) if load <= at]
    rows += [
        ("standby nodes", load, n, s, 0.0)
        for load, n, s in product(standing, (0, reserves[-1] // 2), nodes)
        if load <= at
    ]
    if forecast:
        rows += [("forecast", load, n, 0, lead_s) for load, n in product(held, (0, *reserves)) if load <= at]
    if brief:
        signals = [next((one for one in PREFERRED if one in signals), signals[0])]
    windows = DOWN_WINDOWS_S[:1] if brief else DOWN_WINDOWS_S
    found = []
    for (kind, load, headroom, standby, lead), signal, down_s, floor in product(rows, signals, windows, floors):
        target = signal_at(facts, signal, load)
        if target <= 0.0:
            continue
        found.append(
            Tried(
                kind,
                load,
                ScalerPolicy(
                    signal=signal,
                    target=target,
                    min_replicas=floor,
                    max_replicas=max_replicas,
                    interval_s=interval_s,
                    down_window_s=down_s,
                    headroom=headroom,
                    standby_nodes=standby,
                    forecast_rps=load * facts.knee_rps if lead else 0.0,
                    lead_s=lead,
                    smoothing_s=SMOOTHING_S,
                ),
            )
        )
    still = ScalerPolicy("rate", facts.operating_rps, max_replicas, max_replicas, interval_s=interval_s)
    return [*found, Tried("fixed", at, still)]
