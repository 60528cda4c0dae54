"""The service curve of one configuration: what happens as load grows towards the knee and past it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.curve_records import (
    AdmissionLimits,
    ClassTimes,
    CurvePoint,
    Percentile3,
    ScalingSignal,
    ServiceCurve,
)
from data.records import Configuration, FloatArray, IntArray, Provenance, StepCost
from models.pool_gain import dealt_gains
from models.simulator.cost import take
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.simulator.knee import Knees, find_knees
from models.simulator.load import Drawn, Mix, draw
from models.simulator.percentiles import Times, quantiles, times
from models.simulator.pool import FATES, Patience, PoolOutcome, plain_pool, simulate_pool

LOADS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
"""Offered loads, as multiples of the knee."""
QUEUES = (4, 8, 16, 32, 64, 128, 256)
"""Queue bounds that are tried; the overload they are tried at, and what may be turned away at the operating point."""
OVERLOAD = 1.3
TURNED_AWAY = 0.001
SEQS_STEP = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A configuration as the simulator sees it (one lane), what is asked of it, and how precisely."""

    configuration: Configuration
    cost: StepCost
    limits: Limits
    mix: Mix
    guess_rps: float
    provenance: Provenance
    operating_point: float = 0.85
    growth_per_min: float = 0.01
    """Share by which load grows a minute at its steepest."""
    time_to_ready_s: float = 300.0
    requests: int = 2000
    seeds: int = 6
    seed: int = 0
    cv: float = 1.0


def service_curve(asked: Asked) -> ServiceCurve | None:
    """The whole curve; None where even the lowest load breaks the SLO (the capacity table has the excuse)."""
    knees = _knees(asked, asked.cv)
    knee = float(knees.knee_rps[0])
    if knee <= 0.0:
        return None
    drawn = draw([asked.mix], asked.requests, asked.seeds, asked.seed, asked.cv)
    scale = knee * np.exp(-asked.growth_per_min * asked.time_to_ready_s / 60.0)
    loads = np.array([*(knee * multiple for multiple in LOADS), asked.operating_point * knee, scale])
    outcome, requests = _open(asked, drawn, loads)
    limits = _admission(asked, drawn, knee)
    bounded, bounded_requests = _bounded(asked, drawn, loads[: len(LOADS)], limits.max_queue, limits.deadline_s)
    points = tuple(
        _point(asked, drawn, i, loads[i], (outcome, requests), (bounded, bounded_requests)) for i in range(len(LOADS))
    )
    return ServiceCurve(
        configuration=asked.configuration,
        slos={one.name: one.slo for one in asked.mix},
        shares={one.name: one.share / sum(each.share for each in asked.mix) for one in asked.mix},
        knee_rps=knee,
        knee_band=float(knees.band[0]),
        binding=knees.binding[0],
        operating_rps=asked.operating_point * knee,
        points=points,
        limits=limits,
        scale_load_rps=float(scale),
        growth_per_min=asked.growth_per_min,
        time_to_ready_s=asked.time_to_ready_s,
        signals=_signals(asked, outcome, requests, LOADS.index(1.0), len(loads) - 1),
        gains=dealt_gains(lambda cv: _knees(asked, cv), knees, asked.cv),
        method=f"continuous-batching simulation, {asked.seeds} x {asked.requests:,} requests",
        provenance=asked.provenance,
    )


def _knees(asked: Asked, cv: float) -> Knees:
    return find_knees(
        asked.cost, [asked.mix], asked.limits, np.array([asked.guess_rps]), asked.operating_point,
        asked.requests, asked.seeds, asked.seed, cv, resolution=0.01,
    )  # fmt: skip


def _rows(drawn: Drawn, loads: FloatArray) -> tuple[Requests, IntArray]:
    """Every load with every seed: [loads x seeds, requests], and the class of each request."""
    seeds = len(drawn.unit_s)
    seed = np.tile(np.arange(seeds), len(loads))
    asked = Requests(
        drawn.unit_s[seed] / np.repeat(loads, seeds)[:, None],
        drawn.input_tokens[seed],
        drawn.cached_tokens[seed],
        drawn.output_tokens[seed],
    )
    return asked, drawn.which[seed]


