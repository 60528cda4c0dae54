"""Requests from fitted parameters (data/fitted.py): counts by minute, times within them, lengths; and as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import InputError
from data.fitted import Fitted, Modulation, Patterns, Trace
from data.records import FloatArray, IntArray
from data.synthetic import correlated_gamma

NEAREST_PATTERNS = 8


def modulated(n: int, how: Modulation, rng: np.random.Generator) -> FloatArray:
    """n values of a modulation."""
    size = len(how.runs)
    if not size:
        return correlated_gamma(n, how.cv, how.correlation, rng)
    begins = rng.random(n) < 1.0 / how.run_length
    begins[0] = True
    start = rng.integers(0, size, n)
    last = np.maximum.accumulate(np.where(begins, np.arange(n), 0))
    drawn: FloatArray = how.runs[(start[last] + np.arange(n) - last) % size]
    return drawn


def numbers(fitted: Fitted, first_min: int, minutes: int, rng: np.random.Generator) -> IntArray:
    """Requests in each of `minutes` minutes from minute `first_min` since 1970."""
    at = first_min + np.arange(minutes)
    mean = fitted.profile[(at - fitted.origin_min) % len(fitted.profile)]
    hours = at // 60 - at[0] // 60
    h = modulated(int(hours[-1]) + 1, fitted.hour, rng)[hours]
    found: IntArray = rng.poisson(mean * h * modulated(minutes, fitted.minute, rng))
    return found


def _like(patterns: Patterns, ends: IntArray, number: int, rng: np.random.Generator) -> FloatArray:
    """Places of `number` arrivals after one of the minutes of that count, or, where there are not eight, of the eight
    whose count is nearest: of a busier one a run of arrivals is left out, so that the others keep their distances; what
    a calmer one lacks comes from another, laid over it."""
    found: list[FloatArray] = []
    while number > 0:
        low, high = (int(np.searchsorted(patterns.counts, number, side)) for side in ("left", "right"))
        lacking = max(NEAREST_PATTERNS - (high - low), 0)
        low = max(min(low - lacking // 2, len(patterns.counts) - NEAREST_PATTERNS), 0) if lacking else low
        chosen = int(rng.integers(low, min(max(high, low + NEAREST_PATTERNS), len(patterns.counts))))
        size = int(patterns.counts[chosen])
        places = patterns.places[ends[chosen] - size : ends[chosen]]
        if size > number:
            out = int(rng.integers(0, number + 1))
            places = np.delete(places, slice(out, out + size - number))
        found.append(places)
        number -= len(places)
    return np.sort(np.concatenate(found))


def places(fitted: Fitted, number: IntArray, rng: np.random.Generator) -> FloatArray:
    """Where in their minute arrivals fall, as shares of it, minute by minute [sum of number]."""
    if fitted.patterns is None:
        return rng.random(int(number.sum()))
    ends = np.cumsum(fitted.patterns.counts)
    found = [_like(fitted.patterns, ends, int(n), rng) for n in number[number > 0]]
    return np.concatenate(found) if found else np.empty(0)


def generate(fitted: Fitted, first_min: int, minutes: int, seed: int) -> Trace:
    """Requests of `minutes` minutes from minute `first_min` since 1970; the same seed gives the same requests. Raises
    InputError where no lengths are known."""
    if not len(fitted.lengths):
        raise InputError(
            "lengths of the class",
            "requests, or length histograms of its engines",
            "counts alone",
            "Ingest a request log of the class too (`--label` gives its rows the class's names).",
        )
    rng = np.random.default_rng(seed)
    number = numbers(fitted, first_min, minutes, rng)
    place = places(fitted, number, rng)
    ts = (np.repeat(first_min + np.arange(minutes), number) * 60_000_000 + place * 60e6).astype(np.int64)
    ts = np.sort(ts // fitted.resolution_us * fitted.resolution_us)
    drawn = fitted.lengths[rng.integers(0, len(fitted.lengths), len(ts))]
    return Trace(ts, drawn[:, 0], drawn[:, 1], drawn[:, 2])


def write_trace(trace: Trace, path: Path) -> None:
    """A Parquet request log that `fleetcast ingest` reads."""
    columns = {
        "timestamp": pa.array(trace.ts_us, type=pa.timestamp("us", tz="UTC")),
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cached_tokens": trace.cached_tokens,
    }
    try:
        pq.write_table(pa.table(columns), path)
    except OSError as error:
        raise InputError(str(path), "a file that can be written", str(error), "Choose another --out.") from None
