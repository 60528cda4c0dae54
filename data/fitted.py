"""A generator fitted to a class of an ingested dataset: arrivals that are uneven, bursty and correlated; joint lengths.

Requests in minute m are Poisson with mean  profile(m) x h(hour of m) x g(m),  where

- profile is the mean by hour of the week, or of the day, where three of these were seen and the rhythm explains 0.3 of
  the hourly variance, in minutes by linear interpolation between hours; else the mean; of a trace of less than three
  days a running mean of 15 minutes of the trace itself, repeated;
- h and g have mean 1; their variances are what is left of the counts' variance after the profile and the Poisson part,
  by moments. Where counting noise is the smaller part they are runs of the trace's own ratios of count to profile, of
  24 hours or 10 minutes on average (the stationary bootstrap of Politis and Romano 1994), which keeps silences,
  episodes and how they follow each other; else gamma, correlated from one to the next (data/synthetic.py);
- arrivals fall into a minute as they did in one of the trace's minutes of about the same count; times are cut to the
  resolution of the trace's clock. A clock too coarse to tell, or hourly counts: evenly at random;
- lengths are drawn with replacement from up to 50,000 requests of the trace, whole triples of input, output and cached
  tokens, so that they go together as they did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import InputError
from data.records import FloatArray, IntArray
from data.statistics.arrivals import seasonal_strength

KEPT_LENGTHS = 50_000
KEPT_ARRIVALS = 500_000
TREND_MINUTES = 15
RUN_HOURS, RUN_MINUTES = 24, 10
SEASONAL = 0.3
MOSTLY_NOISE = 0.5
LEAST_HOURS = 72
_DAY_MIN, _WEEK_MIN = 1440, 10_080


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of time: arrival (microseconds since 1970, UTC), input, output, cached tokens; shapes [n]."""

    ts_us: IntArray
    input_tokens: IntArray
    output_tokens: IntArray
    cached_tokens: IntArray


@dataclass(frozen=True, slots=True)
class Modulation:
    """A factor of mean 1. runs [v]: values in order of time, to be drawn in runs of `run_length` on average; where
    empty, gamma of coefficient of variation cv, each correlated with the one before."""

    cv: float
    correlation: float
    runs: FloatArray
    run_length: int


