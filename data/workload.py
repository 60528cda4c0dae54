"""What a history is like: volume, burstiness, seasons, lengths. Plain statistics a planner reads first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.frames import KEYS
from data.history import TrafficHistory
from data.records import FloatArray, LengthSample


@dataclass(frozen=True, slots=True)
class WorkloadStatistics:
    """One LLM and class over all regions. Rates are requests an hour; lengths tokens; None where not computable."""

    llm: str
    request_class: str
    hours: int
    missing_hours: int
    first: str
    last: str
    mean_per_h: float
    p50_per_h: float
    p95_per_h: float
    p99_per_h: float
    max_per_h: float
    peak_to_mean: float
    dispersion: float
    """Variance over mean of hourly counts; 1 for a Poisson process of constant rate. Scaled volumes scale it."""
    autocorrelation_24h: float | None
    autocorrelation_168h: float | None
    weekend_ratio: float | None
    """Mean weekend hour over mean weekday hour."""
    input_tokens: tuple[float, float, float]
    """p50, p95, p99."""
    output_tokens: tuple[float, float, float]
    supports: str
    """Seasons the span can show: at least two full periods each."""


def autocorrelation(values: FloatArray, lag: int) -> float | None:
    """Sample autocorrelation at `lag` (Box and Jenkins: lagged products over the whole variance); None where the
    span is shorter than two lags or the series is flat. Unobserved hours contribute nothing."""
    if len(values) < 2 * lag:
        return None
    centred = np.nan_to_num(values - np.nanmean(values))
    total = float((centred**2).sum())
    return float((centred[:-lag] * centred[lag:]).sum() / total) if total > 0 else None


def length_percentiles(sample: LengthSample, side: str) -> tuple[float, float, float]:
    """Weighted p50, p95 and p99 of `input` or `output` tokens."""
    values = np.asarray(getattr(sample, f"{side}_tokens"), dtype=np.float64)
    order = np.argsort(values)
    cumulative = np.cumsum(sample.weight[order]) / sample.weight.sum()
    last = len(values) - 1
    p50, p95, p99 = (float(values[order][min(int(np.searchsorted(cumulative, q)), last)]) for q in (0.5, 0.95, 0.99))
    return p50, p95, p99


def describe(history: TrafficHistory) -> tuple[WorkloadStatistics, ...]:
    """Statistics of every LLM and class, regions summed, in order of name."""
    found = []
    summed = history.frame.groupby(["llm", "request_class", "ts"])["requests"].sum(min_count=1).reset_index()
    for pair, one in summed.groupby(["llm", "request_class"]):
        llm, name = map(str, pair)
        values = one["requests"].to_numpy(dtype=np.float64)
        seen = values[~np.isnan(values)]
        mean = float(seen.mean())
        weekend = one["ts"].dt.day_of_week.to_numpy() >= 5
        on, off = values[~weekend], values[weekend]
        both = np.isfinite(on).sum() >= 24 and np.isfinite(off).sum() >= 24 and np.nanmean(on) > 0
        spans = [label for label, hours in (("daily", 48), ("weekly", 336), ("yearly", 17_520)) if len(values) >= hours]
        p50, p95, p99 = (float(value) for value in np.quantile(seen, [0.5, 0.95, 0.99]))
        sample = history.lengths[llm, name]
        found.append(
            WorkloadStatistics(
                llm=llm,
                request_class=name,
                hours=len(values),
                missing_hours=int(np.isnan(values).sum()),
                first=f"{one['ts'].iloc[0]:%Y-%m-%d %H:%M}",
                last=f"{one['ts'].iloc[-1]:%Y-%m-%d %H:%M}",
                mean_per_h=mean,
                p50_per_h=p50,
                p95_per_h=p95,
                p99_per_h=p99,
                max_per_h=float(seen.max()),
                peak_to_mean=float(seen.max()) / mean if mean else 0.0,
                dispersion=float(seen.var()) / mean if mean else 0.0,
                autocorrelation_24h=autocorrelation(values, 24),
                autocorrelation_168h=autocorrelation(values, 168),
                weekend_ratio=float(np.nanmean(off) / np.nanmean(on)) if both else None,
                input_tokens=length_percentiles(sample, "input"),
                output_tokens=length_percentiles(sample, "output"),
                supports=", ".join(spans) or "none",
            )
        )
    return tuple(found)


def hourly_by(history: TrafficHistory, keys: list[str] = KEYS) -> pd.DataFrame:
    """Requests by hour, one column a key, hours down: what forecasts and charts start from."""
    return history.frame.pivot_table(index="ts", columns=keys, values="requests", aggfunc=lambda x: x.sum(min_count=1))
