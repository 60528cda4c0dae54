"""What is asked of a replica: classes mixed in their shares, drawn request by request, and when they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from data.records import FloatArray, IntArray, LengthSample, SloTarget


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """A request class on a replica: its share of the requests, its lengths and its SLO."""

    name: str
    share: float
    lengths: LengthSample
    slo: SloTarget


Mix = tuple[ClassLoad, ...]
"""The classes of one lane."""


STEADY = 8
"""Requests that a lane must see for each that runs at once: a replica starts empty, and until as many have come as run
it is not as crowded as it will be. With a third as many, knees were up to 13 % too high, with as many threefold."""
MOST_TIMES = 16


def enough_requests(running: float, least: int) -> int:
    """Requests to simulate where so many run at once: `least`, 4 or 16 times that, few enough sizes to compile."""
    times = 1
    while times < MOST_TIMES and STEADY * running > least * times:
        times *= 4
    return least * times


def mean_context_tokens(mix: Mix) -> float:
    """Mean tokens of KV cache that a decoding request holds, over the mix."""
    return sum(one.share * one.lengths.mean_context_tokens for one in mix) / sum(one.share for one in mix)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Requests of every lane and seed, [lanes x seeds, requests]: tokens, the index of the class in the lane's mix, and
    arrival times at one request a second. Row i is of lane i // seeds and draws with seed i % seeds."""

    input_tokens: IntArray
    cached_tokens: IntArray
    output_tokens: IntArray
    which: IntArray
    unit_s: FloatArray
    seeds: int


def replica_cv(cv: float, replicas: int, routing: str) -> float:
    """Coefficient of variation of the gaps that each replica of a pool sees, of whose stream they vary by cv.

    Dealt out in turn (`round_robin`), each of n replicas sees every n-th arrival, whose gaps are again gamma and vary
    by 1 / sqrt(n) as much. Picked at `random`, it waits for a geometric number of gaps, of squared variation
    1 + (cv^2 - 1) / n: Poisson stays Poisson, and other gaps are taken as gamma.
    """
    if routing == "round_robin":
        return float(cv / np.sqrt(replicas))
    return float(np.sqrt(1.0 + (cv**2 - 1.0) / replicas))


def arrivals(rng: np.random.Generator, requests: int, cv: float) -> FloatArray:
    """Rising arrival times at one request a second, [requests]: gamma interarrivals with coefficient of variation cv
    (1 is Poisson, above it bursts, 1 / sqrt(n) is what one of n replicas sees of a Poisson stream dealt in turn)."""
    if cv == 1.0:
        return np.cumsum(rng.exponential(1.0, requests))
    shape = 1.0 / cv**2
    return np.cumsum(rng.gamma(shape, 1.0 / shape, requests))


def draw(mixes: Sequence[Mix], requests: int, seeds: int = 1, seed: int = 0, cv: float | FloatArray = 1.0) -> Drawn:
    """Requests of every lane and seed, lane by lane and within it seed by seed: [lanes x seeds, requests]; cv of all
    lanes, or of each [lanes].

    Lengths are drawn by stratified inversion of each sample's weights along its total length, so that tails come in
    their share; the same seed uses the same random numbers in every lane, so that lanes differ by nothing else.
    """
    sides: list[list[IntArray]] = []
    streams = [np.random.default_rng((seed, index)) for index in range(seeds)]
    uniform = [(rng.permutation(requests) + rng.random(requests)) / requests for rng in streams]
    lot = [rng.random(requests) for rng in streams]
    varied, kind = np.unique(np.broadcast_to(np.asarray(cv, dtype=np.float64), (len(mixes),)), return_inverse=True)
    unit = np.stack([[arrivals(deepcopy(rng), requests, float(one)) for rng in streams] for one in varied])
    for mix in mixes:
        shares = np.cumsum([one.share for one in mix])
        sorted_ = [_by_length(one.lengths) for one in mix]
        for index in range(seeds):
            which = np.minimum(np.searchsorted(shares / shares[-1], lot[index]), len(mix) - 1)
            lane = np.zeros((3, requests), dtype=np.int64)
            for number, (table, cumulative) in enumerate(sorted_):
                mine = np.flatnonzero(which == number)
                # The class's own ranks, so that each class is stratified whatever its share.
                rank = (np.argsort(np.argsort(uniform[index][mine])) + uniform[index][mine]) / max(len(mine), 1)
                lane[:, mine] = table[:, np.minimum(np.searchsorted(cumulative, rank), table.shape[1] - 1)]
            sides.append([lane[0], lane[1], lane[2], which])
    inputs, cached, outputs, which_ = (np.stack(side) for side in zip(*sides, strict=True))
    return Drawn(inputs, cached, outputs, which_, unit[kind].reshape(-1, requests), seeds)


def _by_length(sample: LengthSample) -> tuple[IntArray, FloatArray]:
    """Input, cached and output tokens [3, n] by total length, and the cumulative weight."""
    order = np.argsort(sample.input_tokens + sample.output_tokens, kind="stable")
    table = np.stack([sample.input_tokens[order], sample.cached_tokens[order], sample.output_tokens[order]])
    return table, np.cumsum(sample.weight[order]) / sample.weight.sum()
