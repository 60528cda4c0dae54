"""A load test run again in the simulator: the same arrivals or clients, lengths and number of requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from data.loadtests.records import LoadPoint, Spread
from data.records import BoolArray, FloatArray, IntArray, StepCost
from models.simulator.engine import Limits, Requests, simulate

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
METRICS = ("ttft", "tpot", "e2e")
LEVELS = (50, 90, 95, 99)
MOST_REQUESTS = 4_000
"""Of one point and replica: beyond it a run only repeats itself (or its queue only grows)."""
ENOUGH = 400
"""Requests below which a point is simulated several times, with other arrivals each."""
MOST_SEEDS = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What one replica received, shape [lanes, requests]: point[lanes] says at which point; short points have several
    lanes. Requests beyond count[lanes] are padding that comes long after the rest. clients [lanes] is infinite for an
    open loop."""

    arrival_s: FloatArray
    input_tokens: IntArray
    cached_tokens: IntArray
    output_tokens: IntArray
    point: IntArray
    count: IntArray
    clients: FloatArray
    measured: FloatArray
    """[points, METRICS, STATISTICS] seconds; NaN where not reported or from too few requests."""


def load_of(points: Sequence[LoadPoint], replicas: int = 1, cached_tokens: int = 0, seed: int = 0) -> Load:
    """The load of every point on one of `replicas` replicas that share it evenly.

    cached_tokens: prompt tokens of a request that the prefix cache holds.
    """
    counts = [min(max(p.requests_ok // replicas, 2), MOST_REQUESTS) for p in points]
    pairs = [(i, k) for i, n in enumerate(counts) for k in range(_seeds(n))]
    shape = (len(pairs), max(counts))
    arrival, inputs, outputs = np.zeros(shape), np.ones(shape, np.int64), np.ones(shape, np.int64)
    clients = np.full(len(pairs), np.inf)
    for lane, (i, k) in enumerate(pairs):
        p, n = points[i], counts[i]
        if p.clients > 0:
            clients[lane] = max(round(p.clients / replicas), 1)
        rng = np.random.default_rng([seed, k])
        lengths = _lengths(p, n, k, replicas, rng)
        inputs[lane, :n], outputs[lane, :n] = (np.maximum(np.rint(side), 1) for side in lengths)
        arrival[lane, :n] = _arrivals(p, n, k, replicas, rng)
        # Padding comes when all else has ended, by a margin that even a tenfold error in speed leaves.
        arrival[lane, n:] = 10.0 * (p.duration_s + np.nan_to_num(p.e2e_s.mean)) + arrival[lane, n - 1] + 1.0
    cached = np.minimum(np.full(shape, cached_tokens, np.int64), np.maximum(inputs - 1, 0))
    point = np.array([i for i, _ in pairs])
    return Load(
        arrival, inputs, cached, outputs, point, np.array([counts[i] for i in point]), clients, measured(points)
    )


def measured(points: Sequence[LoadPoint]) -> FloatArray:
    """[points, METRICS, STATISTICS] seconds; percentiles that rest on less than one request are NaN."""
    found = np.full((len(points), len(METRICS), len(STATISTICS)), np.nan)
    for i, p in enumerate(points):
        for j, spread in enumerate((p.ttft_s, p.tpot_s, p.e2e_s)):
            found[i, j] = [getattr(spread, name) for name in STATISTICS]
        if p.requests_ok < 100:
            found[i, :, STATISTICS.index("p99")] = np.nan
        if p.requests_ok < 20:
            found[i, :, STATISTICS.index("p95")] = np.nan
    return np.where(found > 0, found, np.nan)


def _seeds(requests: int) -> int:
    return int(np.clip(math.ceil(ENOUGH / requests), 1, MOST_SEEDS))


def _lengths(p: LoadPoint, n: int, k: int, replicas: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Input and output tokens: the requests themselves where the file has them, else drawn from what it reports."""
    if p.rows is not None and not np.isnan(p.rows.input_tokens).any() and not np.isnan(p.rows.output_tokens).any():
        # In the order of their starts, NaN where unknown; to replicas in turn, as a round-robin router sends them.
        order = np.argsort(p.rows.start_s, kind="stable")
        pick = np.resize(order[k % replicas :: replicas], n)
        return p.rows.input_tokens[pick], p.rows.output_tokens[pick]
    return _drawn(p.input_tokens, n, rng), _drawn(p.output_tokens, n, rng)


def _drawn(spread: Spread, n: int, rng: np.random.Generator) -> FloatArray:
    """n stratified draws of a distribution known by some of its percentiles; constant where only its mean is.

    Above the median values are interpolated geometrically: tails of lengths are convex. Below it they fall towards the
    minimum as steeply as the mean asks for: a minimum far from the bulk is one request, not a ramp.
    """
    mean = spread.mean
    if math.isnan(spread.p50):
        return np.full(n, mean if not math.isnan(mean) else 1.0)
    upper = [(0.5, spread.p50)] + [
        (q, v)
        for q, v in ((0.9, spread.p90), (0.95, spread.p95), (0.99, spread.p99), (1.0, spread.high))
        if not math.isnan(v)
    ]
    levels, values = zip(*upper, strict=True)
    place = (np.arange(n) + 0.5) / n
    drawn = np.exp(np.interp(place, levels, np.log(np.maximum(values, 1.0))))
    below = place < 0.5
    if not math.isnan(mean) and below.any():
        # What is missing in the mean lies below the median: fall (1 - 2q)^k has the mean fall / (k + 1).
        missing = (drawn.mean() - mean) * n / below.sum()
        low = spread.low if not math.isnan(spread.low) else max(spread.p50 - 2.0 * missing, 0.0)
        fall = spread.p50 - low
        if missing > 0 and fall > 0:
            steep = max(fall / missing - 1.0, 0.1)
            drawn[below] -= fall * (1.0 - 2.0 * place[below]) ** steep
    return np.asarray(rng.permutation(drawn))


def _arrivals(p: LoadPoint, n: int, k: int, replicas: int, rng: np.random.Generator) -> FloatArray:
    """Seconds at which requests come, rising from 0."""
    rate = (p.offered_rps if p.offered_rps > 0 else p.achieved_rps) / replicas
    if p.arrivals in ("closed", "at_once"):
        return np.zeros(n)
    if p.rows is not None and not np.isnan(p.rows.start_s).any():
        starts = np.sort(p.rows.start_s)[k % replicas :: replicas][:n]
        if len(starts) == n:
            return np.asarray(starts - starts[0])
    if p.arrivals == "constant":
        return np.arange(n) / rate
    shape = p.burstiness
    gaps = rng.gamma(shape, 1.0 / shape, n)
    # The draw's own mean would be a rate error of 1 / sqrt(n); the measured test had one rate.
    gaps *= n / gaps.sum()
    return np.asarray(np.cumsum(gaps) / rate)


class Prediction(NamedTuple):
    """What the simulator makes of the points, by trial.

    seconds [trials, points, METRICS, STATISTICS], NaN where a lane was cut off; pressure, the share of iterations with
    an over-full KV cache, and served_rps of one replica [trials, points].
    """

    seconds: FloatArray
    pressure: FloatArray
    served_rps: FloatArray


def run(cost: StepCost, load: Load, limits: Limits, request_s: FloatArray) -> Prediction:
    """Every point of every trial.

    cost has one lane a trial and point, trial by trial; limits one entry a point; request_s [trials] joins every TTFT.
    """
    trials, lanes = len(request_s), len(load.point)

    def each(values: np.ndarray) -> np.ndarray:
        return np.tile(values, (trials, *[1] * (values.ndim - 1)))

    requests = Requests(
        each(load.arrival_s), each(load.input_tokens), each(load.cached_tokens), each(load.output_tokens)
    )
    slots = np.minimum(limits.max_num_seqs[load.point], load.clients).astype(np.int64)
    many = limits.lanes(np.tile(load.point, trials))._replace(max_num_seqs=each(slots))
    points = len(load.measured)
    index = (np.arange(trials)[:, None] * points + load.point[None, :]).ravel()
    got = simulate(_lanes(cost, index), requests, many)
    found = np.full((trials, points, len(METRICS), len(STATISTICS)), np.nan)
    pressure, served = np.zeros((trials, points)), np.full((trials, points), np.nan)
    for t in range(trials):
        for i in range(points):
            mine = np.flatnonzero(load.point == i)
            n = int(load.count[mine[0]])
            pressure[t, i] = got.kv_pressure[t * lanes + mine].max()
            first, end = got.first_token_s[t * lanes + mine, :n], got.end_s[t * lanes + mine, :n]
            if np.isnan(end).any():
                continue
            tokens = load.output_tokens[mine, :n]
            gaps = (end - first) / np.maximum(tokens - 1, 1)
            tpot = gaps[tokens > 1]
            sent, late = load.arrival_s[mine, :n], np.zeros((len(mine), n))
            c = load.clients[mine[0]]
            if c < n:
                # A place is free before its last token has passed the later pipeline stages.
                behind = 0.0 if got.late_s is None else got.late_s[t * lanes + mine, :n]
                sent = sent_by_clients(sent, end - behind, int(c))
                # Behind a queue nobody is late: who joins next was known before its place was free.
                if limits.overlaps[i] and c <= limits.max_num_seqs[i]:
                    gap = (gaps * (tokens > 1)).sum(axis=1) / np.maximum((tokens > 1).sum(axis=1), 1)
                    late = gap[:, None] * joins_late(load.arrival_s[mine, :n], sent, int(c))
            spent = end.max(axis=1) - sent.min(axis=1) + request_s[t] + late.sum(axis=1) / min(c, n)
            served[t, i] = float(np.mean(n / spent))
            wait = late + request_s[t] - sent
            for j, values in enumerate((first + wait, tpot, end + wait)):
                if values.size:
                    found[t, i, j] = [values.mean(), *np.percentile(values, LEVELS)]
    return Prediction(found, pressure, served)


def sent_by_clients(arrival_s: FloatArray, end_s: FloatArray, clients: int) -> FloatArray:
    """When each request [lanes, requests] was sent: as it came, but not before one of `clients` had its last answer."""
    lanes, n = end_s.shape
    first = np.zeros((lanes, min(clients, n)))
    free = np.concatenate([first, np.sort(end_s, axis=1)[:, : max(n - clients, 0)]], axis=1)
    return np.asarray(np.maximum(arrival_s, free))


def joins_late(arrival_s: FloatArray, sent_s: FloatArray, clients: int) -> BoolArray:
    """Which requests [lanes, requests] of closed loops join an iteration late where iterations are scheduled ahead.

    Sent when another ended, a request finds the next iteration scheduled; the simulator, which frees a place for one
    that has waited since the start, lets it into that. Where all clients' answers ended together nothing was scheduled.
    """
    together = np.stack([np.searchsorted(s, s, "right") - np.searchsorted(s, s, "left") for s in sent_s])
    return np.asarray((sent_s > arrival_s) & (together < clients))


def _lanes(cost: StepCost, index: IntArray) -> StepCost:
    """Lanes of a cost, some of them several times."""
    arrays = {
        field.name: getattr(cost, field.name)[index]
        for field in fields(StepCost)
        if field.name != "tokens" and getattr(cost, field.name) is not None
    }
    return replace(cost, **arrays)
