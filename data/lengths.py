"""Joint samples of input, output and cached tokens: small enough for kernels, faithful in the tail."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from configs.traffic import LogNormalLengths
from data.records import FloatArray, IntArray, LengthSample

BODY_POINTS = 768
TAIL_POINTS = 256
TAIL_SHARE = 0.05
"""The longest 5 % of requests get a quarter of the points: they decide KV capacity and TTFT percentiles."""


def _sample(
    inputs: FloatArray, outputs: FloatArray, cached_share: float, source: str, weight: FloatArray | None = None
) -> LengthSample:
    whole = np.maximum(np.rint(inputs), 1)
    share = np.ones(len(whole)) if weight is None else weight
    return of_rows(whole, outputs, np.floor(whole * cached_share), share, source)


def of_rows(
    inputs: FloatArray, outputs: FloatArray, cached: FloatArray, weight: FloatArray, source: str
) -> LengthSample:
    """A sample of given triples and weights, in whole tokens: at least one in and one out, at most input - 1 cached."""
    whole = np.maximum(np.rint(inputs), 1).astype(np.int64)
    held = np.minimum(np.rint(cached).astype(np.int64), whole - 1)
    out: IntArray = np.maximum(np.rint(outputs), 1).astype(np.int64)
    return LengthSample(whole, out, held, weight / weight.sum(), source)


def stratified(inputs: FloatArray, outputs: FloatArray, cached_share: float, seed: int, source: str) -> LengthSample:
    """A stratified sample of pairs, by total tokens: one pair drawn from each of equal-mass strata of the body, and
    of finer ones of the tail, with weights that undo the oversampling. All pairs where there are few.

    Requests with no output token (cancelled) count as one token: they were prefilled.
    """
    n = len(inputs)
    if n <= BODY_POINTS + TAIL_POINTS:
        return _sample(inputs, outputs, cached_share, source)
    order = np.argsort(inputs + outputs, kind="stable")
    cut = int(n * (1.0 - TAIL_SHARE))
    edges = np.concatenate([np.linspace(0, cut, BODY_POINTS + 1), np.linspace(cut, n, TAIL_POINTS + 1)[1:]])
    edges = np.unique(edges.astype(np.int64))
    low, size = edges[:-1], np.diff(edges)
    drawn = low + np.floor(np.random.default_rng(seed).random(len(low)) * size).astype(np.int64)
    rows = order[drawn]
    return _sample(inputs[rows], outputs[rows], cached_share, source, size.astype(np.float64))


def lognormal(spec: LogNormalLengths, cached_share: float, seed: int, points: int = 200_000) -> LengthSample:
    """A sample of lognormal lengths through the published p50 and p99 of each side, joined by a Gaussian copula.

    The strata come from a large seeded draw, so that correlation and tails are those of the distribution.
    """
    z99 = NormalDist().inv_cdf(0.99)
    rng = np.random.default_rng(seed)
    first = rng.standard_normal(points)
    second = spec.correlation * first + np.sqrt(1.0 - spec.correlation**2) * rng.standard_normal(points)
    sides = []
    for z, p50, p99 in (
        (first, spec.input_p50_tokens, spec.input_p99_tokens),
        (second, spec.output_p50_tokens, spec.output_p99_tokens),
    ):
        sigma = np.log(p99 / p50) / z99
        # Beyond p99.9 a lognormal outgrows any context window; published traces stop near their p99.
        sides.append(np.exp(np.log(p50) + sigma * np.clip(z, -3.1, 3.1)))
    return stratified(sides[0], sides[1], cached_share, seed, f"lognormal through {spec.source}")
