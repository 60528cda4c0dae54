"""Goodput at the SLO: the highest arrival rate at which every stated percentile holds, by simulation.

Every configuration is simulated at several rates at once, with the same requests and the same unit-rate arrivals for
all (common random numbers), first on a wide bracket around a guess, then inside the bracket that remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.records import FloatArray, IntArray, LengthSample, SloTarget, StepCost
from models.simulator.cost import take
from models.simulator.engine import Limits, Outcome, Requests, simulate

WIDE = np.geomspace(0.25, 2.0, 8)
"""First bracket, as multiples of the guess."""
WARM_UP = 0.1
"""Share of requests at the start that are not scored: the replica starts empty."""
BINDING = ("ttft", "tpot", "e2e", "kv_cache", "throughput")
PRESSURE = 0.01
"""Share of iterations with an over-full KV cache above which an engine would preempt so much that the lane's times no
longer hold: such a rate counts as past the knee."""


@dataclass(frozen=True, slots=True)
class Knees:
    """One entry per lane. knee_rps is 0 where even the lowest rate breaks the SLO; low and high bracket it.

    binding is the limit that breaks first above it. The at_* figures are at `operating` times the knee: seconds at the
    SLO's percentile, mean running requests, share of KV in use, share of iterations with an over-full cache.
    """

    knee_rps: FloatArray
    low_rps: FloatArray
    high_rps: FloatArray
    binding: tuple[str, ...]
    operating_rps: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    running: FloatArray
    kv_share: FloatArray
    kv_pressure: FloatArray
    output_tokens_per_s: FloatArray


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentile times of every lane over the scored requests; a lane that did not finish is infinite."""

    ttft_s: FloatArray
    tpot_s: FloatArray
    e2e_s: FloatArray
    keeps_up: np.ndarray


