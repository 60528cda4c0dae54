"""Percentile times of simulated requests, by class, after the warm-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from models.simulator.engine import Outcome, Requests

WARM_UP = 0.1
"""Share of requests at the start that are not scored: the replica starts empty."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of the scored requests, [lanes, requests]; TPOT is nan for single-token outputs."""

    ttft_s: FloatArray
    tpot_s: FloatArray
    e2e_s: FloatArray


def times(first_token_s: FloatArray, end_s: FloatArray, requests: Requests) -> Times:
    """TTFT, mean time per output token after the first, and end-to-end time of the requests after the warm-up."""
    start = int(WARM_UP * requests.arrival_s.shape[1])
    first, end = first_token_s[:, start:], end_s[:, start:]
    arrival, outputs = requests.arrival_s[:, start:], requests.output_tokens[:, start:]
    tpot = np.where(outputs > 1, (end - first) / np.maximum(outputs - 1, 1), np.nan)
    return Times(first - arrival, tpot, end - arrival)


def quantiles(values: FloatArray, finished: BoolArray, percentile: FloatArray) -> FloatArray:
    """The percentile (0-100) of each lane's known values, [lanes]: infinite where the lane did not finish, 0 where it
    has no values."""
    found = np.full(len(values), np.inf)
    for lane in np.flatnonzero(finished):
        seen = values[lane][~np.isnan(values[lane])]
        found[lane] = np.quantile(seen, percentile[lane] / 100.0) if len(seen) else 0.0
    return found


def of_class(values: FloatArray, which: IntArray, number: int) -> BoolArray:
    """Which requests after the warm-up, those that have `values`, are of one class of the mix; `which` covers all."""
    return np.asarray(which[:, which.shape[1] - values.shape[1] :] == number)


def keeps_up(outcome: Outcome, requests: Requests) -> BoolArray:
    """Whether the backlog of each lane does not grow: the later half of requests waits little more than the first."""
    ttft = times(outcome.first_token_s, outcome.end_s, requests).ttft_s
    start = requests.arrival_s.shape[1] - ttft.shape[1]
    half = ttft.shape[1] // 2
    with np.errstate(all="ignore"):
        early = np.median(np.nan_to_num(ttft[:, :half], nan=np.inf), axis=1)
        late = np.median(np.nan_to_num(ttft[:, half:], nan=np.inf), axis=1)
        span = requests.arrival_s[:, -1] - requests.arrival_s[:, start]
        return outcome.finished & (late - early <= np.maximum(0.05 * span, early))


def across(values: FloatArray, seeds: int) -> FloatArray:
    """Mean over the seeds of every lane: [lanes x seeds] to [lanes]."""
    return np.asarray(values.reshape(-1, seeds).mean(axis=1), dtype=np.float64)
