"""The service curve of a pool under what happens to pools: bounded queues, clients that leave, retries, priorities,
preemption, lost replicas. Each load is a lane of models/simulator/pool.py."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from data.curve_records import ClassTimes
from data.pool_curve_records import ClassFates, PoolCurve, PoolPoint, PoolRules
from data.records import BoolArray, FloatArray, IntArray, SloTarget
from models.curve import Asked, at_loads, enough_knees
from models.simulator.cost import take
from models.simulator.engine import Requests
from models.simulator.load import ClassLoad, Drawn, draw, enough_requests
from models.simulator.percentiles import WARM_UP, Times
from models.simulator.pool import FATES, Patience, PoolOutcome, plain_pool, simulate_pool
from models.simulator.verdict import judged

POOL_LOADS = (0.25, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0)
"""Offered loads, as multiples of what as many lone replicas carry."""
A_REPLICA = 250
"""Requests that each replica of a large pool sees at least."""
FEW_SHAPES = 250
"""Requests come in multiples of this, so that few shapes are ever compiled."""
TICK_S = 1e-3
"""More than a tick of any lane that is simulated here."""
AFTERWARDS = 1.1
"""Load goes on for so many times the seconds that are scored."""
MOST_REQUESTS = 40_000


def scored_span(rules: PoolRules) -> tuple[float, float] | None:
    """Where replicas are lost, requests that are there then or come later are scored: for twice as long as replicas are
    away, and for no less time than went before."""
    if not rules.lost:
        return None
    return rules.lost_at_s, rules.lost_at_s + max(rules.lost_at_s, 2.0 * (rules.back_after_s or 0.0))


class TooLongError(ValueError):
    """What was asked takes longer to simulate than it may: a loss that is over too late, else answers that are too
    long."""

    def __init__(self, what: str, late: bool) -> None:
        super().__init__(what)
        self.late = late


def requests_needed(rules: PoolRules, knee_rps: float, least: int) -> int:
    """Requests a load, so that each replica sees A_REPLICA of them, where MOST_REQUESTS allow, and the highest load
    lasts as long as is scored."""
    span = scored_span(rules)
    lasts = 0.0 if span is None else AFTERWARDS * span[1] * POOL_LOADS[-1] * knee_rps * rules.replicas
    seen = min(A_REPLICA * rules.replicas, MOST_REQUESTS)
    return -(-max(least, seen, int(np.ceil(lasts))) // FEW_SHAPES) * FEW_SHAPES


def pool_curve(asked: Asked, rules: PoolRules, say: Callable[[str], None] = lambda _: None) -> PoolCurve | None:
    """What becomes of requests at every load of POOL_LOADS; None where one replica alone serves no load at the SLO.

    asked: one replica; the variation of its arrivals is taken for the pool's whole stream. say: told what is simulated
    next. Raises TooLongError where a loss comes so late that more than MOST_REQUESTS would have to be simulated, and
    where answers are so long that a pool is not done with its requests in the steps there may be.
    """
    say("part 1 of 2: the knee of one replica")
    asked, knees = enough_knees(asked)
    knee = float(knees.knee_rps[0])
    if knee <= 0.0:
        return None
    filling = enough_requests(2.0 * float(knees.running[0]), asked.pool_requests)
    least = min(filling * rules.replicas, MOST_REQUESTS) if filling > asked.pool_requests else filling
    count = requests_needed(rules, knee, least)
    if count > MOST_REQUESTS:
        raise TooLongError(f"{count:,} requests a load until the loss is over, more than {MOST_REQUESTS:,}", late=True)
    loads = np.array(POOL_LOADS) * knee * rules.replicas
    drawn = draw([asked.mix], count, asked.pool_seeds, asked.seed, asked.cv)
    say(f"part 2 of 2: {len(loads)} loads of {rules.replicas} replicas")
    found, requests, which = simulated(asked, rules, drawn, loads)
    if not np.asarray(found.finished).all():
        what = f"{count:,} requests a load, not done in the steps that a simulation may take"
        raise TooLongError(what, late=False)
    span = scored_span(rules)
    points = []
    for i, load in enumerate(loads):
        rows = np.arange(i * asked.pool_seeds, (i + 1) * asked.pool_seeds)
        points.append(_point(asked, rules, float(load), _lanes(found, rows), requests.lanes(rows), which[rows], span))
    held = np.array([point.holds for point in points])
    first_bad = len(held) if held.all() else int(np.argmin(held))
    total = sum(one.share for one in asked.mix)
    return PoolCurve(
        configuration=asked.configuration,
        slos={one.name: one.slo for one in asked.mix},
        shares={one.name: one.share / total for one in asked.mix},
        rules=rules,
        knee_rps=knee,
        carries_rps=float(loads[first_bad - 1]) if first_bad else 0.0,
        points=tuple(points),
        scored_s=span,
        method=f"continuous-batching simulation, {asked.pool_seeds} x {count:,} requests a load",
        provenance=asked.provenance,
    )


def simulated(
    asked: Asked, rules: PoolRules, drawn: Drawn, loads: FloatArray
) -> tuple[PoolOutcome, Requests, IntArray]:
    """Every load with every seed, [loads x seeds, requests], what was asked and the class of each request."""
    requests, which = at_loads(drawn, loads)
    span = scored_span(rules)
    if span is not None:
        # Who comes when all that is scored is over need not be simulated.
        came = requests.arrival_s
        requests = requests._replace(arrival_s=np.where(came < AFTERWARDS * span[1], came, np.inf))
    shape = requests.arrival_s.shape
    one = np.zeros(shape[0], dtype=np.int64)
    away = (shape[0], rules.replicas)
    # The last replicas are lost: round robin deals to the others as before.
    gone = np.broadcast_to(np.arange(rules.replicas) >= rules.replicas - rules.lost, away)
    until = rules.lost_at_s + _or_never(rules.back_after_s)
    queue = shape[1] if rules.max_queue is None else rules.max_queue
    pool = plain_pool(shape[0], rules.replicas, rules.routing, queue)._replace(
        retries=np.full(shape[0], rules.retries),
        backoff_s=np.full(shape[0], rules.backoff_s),
        down_from_s=np.where(gone, rules.lost_at_s, np.inf),
        down_until_s=np.where(gone, until, np.inf),
        abrupt=np.full(shape[0], not rules.drains),
    )
    urgent = np.array([part.name in rules.urgent for part in asked.mix])
    after = np.where(urgent[which], 0, 1) if rules.urgent else np.zeros(shape, dtype=np.int64)
    waits = (np.full(shape, _or_never(one)) for one in (rules.first_token_wait_s, rules.deadline_s))
    limits = asked.limits.lanes(one)
    if rules.max_num_seqs is not None:
        limits = limits._replace(max_num_seqs=np.minimum(limits.max_num_seqs, rules.max_num_seqs))
    found = simulate_pool(take(asked.cost, one), requests, limits, pool, Patience(after, *waits), asked.seed)
    return found, requests, which


def _or_never(seconds: float | None) -> float:
    return np.inf if seconds is None else seconds


def _lanes(found: PoolOutcome, rows: IntArray) -> PoolOutcome:
    taken: PoolOutcome = jax.tree.map(lambda field: field[rows], found)
    return taken


def keeps(seen: Times, slo: SloTarget, served: BoolArray) -> bool:
    """Whether every limit is kept by its percentile of the requests, unserved ones counted as broken."""
    if not len(served):
        return True
    sides = (seen.ttft_s, seen.tpot_s, seen.e2e_s)
    return all(
        float((served & ~(side > limit.seconds)).mean()) >= limit.percentile / 100.0
        for limit, side in zip(slo.limits, sides, strict=True)
        if limit.seconds < np.inf
    )


def _point(
    asked: Asked, rules: PoolRules, load: float, found: PoolOutcome, requests: Requests, which: IntArray,
    span: tuple[float, float] | None,
) -> PoolPoint:  # fmt: skip
    """One load, over its seeds."""
    came = requests.arrival_s
    if span is None:
        scored = np.broadcast_to(np.arange(came.shape[1]) >= int(WARM_UP * came.shape[1]), came.shape)
    else:
        # Clocks count in ticks: who is lost leaves at the tick before the loss.
        scored = (found.left_s >= span[0] - TICK_S) & (came < span[1])
    tpot = np.where(
        requests.output_tokens > 1,
        (found.end_s - found.first_token_s) / np.maximum(requests.output_tokens - 1, 1),
        np.nan,
    )
    # All scored requests of all seeds in a row.
    seen = Times((found.first_token_s - came)[scored], tpot[scored], (found.end_s - came)[scored])
    fate, attempts, whose = found.fate[scored], found.attempts[scored], which[scored]
    lane = Times(*(side[None] for side in (seen.ttft_s, seen.tpot_s, seen.e2e_s)))
    times, _, within = judged(asked.mix, lane, whose[None], np.ones(1, dtype=bool))
    classes = tuple(
        _fates(one, load, told, fate, attempts, whose == number, seen, within[0])
        for number, (one, told) in enumerate(zip(asked.mix, times, strict=True))
    )
    return PoolPoint(
        offered_rps=load,
        served_rps=load * _share(fate, "served"),
        goodput_rps=load * float(within.mean()),
        rejected=_share(fate, "rejected"),
        timed_out=_share(fate, "timed_out"),
        lost=_share(fate, "lost"),
        retried=float((attempts > 0).mean()),
        preemptions=float(found.preemptions.sum() / (found.fate >= 0).sum()),
        utilisation=float((found.busy_s / (rules.replicas * found.makespan_s)).mean()),
        peak_queue=int(found.peak_queue.max()),
        holds=all(one.holds for one in classes),
        classes=classes,
    )


def _fates(
    one: ClassLoad, load: float, times: ClassTimes, fate: IntArray, attempts: IntArray, mine: BoolArray, seen: Times,
    within: BoolArray,
) -> ClassFates:  # fmt: skip
    """One class: fate, attempts, mine, within [scored requests]."""
    ours = Times(seen.ttft_s[mine], seen.tpot_s[mine], seen.e2e_s[mine])
    return ClassFates(
        times=times,
        goodput_rps=load * float((within & mine).mean()),
        rejected=_share(fate[mine], "rejected"),
        timed_out=_share(fate[mine], "timed_out"),
        lost=_share(fate[mine], "lost"),
        retried=float((attempts[mine] > 0).mean()) if mine.any() else float("nan"),
        attempts=float(1.0 + attempts[mine].mean()) if mine.any() else float("nan"),
        holds=keeps(ours, one.slo, fate[mine] == FATES.index("served")),
    )


def _share(fate: IntArray, name: str) -> float:
    return float((fate == FATES.index(name)).mean()) if len(fate) else float("nan")
