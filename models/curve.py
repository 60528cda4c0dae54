"""The service curve of one configuration: what happens as load grows towards the knee and past it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from data.curve_records import (
    AdmissionLimits,
    CurvePoint,
    ScalingSignal,
    ServiceCurve,
)
from data.records import Configuration, FloatArray, IntArray, Provenance, StepCost
from models.pool_gain import dealt_gains
from models.simulator.cost import take
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.simulator.knee import Knees, find_knees
from models.simulator.load import Drawn, Mix, draw, enough_requests
from models.simulator.percentiles import Times, quantiles, times
from models.simulator.pool import FATES, Patience, PoolOutcome, plain_pool, simulate_pool
from models.simulator.verdict import judged, reached

LOADS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
"""Offered loads, as multiples of the knee."""
QUEUES = (8, 16, 32, 64, 128)
"""Queue bounds that are tried, and the overload they are tried at."""
OVERLOAD = 1.3
CROWDED = 0.8
"""Loads from here on, as multiples of the knee, are simulated under the admission limits; below them nothing waits."""
SEQS_STEP = 8
BUSIEST = 1.15
"""Busiest moments over a seed's mean where hundreds run: three standard deviations of some 400."""


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
    pool_requests: int = 1000
    """Size of the runs under limits, whose lanes cost a hundred times the plain ones."""
    pool_seeds: int = 3
    target_band: float | None = None
    """Seeds are added to the knee's while its 90 % band is wider (models/simulator/knee.py)."""
    gains: bool = True
    """Whether pools are simulated too, a quarter of the work."""


def service_curve(asked: Asked, say: Callable[[str], None] = lambda _: None) -> ServiceCurve | None:
    """The whole curve; None where even the lowest load breaks the SLO (the capacity table has the excuse).

    say: told what is simulated next, as "part 2 of 5: ...".
    """
    say("part 1 of 5: the knee")
    asked, knees = enough_knees(asked)
    knee = float(knees.knee_rps[0])
    if knee <= 0.0:
        return None
    drawn = draw([asked.mix], asked.requests, asked.seeds, asked.seed, asked.cv)
    scale = knee * np.exp(-asked.growth_per_min * asked.time_to_ready_s / 60.0)
    operating = asked.operating_point * knee
    loads = np.array([*(knee * multiple for multiple in LOADS), operating, scale])
    say(f"part 2 of 5: {len(loads)} loads")
    outcome, requests = _open(asked, drawn, loads)
    say("part 3 of 5: admission limits")
    few = draw([asked.mix], asked.pool_requests, asked.pool_seeds, asked.seed, asked.cv)
    limits = _admission(asked, few, knee, _busiest(asked, outcome, LOADS.index(1.0)))
    say("part 4 of 5: loads under the limits")
    # The operating point is what is promised: under the limits wherever it lies.
    crowded = np.array([*(multiple >= CROWDED for multiple in LOADS), True])
    bounded, bounded_requests = _bounded(
        _limited(asked, limits.max_num_seqs), few, loads[:-1][crowded], limits.max_queue, limits.deadline_s
    )
    free = _Run(outcome.first_token_s, outcome.end_s, requests, drawn.which, np.zeros(requests.arrival_s.shape, int))
    held = _Run(bounded.first_token_s, bounded.end_s, bounded_requests, few.which, bounded.fate)
    points = []
    for i, load in enumerate(loads[:-1]):
        rows = np.arange(i * asked.seeds, (i + 1) * asked.seeds)
        place = int(crowded[:i].sum()) * asked.pool_seeds
        served = held.lanes(np.arange(place, place + asked.pool_seeds)) if crowded[i] else free.lanes(rows)
        points.append(_point(asked, float(load), rows, outcome, free.lanes(rows), served))
    say("part 5 of 5: pools")
    return ServiceCurve(
        configuration=asked.configuration,
        slos={one.name: one.slo for one in asked.mix},
        shares={one.name: one.share / sum(each.share for each in asked.mix) for one in asked.mix},
        knee_rps=knee,
        knee_band=float(knees.band[0]),
        binding=knees.binding[0],
        operating_rps=operating,
        points=tuple(points[:-1]),
        limits=limits,
        scale_load_rps=float(scale),
        growth_per_min=asked.growth_per_min,
        time_to_ready_s=asked.time_to_ready_s,
        signals=_signals(asked, outcome, requests, LOADS.index(1.0), len(loads) - 1),
        gains=dealt_gains(lambda cv: knees_of(asked, cv), knees, asked.cv) if asked.gains else (),
        method=_method(asked, knees.by_seed_rps.shape[1]),
        provenance=asked.provenance,
        at_operating=points[-1],
    )


