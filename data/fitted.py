"""A generator fitted to a class of an ingested dataset: arrivals that are uneven, bursty and correlated; joint lengths.

Requests in minute m are Poisson with mean  level x profile(m) x h(hour of m) x g(m),  where

- profile is the mean by hour of the week (from three weeks on) or of the day (from three days on), in minutes by linear
  interpolation between hours; of a shorter trace a running mean of 15 minutes of the trace itself, repeated;
- h and g are gamma with mean 1, correlated from hour to hour and from minute to minute (data/synthetic.py); their
  variances are what is left of the counts' variance after the profile and the Poisson part, by moments;
- within a minute the gaps between arrivals are drawn from those of the trace's minutes of about the same count, in
  units of the minute's mean gap; the long ones are stretched to fill the minute; times are then cut to the resolution
  of the trace's clock;
- lengths are drawn with replacement from up to 50,000 requests of the trace, whole triples of input, output and cached
  tokens, so that they go together as they did.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs.classes import ClassRules
from configs.errors import InputError
from data.classes import class_names, class_sql
from data.records import FloatArray, IntArray
from data.statistics.lengths import SERVED
from data.synthetic import correlated_gamma

KEPT_LENGTHS = 50_000
KEPT_TIMES = 2_000_000
TREND_MINUTES = 15
GAP_VALUES, GAP_ROWS = 2048, 8
_DAY_MIN, _WEEK_MIN = 1440, 10_080
LEAST_REQUESTS = 200


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of time: arrival (microseconds since 1970, UTC), input, output, cached tokens; shapes [n]."""

    ts_us: IntArray
    input_tokens: IntArray
    output_tokens: IntArray
    cached_tokens: IntArray


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a trace is generated from.

    profile [p]: requests a minute, repeated from minute `origin_min` since 1970; minutes: span of the trace; gaps and
    gap_edges: see `minute_gaps`; lengths [m, 3]: input, output and cached tokens; resolution_us: of the clock.
    """

    profile: FloatArray
    origin_min: int
    minutes: int
    hour_cv: float
    hour_correlation: float
    minute_cv: float
    minute_correlation: float
    gaps: FloatArray
    gap_edges: FloatArray
    resolution_us: int
    lengths: IntArray


def read_class(connection: duckdb.DuckDBPyConnection, rules: ClassRules, name: str) -> Trace:
    """The requests of one class, the latest two million at most. Raises InputError for fewer than 200."""
    number = class_names(rules).index(name)
    found = connection.execute(
        "SELECT epoch_us(ts) AS t, input_tokens AS i, output_tokens AS o, coalesce(cached_tokens, 0) AS c "
        f"FROM requests WHERE {class_sql(rules)} = {number} AND {SERVED} ORDER BY ts DESC, row_key LIMIT {KEPT_TIMES}"
    ).fetchnumpy()
    columns = [np.asarray(found[key], dtype=np.int64)[::-1] for key in ("t", "i", "o", "c")]
    if len(columns[0]) < LEAST_REQUESTS:
        raise InputError(
            f"class {name!r}",
            f"at least {LEAST_REQUESTS} requests",
            f"{len(columns[0])}",
            "Ingest more, or widen its rule.",
        )
    return Trace(*columns)


def minute_counts(ts_us: IntArray) -> tuple[int, FloatArray]:
    """The first minute since 1970 and the counts from there; a first and last minute cut off by the trace's ends are
    left out where three others remain."""
    minute = ts_us // 60_000_000
    first = int(minute[0])
    counts = np.bincount(minute - first).astype(np.float64)
    return (first + 1, counts[1:-1]) if len(counts) >= 5 else (first, counts)


def excess(counts: FloatArray, mean: FloatArray, lost: float = 0.0) -> tuple[float, float]:
    """Coefficient of variation and lag-1 correlation of the modulation of a Poisson process of known mean, by moments.

    counts are Poisson given mean x modulation, so that E[(c - mean)^2 - c] = cv^2 mean^2 and neighbouring residuals
    multiply to correlation x cv^2 x means. `lost`: share of the variance that the mean has taken with it.
    """
    rest = counts - mean
    scale = float((mean**2).sum())
    if scale <= 0 or len(counts) < 3:
        return 0.0, 0.0
    variance = max(float((rest**2 - mean).sum()) / scale / (1.0 - lost), 0.0)
    if variance < 1e-6:
        return 0.0, 0.0
    together = float((rest[1:] * rest[:-1]).sum()) / max(float((mean[1:] * mean[:-1]).sum()), 1e-300)
    return float(np.sqrt(variance)), float(np.clip(together / variance, 0.0, 0.99))


def clock_resolution(ts_us: IntArray) -> int:
    """Microseconds between the ticks of a trace's clock.

    The greatest common divisor of all gaps; but where 99 % of the gaps other than 0 lie within 1 % of a multiple of
    their median, that median, to the millisecond: a clock that ticks every 3 s may still be a millisecond off.
    """
    gaps = np.diff(ts_us)
    some = gaps[gaps > 0]
    if not len(some):
        return 1
    tick = int(np.median(some)) // 1000 * 1000
    if tick >= 100_000:
        large = some[some > tick // 2]
        off = np.abs(large / tick - np.rint(large / tick))
        if len(large) >= 0.99 * len(some) and (off <= 0.01).mean() >= 0.99:
            return tick
    return max(int(np.gcd.reduce(gaps)), 1)


def minute_gaps(ts_us: IntArray, resolution_us: int) -> tuple[FloatArray, FloatArray]:
    """Gaps between arrivals of the same minute in units of the minute's mean gap, [b, q], each row equally likely
    values in ascending order; and the arrivals a minute up to which a row holds, [b].

    Busy and quiet minutes differ in how clustered they are: rows are of equal numbers of gaps, by the minute's count.
    Cut-off ends are left out. A clock coarser than a tenth of the mean gap says nothing of gaps: one exponential row.
    """
    minute = ts_us // 60_000_000
    same = (minute[1:] == minute[:-1]) & (minute[1:] > minute[0]) & (minute[1:] < minute[-1])
    _, inverse, number = np.unique(minute, return_inverse=True, return_counts=True)
    n = number[inverse[1:]][same].astype(np.float64)
    places = (np.arange(GAP_VALUES) + 0.5) / GAP_VALUES
    if len(n) < 50 or resolution_us > 0.1 * 60e6 * float(np.mean(1.0 / n)):
        return -np.log1p(-places)[None, :], np.array([np.inf])
    gaps = (np.diff(ts_us) / 60e6)[same] * (n + 1.0)
    rows = max(min(GAP_ROWS, len(n) // 200), 1)
    edges = np.unique(np.quantile(n, np.arange(1, rows + 1) / rows, method="higher"))
    edges[-1] = np.inf
    row = np.searchsorted(edges, n)
    found = np.stack([np.quantile(gaps[row == r], places) for r in range(len(edges))])
    return np.maximum(found, 1e-9), edges


def _hourly_profile(first: int, counts: FloatArray, period_min: int) -> tuple[FloatArray, int]:
    """Mean requests a minute over a period that starts at a multiple of it, between hours by linear interpolation."""
    hour = (first + np.arange(len(counts))) % period_min // 60
    size = period_min // 60
    mean = np.bincount(hour, weights=counts, minlength=size) / np.maximum(np.bincount(hour, minlength=size), 1)
    middle = np.arange(size) * 60.0 + 30.0
    return np.interp(np.arange(period_min) + 0.5, middle, mean, period=period_min), 0


def fit(trace: Trace, seed: int = 0) -> Fitted:
    """The parameters of a trace."""
    first, counts = minute_counts(trace.ts_us)
    resolution = clock_resolution(trace.ts_us)
    n = len(counts)
    hour_cv = hour_correlation = 0.0
    if n >= 3 * _DAY_MIN:
        period = _WEEK_MIN if n >= 3 * _WEEK_MIN else _DAY_MIN
        # Day 0 of 1970 was a Thursday; a profile by place in the period needs no calendar beyond that.
        profile, origin = _hourly_profile(first, counts, period)
        mean = profile[(first + np.arange(n)) % period]
        whole = n // 60 * 60
        by_hour, expected = (x[:whole].reshape(-1, 60).sum(axis=1) for x in (counts, mean))
        hour_cv, hour_correlation = excess(by_hour, expected)
        level = np.repeat(by_hour / np.maximum(expected, 1e-9), 60)
        minute_cv, minute_correlation = excess(counts[:whole], mean[:whole] * level, lost=1.0 / 60.0)
    else:
        width = min(TREND_MINUTES, n)
        weights = np.convolve(np.ones(n), np.ones(width), mode="same")
        profile, origin = np.convolve(counts, np.ones(width), mode="same") / weights, first
        minute_cv, minute_correlation = excess(counts, profile, lost=1.0 / width)
    rng = np.random.default_rng(seed)
    gaps, gap_edges = minute_gaps(trace.ts_us, resolution)
    size = len(trace.ts_us)
    rows = np.arange(size) if size <= KEPT_LENGTHS else rng.choice(size, KEPT_LENGTHS, replace=False)
    lengths = np.stack([trace.input_tokens, trace.output_tokens, trace.cached_tokens], axis=1)[rows]
    return Fitted(
        profile=profile,
        origin_min=origin,
        minutes=n,
        hour_cv=hour_cv,
        hour_correlation=hour_correlation,
        minute_cv=minute_cv,
        minute_correlation=minute_correlation,
        gaps=gaps,
        gap_edges=gap_edges,
        resolution_us=resolution,
        lengths=lengths,
    )


def _places(fitted: Fitted, number: IntArray, rng: np.random.Generator) -> FloatArray:
    """Where in their minute arrivals fall, as shares of it. A minute has one gap more than arrivals; the gaps above the
    median are stretched or shrunk so that all fill the minute: silence gives way, clusters keep their pace."""
    row = np.repeat(np.searchsorted(fitted.gap_edges, number), number + 1)
    gaps = fitted.gaps[row, rng.integers(0, fitted.gaps.shape[1], len(row))] / np.repeat(number + 1.0, number + 1)
    long = gaps > fitted.gaps[row, fitted.gaps.shape[1] // 2] / np.repeat(number + 1.0, number + 1)
    ends = np.cumsum(number + 1)
    starts = ends - (number + 1)
    short_sum = np.add.reduceat(np.where(long, 0.0, gaps), starts)
    long_sum = np.add.reduceat(np.where(long, gaps, 0.0), starts)
    some = (long_sum > 0) & (short_sum < 0.9)
    stretch = np.where(some, (1.0 - short_sum) / np.where(some, long_sum, 1.0), 1.0 / (short_sum + long_sum))
    scale = np.where(long | ~np.repeat(some, number + 1), np.repeat(stretch, number + 1), 1.0)
    until = np.cumsum(gaps * scale)
    before = np.concatenate([[0.0], until[ends[:-1] - 1]])
    inner = np.ones(len(row), dtype=bool)
    inner[ends - 1] = False
    places: FloatArray = np.clip((until - np.repeat(before, number + 1))[inner], 0.0, 1.0 - 1e-9)
    return places


def generate(fitted: Fitted, first_min: int, minutes: int, seed: int) -> Trace:
    """Requests of `minutes` minutes from minute `first_min` since 1970; the same seed gives the same requests."""
    rng = np.random.default_rng(seed)
    at = first_min + np.arange(minutes)
    mean = fitted.profile[(at - fitted.origin_min) % len(fitted.profile)]
    hours = at // 60 - at[0] // 60
    h = correlated_gamma(int(hours[-1]) + 1, fitted.hour_cv, fitted.hour_correlation, rng)[hours]
    g = correlated_gamma(minutes, fitted.minute_cv, fitted.minute_correlation, rng)
    number = rng.poisson(mean * h * g)
    total = int(number.sum())
    place = _places(fitted, number, rng)
    ts = (np.repeat(at, number) * 60_000_000 + place * 60e6).astype(np.int64)
    ts = np.sort(ts // fitted.resolution_us * fitted.resolution_us)
    drawn = fitted.lengths[rng.integers(0, len(fitted.lengths), total)]
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
