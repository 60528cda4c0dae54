"""Arrivals of every class by interval, and the hours in which anything was observed at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from configs.classes import ClassRules
from data.classes import class_names, class_sql
from data.readers.session import one_row
from data.records import BoolArray, FloatArray, IntArray

ARRIVAL_METRICS = ("requests", "succeeded", "failed", "cancelled")
QUIET_REQUESTS_PER_H = 10.0
WHOLE_HOUR = 0.95
"""An hour counts as observed where metrics cover this share of it; its count is scaled up to the whole."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Arrivals of one class: at [n] is the interval's number since 1970 (time // width_s), ascending; count [n] > 0.

    observed_h [m]: numbers since 1970 of the hours that were observed, whether or not the class had a request in them;
    covered [m]: the share of each hour that was. span_s: first and last moment of the data, seconds since 1970.
    from_metrics: counted by an engine, not request by request.
    """

    name: str
    width_s: int
    at: IntArray
    count: FloatArray
    observed_h: IntArray
    covered: FloatArray
    span_s: tuple[float, float]
    from_metrics: bool

    def total(self) -> float:
        return float(self.count.sum())


def minute_counts(rules: ClassRules, relation: str = "requests", width_s: int = 60) -> str:
    """SQL of (class, at, requests): requests of a relation by class number and interval, in one scan."""
    return (
        f"SELECT {class_sql(rules)} AS class, CAST(epoch_us(ts) // {width_s * 1_000_000} AS INTEGER) AS at, "
        f"count(*) AS requests FROM {relation} GROUP BY 1, 2"
    )


def _from_requests(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> dict[int, Counts]:
    names = class_names(rules)
    found = connection.execute(f"{minute_counts(rules, width_s=1)} ORDER BY 1, 2").fetchnumpy()
    if not len(found["at"]):
        return {}
    at = np.asarray(found["at"], dtype=np.int64)
    count: FloatArray = np.asarray(found["requests"], dtype=np.float64)
    number = np.asarray(found["class"], dtype=np.int64)
    first, last = one_row(connection, "SELECT epoch_us(min(ts)), epoch_us(max(ts)) FROM requests")
    return logged_counts(names, number, at, count, 1, (int(str(first)) / 1e6, int(str(last)) / 1e6))


def logged_counts(
    names: Sequence[str], number: IntArray, at: IntArray, count: FloatArray, width_s: int, span_s: tuple[float, float]
) -> dict[int, Counts]:
    """Counts of a log by class number, from (class, interval, requests) in order of class and interval."""
    hours = observed_hours(at * width_s // 3600, count)
    # 1 but where the log begins or ends within the hour.
    inside = np.minimum((hours + 1) * 3600.0, span_s[1]) - np.maximum(hours * 3600.0, span_s[0])
    covered: FloatArray = np.clip(inside / 3600.0, 0.0, 1.0).astype(np.float64)
    found = {}
    for one in np.unique(number):
        here = number == one
        found[int(one)] = Counts(names[int(one)], width_s, at[here], count[here], hours, covered, span_s, False)
    return found


def observed_hours(hour: IntArray, count: FloatArray) -> IntArray:
    """Hours of a log that count as observed: those with a request of any class, and runs without any where the hours on
    either side had fewer than 10 on average, so that an empty hour is plausible. Other empty runs are gaps in the log.

    hour, count: arrivals, all classes together, by hour number (repeats add up).
    """
    hours, inverse = np.unique(hour, return_inverse=True)
    totals = np.bincount(inverse, weights=count)
    quiet = (totals[:-1] + totals[1:]) / 2.0 < QUIET_REQUESTS_PER_H
    fillers = [np.arange(a, b) for a, b, is_quiet in zip(hours[:-1] + 1, hours[1:], quiet, strict=True) if is_quiet]
    found: IntArray = np.sort(np.concatenate([hours, *fillers])).astype(np.int64)
    return found


def _from_metrics(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> dict[int, Counts]:
    """Arrivals that engines counted. Where a set of labels has no counter of requests, its length histogram counts."""
    names = class_names(rules)
    labels = "llm, service, tenant, slo_tier, region"
    listed = ", ".join(f"'{metric}'" for metric in ARRIVAL_METRICS)
    sql = (
        f"WITH said AS (SELECT {class_sql(rules, tokens=False)} AS class, *, metric IN ({listed}) AS direct "
        f"FROM metrics WHERE metric IN ({listed}, 'input_length_count')), "
        f"ranked AS (SELECT *, bool_or(direct) OVER (PARTITION BY {labels}) AS counted FROM said) "
        "SELECT class, CAST(epoch(ts) AS BIGINT) AS at, CAST(interval_s AS BIGINT) AS width, sum(value) AS requests "
        "FROM ranked WHERE direct = counted GROUP BY 1, 2, 3 ORDER BY 1, 2"
    )
    found = connection.execute(sql).fetchnumpy()
    result = {}
    for number in np.unique(found["class"]):
        here = np.asarray(found["class"] == number)
        at, width = np.asarray(found["at"])[here], np.asarray(found["width"])[here]
        value = np.asarray(found["requests"], dtype=np.float64)[here]
        widest = int(width.max())
        index, inverse = np.unique(at // widest, return_inverse=True)
        count: FloatArray = np.bincount(inverse, weights=value).astype(np.float64)
        spans = np.unique(np.stack([at, width]), axis=1)
        hours, where = np.unique(spans[0] // 3600, return_inverse=True)
        covered: FloatArray = np.clip(np.bincount(where, weights=spans[1].astype(np.float64)) / 3600.0, 0.0, 1.0)
        span = (float(at.min()), float((at + width).max()))
        some = count > 0
        result[int(number)] = Counts(names[int(number)], widest, index[some], count[some], hours, covered, span, True)
    return result


def class_counts(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules
) -> tuple[tuple[Counts, ...], tuple[str, ...]]:
    """Arrivals of every class that has any, in the order of the rules, and notes.

    A class that both logs and engine metrics count is taken from whichever observed more hours, with a note: adding
    them would count twice.
    """
    logged, metered = _from_requests(connection, rules), _from_metrics(connection, rules)
    both = sorted(set(logged) & set(metered))
    merged = metered | logged
    notes = []
    for number in both:
        longer = metered[number].covered.sum() > logged[number].covered.sum()
        merged[number] = metered[number] if longer else logged[number]
        chosen = "engine metrics, which cover more hours" if longer else "request logs"
        notes.append(
            f"class {merged[number].name} is in logs and in engine metrics: arrivals are those of the {chosen}"
        )
    return tuple(merged[number] for number in sorted(merged)), tuple(notes)


def dense(counts: Counts, width_s: int) -> tuple[FloatArray, BoolArray]:
    """Arrivals by `width_s` (a multiple of the counts' own width) over the span of observed hours, and which intervals
    lie in observed hours."""
    first, last = int(counts.observed_h[0]) * 3600, (int(counts.observed_h[-1]) + 1) * 3600
    n = max((last - first) // width_s, 1)
    slot = (counts.at * counts.width_s - first) // width_s
    values: FloatArray = np.bincount(slot, weights=counts.count, minlength=n)[:n].astype(np.float64)
    start = first + np.arange(n) * width_s
    inside = (start >= counts.span_s[0] - width_s) & (start + width_s <= counts.span_s[1] + width_s)
    observed: BoolArray = np.isin(start // 3600, counts.observed_h) & inside
    return values, observed


def hourly_series(counts: Counts) -> pd.Series:
    """Requests by UTC hour, NaN where nothing was observed; first and last hours that the data cover only in part are
    left out, so that a cut-off hour does not pass for a quiet one. Hours of metrics with small holes are scaled up."""
    values, _ = dense(counts, 3600)
    first = int(counts.observed_h[0])
    index = pd.date_range(pd.Timestamp(first * 3600, unit="s", tz="UTC"), periods=len(values), freq="h")
    hourly = np.full(len(values), np.nan)
    whole = counts.covered >= (WHOLE_HOUR if counts.from_metrics else 59.0 / 60.0)
    inner = (counts.observed_h > first) & (counts.observed_h < counts.observed_h[-1])
    keep = whole if counts.from_metrics else whole | inner
    slots = counts.observed_h[keep] - first
    hourly[slots] = values[slots] / (counts.covered[keep] if counts.from_metrics else 1.0)
    series = pd.Series(hourly, index=index, name="requests")
    known = np.isfinite(hourly)
    if not known.any():
        return series.iloc[:0]
    begin, end = int(known.argmax()), len(known) - int(known[::-1].argmax())
    return series.iloc[begin:end]