def enough_knees(asked: Asked) -> tuple[Asked, Knees]:
    """The knee found with requests enough to fill the replica, and what was asked with as many."""
    knees = knees_of(asked, asked.cv, asked.target_band)
    # At the knee itself more run at once than at the operating point: twice as many and more.
    more = enough_requests(2.0 * float(knees.running[0]), asked.requests)
    if more > asked.requests and knees.knee_rps[0] > 0:
        asked = replace(asked, requests=more, guess_rps=float(knees.knee_rps[0]))
        knees = knees_of(asked, asked.cv, asked.target_band)
    return asked, knees


def knees_of(asked: Asked, cv: float, target_band: float | None = None) -> Knees:
    """The knee of one replica whose arrivals vary by cv."""
    return find_knees(
        asked.cost, [asked.mix], asked.limits, np.array([asked.guess_rps]), asked.operating_point,
        asked.requests, asked.seeds, asked.seed, cv, resolution=0.01,
        target_band=target_band,
    )  # fmt: skip


def _method(asked: Asked, seeds: int) -> str:
    """How many requests were simulated: for the knee, and for each load where those are fewer."""
    loads = "" if seeds == asked.seeds else f" for the knee, {asked.seeds} x {asked.requests:,} a load"
    return f"continuous-batching simulation, {seeds} x {asked.requests:,} requests{loads}"


def at_loads(drawn: Drawn, loads: FloatArray) -> tuple[Requests, IntArray]:
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
    requests, _ = at_loads(drawn, loads)
    one = np.zeros(len(requests.arrival_s), dtype=np.int64)
    return simulate(take(asked.cost, one), requests, asked.limits.lanes(one)), requests


def _bounded(
    asked: Asked, drawn: Drawn, loads: FloatArray, max_queue: int | IntArray, deadline_s: float
) -> tuple[PoolOutcome, Requests]:
    """The same under admission limits; max_queue for all loads, or one for each."""
    requests, _ = at_loads(drawn, loads)
    lanes = len(requests.arrival_s)
    one = np.zeros(lanes, dtype=np.int64)
    queue = np.repeat(np.broadcast_to(max_queue, loads.shape), len(drawn.unit_s))
    pool = plain_pool(lanes, 1)._replace(max_queue=queue)
    shape = requests.arrival_s.shape
    patience = Patience(np.zeros(shape, dtype=np.int64), np.full(shape, deadline_s), np.full(shape, np.inf))
    return simulate_pool(take(asked.cost, one), requests, asked.limits.lanes(one), pool, patience), requests


def _limited(asked: Asked, seqs: int) -> Asked:
    """The same replica with fewer sequences at once."""
    return replace(asked, limits=asked.limits._replace(max_num_seqs=np.array([seqs])))


def _busiest(asked: Asked, outcome: Outcome, load: int) -> tuple[float, float]:
    """Requests that run and KV tokens held at a load, of the seeds' means the largest, and as much more as its busiest
    moments take: a replica that runs hundreds is still filling when the few requests below are over."""
    rows = slice(load * asked.seeds, (load + 1) * asked.seeds)
    found = (float(side[rows].max()) * BUSIEST for side in (outcome.mean_running, outcome.mean_kv_tokens))
    running, tokens = found
    return running, tokens


