"""How requests arrive: rates, peaks, bursts, dispersion, seasons. Plain functions over counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.records import BoolArray, FloatArray
from data.statistics.counts import Counts, dense_minutes, hourly_series
from data.workload import autocorrelation

BASELINE_MINUTES = 60
BURST_RATIO = 1.5
BURST_SIGMAS = 4.0
"""A minute is in a burst where its count exceeds 1.5 times the baseline and the baseline plus 4 Poisson deviations;
the baseline is the median of the hour around it."""
LEAST_FOR_PEAK = 60
"""Hours of fewer requests say nothing of their minutes: the largest of 60 Poisson counts of mean 1 is 4 or so."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests by interval of `width_s`, empty intervals within observed hours included."""

    width_s: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float
    dispersion: float
    """Variance over mean: 1 for a Poisson process of constant rate."""


@dataclass(frozen=True, slots=True)
class Bursts:
    """Episodes of consecutive burst minutes; height is the peak minute over the baseline."""

    episodes: int
    share_of_minutes: float
    median_minutes: float
    longest_minutes: float
    median_height: float
    highest: float


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Arrivals of a class; None where the data are too coarse or too short to say.

    peak_minute: the largest minute over the mean minute of its hour, p50, p95 and max over hours with at least 60
    requests. interarrival_cv: standard deviation over mean of the time between arrivals; 1 for Poisson. daily_strength
    and weekly_strength: 1 - Var(rest) / Var(seasonal + rest), at least 0 (Wang, Smith and Hyndman 2006).
    """

    requests: float
    hours: int
    missing_hours: int
    zero_hours: int
    rates: tuple[Rates, ...]
    peak_minute: tuple[float, float, float] | None
    bursts: Bursts | None
    interarrival_cv: float | None
    daily_strength: float | None
    weekly_strength: float | None
    autocorrelation_24h: float | None
    autocorrelation_168h: float | None


def rates(values: FloatArray, observed: BoolArray, width_s: int) -> Rates | None:
    """Statistics of dense counts over observed intervals."""
    seen = values[observed]
    if len(seen) < 2:
        return None
    mean = float(seen.mean())
    p50, p95, p99 = (float(x) for x in np.quantile(seen, (0.5, 0.95, 0.99)))
    return Rates(width_s, mean, p50, p95, p99, float(seen.max()), float(seen.var() / mean) if mean > 0 else 0.0)


def peak_minutes(minutes: FloatArray, observed: BoolArray) -> tuple[float, float, float] | None:
    """p50, p95 and max over hours of the largest minute over the mean minute. Hours are counted from the first observed
    minute; data of half an hour to an hour count as one."""
    minutes, observed = minutes[int(observed.argmax()) :], observed[int(observed.argmax()) :]
    size = min(60, int(observed.sum()))
    if size < 30:
        return None
    whole = len(minutes) // size * size
    hours, seen = minutes[:whole].reshape(-1, size), observed[:whole].reshape(-1, size).all(axis=1)
    hours = hours[seen & (hours.sum(axis=1) >= LEAST_FOR_PEAK)]
    if not len(hours):
        return None
    ratio = hours.max(axis=1) / hours.mean(axis=1)
    return float(np.median(ratio)), float(np.quantile(ratio, 0.95)), float(ratio.max())


def bursts(minutes: FloatArray, observed: BoolArray) -> Bursts | None:
    """Burst episodes against a rolling median of an hour; None under half an hour."""
    if observed.sum() < BASELINE_MINUTES // 2:
        return None
    series = pd.Series(np.where(observed, minutes, np.nan))
    base = series.rolling(BASELINE_MINUTES, center=True, min_periods=BASELINE_MINUTES // 2).median().to_numpy()
    base = np.where(np.isfinite(base), base, np.inf)
    high = (minutes > BURST_RATIO * base) & (minutes > base + BURST_SIGMAS * np.sqrt(np.maximum(base, 1.0)))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], high.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return Bursts(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    length = ends - starts
    height = np.array([(minutes[a:b] / np.maximum(base[a:b], 1.0)).max() for a, b in zip(starts, ends, strict=True)])
    return Bursts(
        len(starts), float(high.sum() / max(int(observed.sum()), 1)), float(np.median(length)), float(length.max()),
        float(np.median(height)), float(height.max()),
    )  # fmt: skip


def seasonal_strength(hours: FloatArray, period: int) -> float | None:
    """How much of the hourly variance, trend removed, a repeating profile explains; None under two full periods.

    The trend is a running mean of one period; the profile the mean at each place in the period, weekly after the daily
    one has been taken out, so that a daily rhythm alone shows no weekly strength.
    """
    if len(hours) < 2 * period or np.isfinite(hours).sum() < 1.5 * period:
        return None
    series = pd.Series(hours)
    rest = (series - series.rolling(period, center=True, min_periods=period // 2).mean()).to_numpy()
    if period > 24:
        rest = rest - _profile(rest, 24)
    profile = _profile(rest, period)
    total = float(np.nanvar(rest))
    return max(0.0, 1.0 - float(np.nanvar(rest - profile)) / total) if total > 0 else None


def _profile(values: FloatArray, period: int) -> FloatArray:
    place = np.arange(len(values)) % period
    known = np.isfinite(values)
    total = np.bincount(place[known], weights=values[known], minlength=period)
    number = np.bincount(place[known], minlength=period)
    mean: FloatArray = np.where(number > 0, total / np.maximum(number, 1), 0.0)[place]
    return mean


def arrivals(counts: Counts, interarrival_cv: float | None) -> Arrivals:
    """Everything about the arrivals of a class."""
    found = []
    for width in (1, 60, 3600):
        if width < counts.width_s:
            continue
        if width == 3600:
            hours = hourly_series(counts).to_numpy(dtype=np.float64)
            one = rates(np.nan_to_num(hours), np.isfinite(hours), width)
        else:
            one = _fine_rates(counts, width)
        if one is not None:
            found.append(one)
    hours = hourly_series(counts).to_numpy(dtype=np.float64)
    seen = hours[np.isfinite(hours)]
    peak: tuple[float, float, float] | None = None
    episodes: Bursts | None = None
    if counts.width_s <= 60:
        minutes, observed = dense_minutes(counts)
        peak, episodes = peak_minutes(minutes, observed), bursts(minutes, observed)
    return Arrivals(
        requests=counts.total(),
        hours=len(hours),
        missing_hours=int(np.isnan(hours).sum()),
        zero_hours=int((seen == 0).sum()),
        rates=tuple(found),
        peak_minute=peak,
        bursts=episodes,
        interarrival_cv=interarrival_cv,
        daily_strength=seasonal_strength(hours, 24),
        weekly_strength=seasonal_strength(hours, 168),
        autocorrelation_24h=autocorrelation(hours, 24) if len(seen) else None,
        autocorrelation_168h=autocorrelation(hours, 168) if len(seen) else None,
    )


def _fine_rates(counts: Counts, width: int) -> Rates | None:
    """Rates by second or minute from the sparse counts: a year of seconds is never laid out."""
    number = max(round(float(counts.covered.sum()) * 3600 / width), 2)
    index, inverse = np.unique(counts.at * counts.width_s // width, return_inverse=True)
    value = np.sort(np.bincount(inverse, weights=counts.count))
    number = max(number, len(index))
    mean = float(value.sum()) / number
    variance = float((value**2).sum()) / number - mean**2

    def quantile(q: float) -> float:
        rank = int(np.ceil(q * number)) - 1 - (number - len(value))
        return float(value[rank]) if rank >= 0 else 0.0

    if mean <= 0:
        return None
    return Rates(width, mean, quantile(0.5), quantile(0.95), quantile(0.99), float(value[-1]), variance / mean)