@dataclass(frozen=True, slots=True)
class Patterns:
    """Where in their minute arrivals fell, as shares of it: counts [t], ascending, and places [sum of counts], the
    minutes one after the other."""

    counts: IntArray
    places: FloatArray


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a trace is generated from.

    profile [p]: requests a minute, repeated from minute `origin_min` since 1970; first_min and minutes: the span of
    the trace; patterns None: evenly at random; lengths [m, 3]: input, output and cached tokens; resolution_us: of the
    clock.
    """

    profile: FloatArray
    origin_min: int
    first_min: int
    minutes: int
    hour: Modulation
    minute: Modulation
    patterns: Patterns | None
    resolution_us: int
    lengths: IntArray


STEADY = Modulation(0.0, 0.0, np.empty(0), 1)


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


def modulation(counts: FloatArray, mean: FloatArray, run_length: int, lost: float = 0.0) -> Modulation:
    """The modulation of a Poisson process of known mean. Ratios of count to mean have their spread reduced by the
    counting noise in it."""
    cv, correlation = excess(counts, mean, lost)
    if cv == 0.0:
        return STEADY
    ratio = counts / np.maximum(mean, 1e-9)
    weight = mean / mean.sum()
    centre = float((weight * ratio).sum())
    total = float((weight * (ratio - centre) ** 2).sum())
    if cv**2 * (1.0 - lost) < MOSTLY_NOISE * total:
        return Modulation(cv, correlation, np.empty(0), run_length)
    values = np.maximum(1.0 + (ratio - centre) * cv / np.sqrt(total), 0.0)
    return Modulation(cv, correlation, values / values.mean(), run_length)


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


def patterns(ts_us: IntArray, resolution_us: int) -> Patterns | None:
    """Minutes of a trace as patterns, its latest 500,000 arrivals at most; cut-off ends are left out. None where the
    clock is coarser than a tenth of the mean gap, or there are no three minutes."""
    ts_us = ts_us[-KEPT_ARRIVALS:]
    minute = ts_us // 60_000_000
    inner = (minute > minute[0]) & (minute < minute[-1])
    if not inner.any():
        return None
    ts_us, minute = ts_us[inner], minute[inner]
    _, starts, number = np.unique(minute, return_index=True, return_counts=True)
    if len(number) < 3 or resolution_us > 0.1 * 60e6 / float(number.mean()):
        return None
    order = np.argsort(number, kind="stable")
    place = (ts_us - minute * 60_000_000) / 60e6
    kept = np.concatenate([np.arange(starts[i], starts[i] + number[i]) for i in order])
    return Patterns(number[order].astype(np.int64), place[kept])


def hourly_profile(first_min: int, counts: FloatArray, hours: FloatArray) -> tuple[FloatArray, float]:
    """Mean requests a minute over a week, a day or always, whichever rhythm shows, and the share of the hourly variance
    that an average over so few periods takes with it. counts: by minute [n], NaN where unobserved; hours: by hour."""
    period = 0
    for candidate in (_WEEK_MIN, _DAY_MIN):
        shows = (seasonal_strength(hours, candidate // 60) or 0.0) >= SEASONAL
        if len(counts) >= 3 * candidate and shows:
            period = candidate
            break
    if not period:
        return np.full(_DAY_MIN, float(np.nanmean(counts))), 0.0
    known = np.isfinite(counts)
    hour = ((first_min + np.arange(len(counts))) % period // 60)[known]
    size = period // 60
    mean = np.bincount(hour, weights=counts[known], minlength=size) / np.maximum(np.bincount(hour, minlength=size), 1)
    # Day 0 of 1970 was a Thursday; a profile by place in the period needs no calendar beyond that.
    middle = np.arange(size) * 60.0 + 30.0
    return np.interp(np.arange(period) + 0.5, middle, mean, period=period), min(period / len(counts), 0.9)


def kept_lengths(lengths: IntArray, seed: int) -> IntArray:
    """At most 50,000 rows of [n, 3], drawn."""
    rng = np.random.default_rng(seed)
    return lengths if len(lengths) <= KEPT_LENGTHS else lengths[rng.choice(len(lengths), KEPT_LENGTHS, replace=False)]


def fit(trace: Trace, seed: int = 0) -> Fitted:
    """The parameters of a request-level trace."""
    first, counts = minute_counts(trace.ts_us)
    resolution = clock_resolution(trace.ts_us)
    n = len(counts)
    hour = STEADY
    if n >= 3 * _DAY_MIN:
        whole = n // 60 * 60
        by_hour = counts[:whole].reshape(-1, 60).sum(axis=1)
        profile, lost = hourly_profile(first, counts, by_hour)
        origin = 0
        mean = profile[(first + np.arange(n)) % len(profile)][:whole]
        expected = mean.reshape(-1, 60).sum(axis=1)
        hour = modulation(by_hour, expected, RUN_HOURS, lost)
        level = np.repeat(by_hour / np.maximum(expected, 1e-9), 60)
        minute = modulation(counts[:whole], mean * level, RUN_MINUTES, 1.0 / 60.0)
    else:
        width = min(TREND_MINUTES, n)
        weights = np.convolve(np.ones(n), np.ones(width), mode="same")
        profile, origin = np.convolve(counts, np.ones(width), mode="same") / weights, first
        minute = modulation(counts, profile, RUN_MINUTES, 1.0 / width)
    lengths = np.stack([trace.input_tokens, trace.output_tokens, trace.cached_tokens], axis=1)
    return Fitted(
        profile=profile,
        origin_min=origin,
        first_min=first,
        minutes=n,
        hour=hour,
        minute=minute,
        patterns=patterns(trace.ts_us, resolution),
        resolution_us=resolution,
        lengths=kept_lengths(lengths, seed),
    )


def fit_hours(first_hour: int, hours: FloatArray, lengths: IntArray, seed: int = 0) -> Fitted:
    """The parameters of hourly counts from hour `first_hour` since 1970 [n], NaN where unobserved; nothing is known of
    minutes. lengths [m, 3] may be empty. Raises InputError for fewer than three days."""
    if np.isfinite(hours).sum() < LEAST_HOURS:
        raise InputError("hourly counts", f"at least {LEAST_HOURS} hours", f"{len(hours)}", "Ingest a longer span.")
    profile, lost = hourly_profile(first_hour * 60, np.repeat(hours / 60.0, 60), hours)
    expected = profile[(first_hour * 60 + np.arange(60 * len(hours))) % len(profile)].reshape(-1, 60).sum(axis=1)
    seen = np.isfinite(hours)
    return Fitted(
        profile=profile,
        origin_min=0,
        first_min=first_hour * 60,
        minutes=60 * len(hours),
        hour=modulation(hours[seen], expected[seen], RUN_HOURS, lost),
        minute=STEADY,
        patterns=None,
        resolution_us=1,
        lengths=kept_lengths(lengths, seed),
    )
