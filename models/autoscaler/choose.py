"""The cheapest policy that keeps its promise on every trace, and what the simpler ones miss it by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.records import FloatArray
from data.scaling_records import (
    BurstBudget,
    Candidate,
    Kind,
    LoadTrace,
    ReplicaFacts,
    ScalingOutcome,
    Signal,
    StartUp,
    TraceVerdict,
)
from models.autoscaler.grid import KINDS, Tried, policies
from models.autoscaler.run import simulate

COARSE_S = 5
"""All policies are tried in steps of at most this; the best of every kind, and the FINALISTS cheapest that hold, in
the traces' own steps."""
FINALISTS = 24


@dataclass(frozen=True, slots=True)
class Question:
    """A pool that scales: its replica, what starting one takes, what must hold, and the load it is held against.

    weights: of the traces in what a policy costs; those of bursts are 0. brief: a few dozen policies on one signal, all
    in coarse steps, in under a second instead of half a minute.
    """

    facts: ReplicaFacts
    start_up: StartUp
    burst: BurstBudget
    promise: float
    signals: tuple[Signal, ...]
    traces: tuple[LoadTrace, ...]
    weights: tuple[float, ...]
    trough_rps: float
    peak_rps: float
    max_replicas: int
    usd_per_replica_h: float
    interval_s: float = 15.0
    forecast: bool = True
    nodes_per_min: float = float("inf")
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best policy with its kind and the load it holds replicas at (a share of the knee), the best of every kind
    and signal, and how many were tried."""

    best: Candidate
    kind: str
    load: float
    kinds: tuple[Kind, ...]
    signals: tuple[Candidate, ...]
    tried: int


def choose(asked: Question) -> Chosen:
    """All kinds of policy on all traces; the cheapest that holds, else the least short."""
    tried = policies(
        asked.facts, asked.start_up, asked.burst, asked.signals, asked.trough_rps, asked.peak_rps, asked.max_replicas,
        asked.interval_s, asked.forecast, asked.brief,
    )  # fmt: skip
    step_s = coarse_step_s(asked.interval_s)
    rough = judge(asked, tried, [coarser(one, step_s) for one in asked.traces])
    picked, judged = tried, rough
    if not asked.brief:
        picked = _finalists(asked, tried, rough)
        judged = judge(asked, picked, asked.traces)
    ranked = sorted(zip(picked, judged, strict=True), key=lambda pair: _rank(pair[1]))
    kinds = []
    for kind, meaning in KINDS.items():
        mine = [candidate for one, candidate in ranked if one.kind == kind]
        if mine:
            kinds.append(Kind(kind, meaning, mine[0]))
    signals = []
    for signal in asked.signals:
        mine = [candidate for one, candidate in ranked if one.policy.signal == signal]
        signals += mine[:1]
    first = ranked[0][0]
    return Chosen(ranked[0][1], first.kind, first.load, tuple(kinds), tuple(signals), len(tried))


def _finalists(asked: Question, tried: Sequence[Tried], rough: Sequence[Candidate]) -> list[Tried]:
    """The best on the whole, of every kind and on every signal."""
    order = sorted(range(len(tried)), key=lambda i: _rank(rough[i]))
    finalists = order[:FINALISTS]
    for kind in KINDS:
        finalists += [i for i in order if tried[i].kind == kind][:3]
    for signal in asked.signals:
        finalists += [i for i in order if tried[i].policy.signal == signal][:2]
    return [tried[i] for i in dict.fromkeys(finalists)]


def judge(asked: Question, tried: Sequence[Tried], traces: Sequence[LoadTrace]) -> list[Candidate]:
    """Every policy on every trace, [policies]."""
    found: list[list[TraceVerdict]] = [[] for _ in tried]
    hours = [one.step_s * len(one.arrivals) / 3600.0 for one in traces]
    usd = np.zeros((len(tried), len(traces)))
    columns: list[tuple[int, ScalingOutcome, int]] = []
    for shape in dict.fromkeys((one.step_s, len(one.arrivals)) for one in traces):
        alike = [i for i, one in enumerate(traces) if (one.step_s, len(one.arrivals)) == shape]
        seen = simulate(
            [one.policy for one in tried],
            [traces[i] for i in alike],
            asked.facts,
            asked.start_up,
            asked.interval_s,
            asked.nodes_per_min,
        )
        columns += [(i, seen, column) for column, i in enumerate(alike)]
        usd[:, alike] = seen.replica_h * asked.usd_per_replica_h
    for i, seen, column in sorted(columns, key=lambda one: one[0]):
        for row in range(len(tried)):
            found[row].append(_verdict(traces[i].name, seen, row, column, float(usd[row, i])))
    daily = usd * 24.0 / np.array(hours)
    weight = np.array(asked.weights, dtype=np.float64)
    per_day: FloatArray = daily @ weight / weight.sum()
    return [
        Candidate(one.policy, _holds(asked, verdicts), float(per_day[i]), tuple(verdicts))
        for i, (one, verdicts) in enumerate(zip(tried, found, strict=True))
    ]


def coarse_step_s(interval_s: float) -> float:
    """The longest step up to COARSE_S of which an interval holds a whole number."""
    whole = round(interval_s)
    return float(max(step for step in range(1, COARSE_S + 1) if whole % step == 0))


def coarser(trace: LoadTrace, step_s: float) -> LoadTrace:
    """The same load in longer steps; the rest of a last step is dropped."""
    width = round(step_s / trace.step_s)
    if width <= 1:
        return trace
    whole = len(trace.arrivals) // width * width
    return replace(
        trace,
        step_s=step_s,
        arrivals=trace.arrivals[:whole].reshape(-1, width).sum(axis=1),
        expected_rps=trace.expected_rps[:whole:width],
    )


def supply_factor(facts: ReplicaFacts, max_replicas: int, peak_rps: float) -> float:
    """The burst at the peak that all replicas carry at their operating point."""
    return max_replicas * facts.operating_rps / peak_rps


def warm_reserve(candidate: Candidate, facts: ReplicaFacts, load: float, peak_rps: float) -> int:
    """Replicas that the policy keeps ready at the peak beyond what the operating point needs."""
    held = math.ceil(peak_rps / (load * facts.knee_rps) - 1e-9) + candidate.policy.headroom
    held = min(max(held, candidate.policy.min_replicas), candidate.policy.max_replicas)
    return max(held - math.ceil(peak_rps / facts.operating_rps - 1e-9), 0)


def _holds(asked: Question, verdicts: Sequence[TraceVerdict]) -> bool:
    return all(one.attainment >= asked.promise and one.short_s <= asked.burst.short_s for one in verdicts)


def _rank(one: Candidate) -> tuple[bool, float, float]:
    """Those that hold first, by cost; the others by how long they are short at worst."""
    return (not one.holds, 0.0 if one.holds else one.worst_short_s, one.usd_per_day)


def _verdict(trace: str, seen: ScalingOutcome, row: int, column: int, usd: float) -> TraceVerdict:
    at = (row, column)
    return TraceVerdict(
        trace=trace,
        attainment=float(seen.attainment[at]),
        short_s=float(seen.short_s[at]),
        longest_short_s=float(seen.longest_short_s[at]),
        queue_max=float(seen.queue_max[at]),
        wait_max_s=float(seen.wait_max_s[at]),
        over_replica_h=float(seen.over_replica_h[at]),
        under_replica_h=float(seen.under_replica_h[at]),
        reversals=int(seen.reversals[at]),
        usd=usd,
    )