def _open(asked: Asked, drawn: Drawn, loads: FloatArray) -> tuple[Outcome, Requests]:
    """Unbounded queues: what the loads do to a replica that turns nobody away."""
    requests, _ = _rows(drawn, loads)
    one = np.zeros(len(requests.arrival_s), dtype=np.int64)
    return simulate(take(asked.cost, one), requests, asked.limits.lanes(one)), requests


def _bounded(
    asked: Asked, drawn: Drawn, loads: FloatArray, max_queue: int | IntArray, deadline_s: float
) -> tuple[PoolOutcome, Requests]:
    """The same under admission limits; max_queue for all loads, or one for each."""
    requests, _ = _rows(drawn, loads)
    lanes = len(requests.arrival_s)
    one = np.zeros(lanes, dtype=np.int64)
    queue = np.repeat(np.broadcast_to(max_queue, loads.shape), asked.seeds)
    pool = plain_pool(lanes, 1)._replace(max_queue=queue)
    shape = requests.arrival_s.shape
    patience = Patience(np.zeros(shape, dtype=np.int64), np.full(shape, deadline_s), np.full(shape, np.inf))
    return simulate_pool(take(asked.cost, one), requests, asked.limits.lanes(one), pool, patience), requests


def _admission(asked: Asked, drawn: Drawn, knee: float) -> AdmissionLimits:
    """The longest queue that under overload still answers whom it lets in within the SLO; 0.1 % are turned away at the
    operating point at most, else the queue grows until that holds.

    A client is given up when its first token is later than twice the longest TTFT limit.
    """
    deadline = 2.0 * max(one.slo.ttft_s for one in asked.mix)
    queues = np.array(QUEUES)
    many = np.concatenate([queues, queues])
    loads = np.concatenate([np.full(len(queues), OVERLOAD * knee), np.full(len(queues), asked.operating_point * knee)])
    found, requests = _bounded(asked, drawn, loads, many, np.inf)
    rejected = (found.fate == FATES.index("rejected")).reshape(2, len(queues), -1).mean(axis=2)
    seen = times(found.first_token_s, found.end_s, requests)
    which = _rows(drawn, loads)[1][:, requests.arrival_s.shape[1] - seen.ttft_s.shape[1] :]
    holds = np.ones(len(queues), dtype=bool)
    for number, one in enumerate(asked.mix):
        served = np.where(which == number, seen.ttft_s, np.nan).reshape(2, len(queues), -1)[0]
        at = quantiles(served, np.ones(len(queues), dtype=bool), np.full(len(queues), one.slo.percentile))
        holds &= at <= one.slo.ttft_s
    gentle = rejected[1] <= TURNED_AWAY
    both, enough = np.flatnonzero(holds & gentle), np.flatnonzero(gentle)
    chosen = int(both[-1] if len(both) else enough[0] if len(enough) else len(queues) - 1)
    at_knee, _ = _bounded(asked, drawn, np.array([knee]), int(queues[chosen]), np.inf)
    running = int(np.quantile(at_knee.peak_running, 0.5))
    seqs = min(-(-running // SEQS_STEP) * SEQS_STEP, int(asked.limits.max_num_seqs[0]))
    return AdmissionLimits(
        max_num_seqs=seqs,
        max_queue=int(queues[chosen]),
        concurrency=seqs + int(queues[chosen]),
        tokens_in_flight=int(at_knee.peak_kv_tokens.max()),
        deadline_s=deadline,
    )


def _point(
    asked: Asked,
    drawn: Drawn,
    index: int,
    load: float,
    free: tuple[Outcome, Requests],
    bounded: tuple[PoolOutcome, Requests],
) -> CurvePoint:
    """One load: times and goodput of the replica under its limits, signals and verdict without them."""
    rows = slice(index * asked.seeds, (index + 1) * asked.seeds)
    outcome, requests = free
    held, held_requests = bounded
    lanes = np.arange(rows.start, rows.stop)
    cut = held_requests.lanes(lanes)
    seen = times(held.first_token_s[rows], held.end_s[rows], cut)
    skipped = cut.arrival_s.shape[1] - seen.ttft_s.shape[1]
    which = drawn.which[:, skipped:]
    fate = held.fate[rows][:, skipped:]
    classes, good = [], 0.0
    for number, one in enumerate(asked.mix):
        mine = which == number
        ok = (seen.ttft_s <= one.slo.ttft_s) & ~(seen.tpot_s > one.slo.tpot_s)
        ok &= seen.e2e_s <= (np.inf if one.slo.e2e_s is None else one.slo.e2e_s)
        good += float((ok & mine).sum())
        ttft, tpot, e2e = (_three(np.where(mine, side, np.nan)) for side in (seen.ttft_s, seen.tpot_s, seen.e2e_s))
        within = float(ok[mine].mean()) if mine.any() else float("nan")
        classes.append(ClassTimes(one.name, ttft, tpot, e2e, within))
    open_seen = times(outcome.first_token_s[rows], outcome.end_s[rows], requests.lanes(lanes))
    makespan = outcome.makespan_s[rows]
    return CurvePoint(
        offered_rps=float(load),
        served_rps=float(load * (fate == FATES.index("served")).mean()),
        goodput_rps=float(load * good / fate.size),
        rejected=float((fate == FATES.index("rejected")).mean()),
        timed_out=float((fate == FATES.index("timed_out")).mean()),
        waiting=_waiting(open_seen, float(load)),
        running=float(outcome.mean_running[rows].mean()),
        kv_share=float(outcome.mean_kv_tokens[rows].mean() / asked.limits.kv_tokens[0]),
        kv_pressure=float(outcome.kv_pressure[rows].mean()),
        utilisation=float((outcome.busy_s[rows] / makespan).mean()),
        holds=_holds(asked, open_seen, which),
        classes=tuple(classes),
    )


def _holds(asked: Asked, seen: Times, which: IntArray) -> bool:
    for number, one in enumerate(asked.mix):
        for values, limit in (
            (seen.ttft_s, one.slo.ttft_s),
            (seen.tpot_s, one.slo.tpot_s),
            (seen.e2e_s, one.slo.e2e_s),
        ):
            mine = values[(which == number) & ~np.isnan(values)]
            if limit is not None and len(mine) and np.quantile(mine, one.slo.percentile / 100.0) > limit:
                return False
    return True


def _three(values: FloatArray) -> Percentile3:
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Percentile3(float("nan"), float("nan"), float("nan"))
    return Percentile3(*(float(value) for value in np.quantile(known, [0.5, 0.95, 0.99])))


def _waiting(seen: Times, load: float) -> float:
    """Mean requests without a first token, by Little's law."""
    return load * float(np.nanmean(seen.ttft_s))


def _signals(asked: Asked, outcome: Outcome, requests: Requests, knee: int, scale: int) -> tuple[ScalingSignal, ...]:
    """Every signal at the load to scale at and at the knee, the most telling first: the distance between the two means
    in standard deviations over the seeds, each of which is a window of its own."""
    seen = times(outcome.first_token_s, outcome.end_s, requests)
    rate = requests.arrival_s.shape[1] / requests.arrival_s[:, -1]
    candidates = {
        ("waiting", "requests"): rate * np.nanmean(seen.ttft_s, axis=1),
        ("running", "requests"): outcome.mean_running,
        ("kv_cache", "share"): outcome.mean_kv_tokens / asked.limits.kv_tokens[0],
        ("busy", "share"): outcome.busy_s / outcome.makespan_s,
    }
    found = []
    for (name, unit), values in candidates.items():
        low, high = (values[at * asked.seeds : (at + 1) * asked.seeds] for at in (scale, knee))
        spread = float(np.sqrt((low.var(ddof=1) + high.var(ddof=1)) / 2.0)) if asked.seeds > 1 else float("nan")
        distance = float(high.mean() - low.mean()) / max(spread, 1e-12)
        found.append(ScalingSignal(name, unit, float(low.mean()), float(high.mean()), distance))
    return tuple(sorted(found, key=lambda one: -one.distance))
