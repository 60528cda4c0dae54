"""Load second by second: real traces, days made from hourly forecasts, and bursts laid over them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import InputError
from data.records import FloatArray
from data.requests import read_requests
from data.scaling_records import BurstBudget
from data.units import SECONDS_PER_HOUR

MINUTE_RATE = ("minute", "tokens_per_s")
"""Columns of a trace of token rates by minute."""
MOST_MINUTES = 366 * 24 * 60
DAY_S = 24 * SECONDS_PER_HOUR
TRAILING_S = 900


@dataclass(frozen=True, slots=True)
class Load:
    """Mean load by second, work/s [seconds]: requests, or tokens where unit says so. noisy: whether it is a mean that
    arrivals scatter about; otherwise it is what arrived."""

    name: str
    per_s: FloatArray
    unit: str
    noisy: bool
    source: str


def read_load(path: Path) -> Load:
    """A trace file by its content: tokens/s by minute (columns minute, tokens_per_s), else requests with a timestamp in
    any layout that `fleetcast ingest` reads. Raises InputError for what cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            head = tuple(next(csv.reader(handle), ()))
    except OSError as error:
        raise InputError(str(path), "a trace file", error.strerror or "no such file", "Check the path.") from None
    except UnicodeDecodeError:
        head = ()
    return _minutes(path) if head == MINUTE_RATE else _requests(path)


def _minutes(path: Path) -> Load:
    """Minutes in order; those left out had no work."""
    rows: dict[int, float] = {}
    last = -1
    with path.open(encoding="utf-8", newline="") as handle:
        for number, row in enumerate(csv.DictReader(handle), start=2):
            try:
                minute, rate = int(row["minute"]), float(row["tokens_per_s"])
            except (TypeError, ValueError):
                minute, rate = -1, float("nan")
            if not (np.isfinite(rate) and rate >= 0 and last < minute < MOST_MINUTES):
                fix = "Give minutes from 0 on in order, each with a rate of 0 or more."
                raise InputError(f"{path}, line {number}", f"a minute after {last} and its tokens/s", str(row), fix)
            rows[minute] = rate
            last = minute
    if last < 1:
        raise InputError(str(path), "at least two minutes", str(len(rows)), "Export a longer span.")
    means = np.zeros(last + 1)
    means[list(rows)] = list(rows.values())
    return Load(path.stem, _between(means, 60), "tokens", True, path.name)


def _requests(path: Path) -> Load:
    table = read_requests(path, "TIMESTAMP", "ContextTokens", "GeneratedTokens", "UTC")
    stamps = table.frame["ts"].to_numpy(dtype="datetime64[ns]").astype(np.int64) / 1e9
    seconds = np.floor(stamps - stamps[0]).astype(np.int64)
    counts = np.bincount(seconds).astype(np.float64)
    if len(counts) < 120:
        raise InputError(str(path), "at least two minutes of requests", f"{len(counts)} s", "Export a longer span.")
    return Load(path.stem, counts, "requests", False, path.name)


def _between(means: FloatArray, width_s: int) -> FloatArray:
    """Means of spans as a line through their middles, by second; level at both ends."""
    middle = (np.arange(len(means)) + 0.5) * width_s
    return np.asarray(np.interp(np.arange(len(means) * width_s) + 0.5, middle, means), dtype=np.float64)


def day_from_hours(name: str, hourly_rps: FloatArray, source: str) -> Load:
    """A day whose hours have these means [24], rising and falling in between."""
    return Load(name, _between(np.asarray(hourly_rps, dtype=np.float64), SECONDS_PER_HOUR), "requests", True, source)


def real_day(load: Load, peak_per_s: float) -> tuple[Load, FloatArray]:
    """The 24 hours of a trace that hold the most work (from a whole hour of it; all of a shorter trace) with its
    busiest minute at this mean, and what one would have expected of it: the same second of the day before, else the
    mean of the last TRAILING_S. The unit becomes requests. Raises InputError for a trace without load."""
    whole = load.per_s
    total = np.concatenate([[0.0], np.cumsum(whole)])
    length = min(DAY_S, len(whole))
    starts = np.arange(0, len(whole) - length + 1, SECONDS_PER_HOUR)
    begin = int(starts[np.argmax(total[starts + length] - total[starts])])
    day = whole[begin : begin + length]
    width = min(60, length)
    minute = np.convolve(day, np.ones(width) / width, mode="valid")
    if minute.max() <= 0.0:
        raise InputError(load.source, "a load above 0", "none", "Name another trace.")
    factor = peak_per_s / float(minute.max())
    noisy = load.noisy
    if factor > 1.0 and not noisy:
        # More users are not the same users louder: minutes grow, and requests scatter anew within them.
        day, noisy = np.convolve(day, np.ones(width) / width, mode="same"), True
    shift = length if begin >= length else 0
    end = np.arange(begin - shift, begin - shift + length) + 1
    span = np.maximum(end - TRAILING_S, 0)
    expected = (total[end] - total[span]) / (end - span)
    return Load(load.name, day * factor, "requests", noisy, load.source), np.asarray(expected * factor)


def with_burst(load: Load, burst: BurstBudget, at_s: int, most_per_s: float = float("inf")) -> Load:
    """The load with one burst from at_s on: up to `factor` times itself within ramp_s, held, and back as fast. It adds
    no more than takes the load to most_per_s, or nothing where it is over it already."""
    seconds = np.arange(len(load.per_s), dtype=np.float64) - at_s
    ramp = max(burst.ramp_s, 1.0)
    shape = np.interp(seconds, [0.0, ramp, ramp + burst.hold_s, 2 * ramp + burst.hold_s], [0.0, 1.0, 1.0, 0.0])
    extra = np.minimum((burst.factor - 1.0) * load.per_s * shape, np.maximum(most_per_s - load.per_s, 0.0))
    return Load(f"{load.name} + burst", load.per_s + extra, load.unit, load.noisy, load.source)


def arrivals(load: Load, seed: int, step_s: float = 1.0) -> FloatArray:
    """Requests by step: Poisson about a mean, or as they came."""
    width = round(step_s)
    whole = len(load.per_s) // width * width
    mean: FloatArray = load.per_s[:whole].reshape(-1, width).sum(axis=1)
    if not load.noisy:
        return mean
    return np.asarray(np.random.default_rng(seed).poisson(mean), dtype=np.float64)