def _admission(asked: Asked, drawn: Drawn, knee: float, busiest: tuple[float, float]) -> AdmissionLimits:
    """As many sequences as the knee needs at its busiest (the median over seeds, and no less than `busiest`): more only
    slow each other down past it. Then the longest queue that under overload still answers whom it lets in within the
    TTFT limits, but no shorter than the longest that the operating point sees, so that nobody is turned away there.

    A client is given up when its first token is later than twice the longest TTFT limit.
    """
    endless = 4 * QUEUES[-1]
    gentle = np.array([asked.operating_point * knee, knee])
    found, _ = _bounded(asked, drawn, gentle, endless, np.inf)
    seeds = len(drawn.unit_s)
    running = max(int(np.median(found.peak_running[seeds:])), int(np.ceil(busiest[0])))
    seqs = min(-(-running // SEQS_STEP) * SEQS_STEP, int(asked.limits.max_num_seqs[0]))
    limited = _limited(asked, seqs)
    over, requests = _bounded(limited, drawn, np.full(len(QUEUES), OVERLOAD * knee), np.array(QUEUES), np.inf)
    seen = times(over.first_token_s, over.end_s, requests)
    which = np.tile(drawn.which, (len(QUEUES), 1))[:, requests.arrival_s.shape[1] - seen.ttft_s.shape[1] :]
    holds = np.ones(len(QUEUES), dtype=bool)
    for number, one in enumerate(asked.mix):
        served = np.where(which == number, seen.ttft_s, np.nan).reshape(len(QUEUES), -1)
        first_token = one.slo.limits[0]
        at = quantiles(served, np.ones(len(QUEUES), dtype=bool), np.full(len(QUEUES), first_token.percentile))
        holds &= at <= first_token.seconds
    longest = max((queue for queue, good in zip(QUEUES, holds, strict=True) if good), default=QUEUES[0])
    queue = max(longest, int(found.peak_queue[:seeds].max()))
    return AdmissionLimits(
        max_num_seqs=seqs,
        max_queue=queue,
        concurrency=seqs + queue,
        tokens_in_flight=int(max(found.peak_kv_tokens[seeds:].max(), busiest[1])),
        deadline_s=2.0 * max(one.slo.ttft_s for one in asked.mix),
    )


def _point(asked: Asked, load: float, rows: IntArray, outcome: Outcome, free: _Run, served: _Run) -> CurvePoint:
    """One load: times and goodput of `served` (under the limits), signals and verdict of `free` (without them)."""
    seen, which, fate = served.seen()
    classes, _, good = judged(asked.mix, seen, which, np.ones(len(which), dtype=bool))
    open_seen, open_which, _ = free.seen()
    return CurvePoint(
        offered_rps=load,
        served_rps=float(load * (fate == FATES.index("served")).mean()),
        goodput_rps=float(load * good.mean()),
        rejected=float((fate == FATES.index("rejected")).mean()),
        timed_out=float((fate == FATES.index("timed_out")).mean()),
        waiting=load * float(np.nanmean(open_seen.ttft_s)),
        running=float(outcome.mean_running[rows].mean()),
        kv_share=float(outcome.mean_kv_tokens[rows].mean() / asked.limits.kv_tokens[0]),
        kv_pressure=float(outcome.kv_pressure[rows].mean()),
        utilisation=float((outcome.busy_s[rows] / outcome.makespan_s[rows]).mean()),
        holds=_holds(asked, open_seen, open_which),
        classes=classes,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What became of the requests of some lanes, [lanes, requests] each; `which` is their class, repeated by seed."""

    first_token_s: FloatArray
    end_s: FloatArray
    requests: Requests
    which: IntArray
    fate: IntArray

    def lanes(self, index: IntArray) -> _Run:
        which = self.which[index % len(self.which)]
        return _Run(self.first_token_s[index], self.end_s[index], self.requests.lanes(index), which, self.fate[index])

    def seen(self) -> tuple[Times, IntArray, IntArray]:
        """Times, class and fate of the requests after the warm-up."""
        scored = times(self.first_token_s, self.end_s, self.requests)
        start = self.which.shape[1] - scored.ttft_s.shape[1]
        return scored, self.which[:, start:], self.fate[:, start:]


def _holds(asked: Asked, seen: Times, which: IntArray) -> float:
    """Share of the seeds (rows) in which every SLO percentile holds."""
    every = np.ones(len(which), dtype=bool)
    good = every.copy()
    for number, one in enumerate(asked.mix):
        values, limits = reached(seen, which == number, every, [one.slo] * len(which))
        good &= (values <= limits).all(axis=0)
    return float(good.mean())


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