def draw(samples: Sequence[LengthSample], requests: int, seed: int) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Input, cached and output tokens [lanes, requests] and unit-rate Poisson arrivals [requests].

    Lengths are drawn by stratified inversion of each sample's weights, so that tails come in their share; lanes with
    equal samples get equal requests.
    """
    rng = np.random.default_rng(seed)
    uniform = (rng.permutation(requests) + rng.random(requests)) / requests
    arrivals = np.cumsum(rng.exponential(1.0, requests))
    rows = []
    for sample in samples:
        order = np.argsort(sample.input_tokens + sample.output_tokens, kind="stable")
        cumulative = np.cumsum(sample.weight[order]) / sample.weight.sum()
        index = order[np.minimum(np.searchsorted(cumulative, uniform), len(order) - 1)]
        rows.append((sample.input_tokens[index], sample.cached_tokens[index], sample.output_tokens[index]))
    inputs, cached, outputs = (np.stack(side) for side in zip(*rows, strict=True))
    return inputs, cached, outputs, arrivals


def percentiles(outcome: Outcome, requests: Requests, percentile: FloatArray) -> Percentiles:
    """TTFT, TPOT and end-to-end percentiles of every lane after the warm-up."""
    start = int(WARM_UP * requests.arrival_s.shape[1])
    first, end = outcome.first_token_s[:, start:], outcome.end_s[:, start:]
    arrival, outputs = requests.arrival_s[:, start:], requests.output_tokens[:, start:]
    ttft, e2e = first - arrival, end - arrival
    tpot = np.where(outputs > 1, (end - first) / np.maximum(outputs - 1, 1), np.nan)

    def quantiles(values: FloatArray) -> FloatArray:
        found = np.full(len(values), np.inf)
        for lane in np.flatnonzero(outcome.finished):
            seen = values[lane][~np.isnan(values[lane])]
            found[lane] = np.quantile(seen, percentile[lane] / 100.0) if len(seen) else 0.0
        return found

    # A lane keeps up when its backlog does not grow: the second half of requests waits little more than the first.
    half = ttft.shape[1] // 2
    early, late = np.nanmedian(ttft[:, :half], axis=1), np.nanmedian(ttft[:, half:], axis=1)
    span = np.nan_to_num(arrival[:, -1] - arrival[:, 0])
    keeps_up = outcome.finished & (late - early <= np.maximum(0.05 * span, early))
    return Percentiles(quantiles(ttft), quantiles(tpot), quantiles(e2e), keeps_up)


def find_knees(
    cost: StepCost,
    samples: Sequence[LengthSample],
    limits: Limits,
    slos: Sequence[SloTarget],
    guess_rps: FloatArray,
    operating: float,
    requests: int = 1000,
    seed: int = 0,
    rounds: int = 1,
) -> Knees:
    """Knees of every lane; samples, slos and guess_rps have one entry per lane of `cost`.

    The wide bracket spans a factor of 8 around the guess in steps of 1.35; each round narrows the step to its ninth
    root: 1 round ends within 3.5 % of the simulated knee, 2 within 0.4 %. The knee itself moves by a few percent with
    the seed at 1,000 requests.
    """
    lanes, rates = len(samples), len(WIDE)
    inputs, cached, outputs, unit = draw(samples, requests, seed)
    percentile = np.array([slo.percentile for slo in slos])
    low, high = np.zeros(lanes), np.full(lanes, np.inf)
    breaks = np.zeros(lanes, dtype=np.int64)

    def run(rate: FloatArray) -> tuple[Outcome, Requests]:
        times = rate.shape[1]
        each = Requests(
            (unit[None, None, :] / rate[:, :, None]).reshape(-1, requests),
            np.repeat(inputs, times, axis=0), np.repeat(cached, times, axis=0), np.repeat(outputs, times, axis=0),
        )  # fmt: skip
        many = Limits(
            np.repeat(limits.max_num_seqs, times), np.repeat(limits.token_budget, times),
            np.repeat(limits.kv_tokens, times), np.repeat(limits.block_tokens, times),
        )  # fmt: skip
        return simulate(take(cost, np.repeat(np.arange(lanes), times)), each, many), each

    grid = guess_rps[:, None] * WIDE[None, :]
    for _ in range(1 + rounds):
        outcome, each = run(grid)
        found = percentiles(outcome, each, np.repeat(percentile, rates))
        for lane, slo in enumerate(slos):
            rows = slice(lane * rates, (lane + 1) * rates)
            over = np.stack(
                [
                    found.ttft_s[rows] > slo.ttft_s,
                    found.tpot_s[rows] > slo.tpot_s,
                    found.e2e_s[rows] > (np.inf if slo.e2e_s is None else slo.e2e_s),
                    outcome.kv_pressure[rows] > PRESSURE,
                    ~found.keeps_up[rows],
                ]
            )
            bad = over.any(axis=0)
            first_bad = int(np.argmax(bad)) if bad.any() else rates
            if first_bad > 0:
                low[lane] = max(low[lane], grid[lane, first_bad - 1])
            if first_bad < rates:
                high[lane] = min(high[lane], grid[lane, first_bad])
                breaks[lane] = int(np.argmax(over[:, first_bad]))
        top = np.where(np.isfinite(high), high, np.maximum(low, guess_rps) * 8.0)
        bottom = np.where(low > 0, low, top / 64.0)
        share = np.arange(1, rates + 1) / (rates + 1)
        grid = bottom[:, None] * (top / bottom)[:, None] ** share[None, :]
    knee = np.where(low > 0, low, 0.0)
    rate = operating * np.maximum(knee, 1e-9)
    outcome, each = run(np.where(knee > 0, rate, guess_rps)[:, None])
    at = percentiles(outcome, each, percentile)
    return Knees(
        knee_rps=knee,
        low_rps=low,
        high_rps=high,
        binding=tuple(BINDING[index] for index in breaks),
        operating_rps=operating * knee,
        ttft_s=at.ttft_s,
        tpot_s=at.tpot_s,
        running=outcome.mean_running,
        kv_share=outcome.mean_kv_tokens / np.maximum(limits.kv_tokens, 1.0),
        kv_pressure=outcome.kv_pressure,
        output_tokens_per_s=outputs.sum(axis=1) / outcome.makespan_s,
    )
