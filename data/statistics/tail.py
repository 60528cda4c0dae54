"""What a plan from mean lengths would miss: the KV cache that a mix holds against that of mean requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.records import FloatArray, LengthSample

CONCURRENCIES = (8, 32, 128)
DRAWS = 4000


@dataclass(frozen=True, slots=True)
class MixTail:
    """Resident KV tokens of `concurrent` requests in flight at once: p50 and p99 over random mixes, and by how much p99
    exceeds `concurrent` mean requests."""

    concurrent: int
    mean_request_tokens: float
    p50_tokens: float
    p99_tokens: float
    p99_over_mean: float


@dataclass(frozen=True, slots=True)
class LengthTail:
    """mean_request_tokens: E[input] + E[output] / 2, what a plan from means assumes of a request in flight;
    in_flight_tokens: the mean over requests actually in flight. Long outputs stay longer, so that the second is larger
    (the inspection paradox); longest_1pct_share: share of all in-flight token time that the longest 1 % hold."""

    mean_request_tokens: float
    in_flight_tokens: float
    longest_1pct_share: float
    mixes: tuple[MixTail, ...]


def _in_flight(sample: LengthSample) -> tuple[FloatArray, FloatArray]:
    """Time share [n] of each sampled request among requests in flight, and its output so far is uniform: a request
    decodes one token a step, so that it is in flight in proportion to its output length."""
    share = sample.weight * sample.output_tokens
    return share / share.sum(), sample.output_tokens.astype(np.float64)


def length_tail(sample: LengthSample, seed: int) -> LengthTail:
    """The KV cache held by mixes drawn from a sample, prompts whole and outputs at a uniform point of their length.

    Cached prefixes are counted as held: a hit saves compute, and memory only where requests share it at the same time.
    """
    share, outputs = _in_flight(sample)
    inputs = sample.input_tokens.astype(np.float64)
    mean = float((sample.weight * (inputs + outputs / 2.0)).sum())
    held = inputs + outputs / 2.0
    average = float((share * held).sum())
    order = np.argsort(-(inputs + outputs), kind="stable")
    by_length = np.cumsum(sample.weight[order])
    last = int(np.searchsorted(by_length, 0.01)) + 1
    # The last of the longest 1 % may stand for more than is left of the 1 %.
    part = sample.weight[order][:last].copy()
    part[-1] -= max(by_length[last - 1] - 0.01, 0.0)
    occupancy = share * held / average
    scaled = occupancy[order][:last] * part / np.maximum(sample.weight[order][:last], 1e-300)
    rng = np.random.default_rng(seed)
    mixes = []
    for concurrent in CONCURRENCIES:
        drawn = rng.choice(len(share), size=(DRAWS, concurrent), p=share)
        tokens = (inputs[drawn] + rng.random(drawn.shape) * outputs[drawn]).sum(axis=1)
        p50, p99 = (float(x) for x in np.quantile(tokens, (0.5, 0.99)))
        mixes.append(MixTail(concurrent, mean, p50, p99, p99 / (concurrent * mean)))
    return LengthTail(mean, average, float(scaled.sum()), tuple(mixes))
