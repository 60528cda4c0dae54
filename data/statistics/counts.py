"""Arrivals of every class by interval, and the hours in which anything was observed at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from configs.classes import ClassRules
from data.classes import class_names, class_sql
from data.readers.metrics import ARRIVAL_METRICS, STANDING_IN, UNSEEN
from data.readers.session import one_row
from data.records import BoolArray, FloatArray, IntArray
from data.statistics.metered import beside_unseen, within_hours

QUIET_REQUESTS_PER_H = 10.0
STRAY_GAP_H, STRAY_SHARE = 60 * 24, 0.001
LEAST_WITH_STRAYS = 20
"""A row, or a thousandth of all, more than 60 days away from the rest of at least 20 is a stray: a wrong clock,
or a damaged digit. Strays are in the dataset, and in no count by time."""
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
        f"SELECT {class_sql(rules)} AS class, CAST(epoch_us(ts) // {width_s * 1_000_000} AS UINTEGER) AS at, "
        f"count(*) AS requests FROM {relation} GROUP BY 1, 2"
    )


def _from_requests(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> tuple[dict[int, Counts], float]:
    """Counts by class number, and how many requests are strays."""
    names = class_names(rules)
    found = connection.execute(f"{minute_counts(rules, width_s=1)} ORDER BY 1, 2").fetchnumpy()
    if not len(found["at"]):
        return {}, 0.0
    at = np.asarray(found["at"], dtype=np.int64)
    count: FloatArray = np.asarray(found["requests"], dtype=np.float64)
    number = np.asarray(found["class"], dtype=np.int64)
    first, last = one_row(connection, "SELECT epoch_us(min(ts)), epoch_us(max(ts)) FROM requests")
    span = (int(str(first)) / 1e6, int(str(last)) / 1e6)
    return logged_counts(names, number, at, count, 1, span)


def logged_counts(
    names: Sequence[str], number: IntArray, at: IntArray, count: FloatArray, width_s: int, span_s: tuple[float, float]
) -> tuple[dict[int, Counts], float]:
    """Counts of a log by class number, from (class, interval, requests) in order of class and interval; and how many
    requests are strays."""
    keep = without_strays(at, count, width_s)
    strays = float(count[~keep].sum())
    if strays:
        number, at, count = number[keep], at[keep], count[keep]
        span_s = float(at.min() * width_s), float((at.max() + 1) * width_s)
    hours = observed_hours(at * width_s // 3600, count)
    # 1 but where the log begins or ends within the hour.
    inside = np.minimum((hours + 1) * 3600.0, span_s[1]) - np.maximum(hours * 3600.0, span_s[0])
    covered: FloatArray = np.clip(inside / 3600.0, 0.0, 1.0).astype(np.float64)
    found = {}
    for one in np.unique(number):
        here = number == one
        found[int(one)] = Counts(names[int(one)], width_s, at[here], count[here], hours, covered, span_s, False)
    return found, strays


def without_strays(at: IntArray, count: FloatArray, width_s: int) -> BoolArray:
    """Which intervals (of width_s, numbered since 1970, in any order) are not strays."""
    order = np.argsort(at, kind="stable")
    island = np.cumsum(np.diff(at[order], prepend=at[order][:1]) * width_s > STRAY_GAP_H * 3600)
    size = np.bincount(island, weights=count[order])
    most = max(1.0, STRAY_SHARE * float(size.sum())) if size.sum() >= LEAST_WITH_STRAYS else -1.0
    keep: BoolArray = np.empty(len(at), dtype=np.bool_)
    keep[order] = (size > most)[island]
    return keep


def observed_hours(hour: IntArray, count: FloatArray) -> IntArray:
    """Hours of a log that count as observed: those with a request of any class, and runs without any where the hours on
    either side had fewer than 10 on average, so that an empty hour is plausible. Other empty runs are gaps in the log.

    hour, count: arrivals, all classes together, by hour number (repeats add up).
    """
    hours, inverse = np.unique(hour, return_inverse=True)
    totals = np.bincount(inverse, weights=count)
    quiet = ((totals[:-1] + totals[1:]) / 2.0 < QUIET_REQUESTS_PER_H) & (np.diff(hours) <= STRAY_GAP_H)
    fillers = [np.arange(a, b) for a, b, is_quiet in zip(hours[:-1] + 1, hours[1:], quiet, strict=True) if is_quiet]
    found: IntArray = np.sort(np.concatenate([hours, *fillers])).astype(np.int64)
    return found


def _from_metrics(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules
) -> tuple[dict[int, Counts], float, list[str]]:
    """Arrivals that engines counted, how many are strays, and notes. Where a set of labels has no counter of requests,
    a histogram of theirs counts."""
    names = class_names(rules)
    labels = "llm, service, tenant, slo_tier, region"
    listed = ", ".join(f"'{metric}'" for metric in ARRIVAL_METRICS)
    others = " ".join(f"WHEN counted = '{name}' THEN {place}" for place, name in enumerate(STANDING_IN, start=1))
    ranked = (
        f"WITH said AS (SELECT {class_sql(rules, tokens=False)} AS class, *, "
        f"ends_with(metric, '{UNSEEN}') AS unseen, replace(metric, '{UNSEEN}', '') AS counted, "
        f"CASE WHEN counted IN ({listed}) THEN 0 {others} END AS place FROM metrics), "
        f"ranked AS (SELECT *, min(place) OVER (PARTITION BY {labels}) AS first FROM said WHERE place IS NOT NULL), "
        "chosen AS (SELECT class, series_key, CAST(epoch(ts) AS BIGINT) AS begin_s, "
        "CAST(interval_s AS BIGINT) AS width_s, value, unseen FROM ranked WHERE place = first) "
    )
    found = connection.execute(
        f"{ranked} SELECT class, begin_s AS at, width_s AS width, sum(value) AS requests FROM chosen WHERE NOT unseen "
        "GROUP BY 1, 2, 3 ORDER BY 1, 2"
    ).fetchnumpy()
    # What a later export of the same replica has seen is no gap any more.
    gaps = connection.execute(
        f"{ranked} SELECT class, begin_s, begin_s + width_s, value FROM chosen AS gap WHERE unseen AND NOT EXISTS "
        "(SELECT 1 FROM chosen AS other WHERE NOT other.unseen AND other.series_key = gap.series_key "
        "AND other.begin_s >= gap.begin_s AND other.begin_s < gap.begin_s + gap.width_s)"
    ).fetchall()
    result = {}
    strays = 0.0
    notes = []
    for number in np.unique(found["class"]):
        here = np.asarray(found["class"] == number)
        at, width = np.asarray(found["at"])[here], np.asarray(found["width"])[here]
        value = np.asarray(found["requests"], dtype=np.float64)[here]
        keep = without_strays(at, value, 1)
        strays += float(value[~keep].sum())
        at, width, value = at[keep], width[keep], value[keep]
        mine = np.array([row[1:] for row in gaps if row[0] == number], dtype=np.float64).reshape(-1, 3)
        keep, value, beside = beside_unseen(at, width, value, mine)
        if beside:
            notes.append(
                f"class {names[int(number)]}: {beside:,.0f} requests were counted while another replica's counters had "
                "a gap; those hours are left unobserved"
            )
        if not keep.any():
            continue
        at, width, value = within_hours(at[keep], width[keep], value[keep])
        widest = int(width.max())
        index, inverse = np.unique(at // widest, return_inverse=True)
        count: FloatArray = np.bincount(inverse, weights=value).astype(np.float64)
        spans = np.unique(np.stack([at, width]), axis=1)
        hours, where = np.unique(spans[0] // 3600, return_inverse=True)
        covered: FloatArray = np.clip(np.bincount(where, weights=spans[1].astype(np.float64)) / 3600.0, 0.0, 1.0)
        span = (float(at.min()), float((at + width).max()))
        some = count > 0
        result[int(number)] = Counts(names[int(number)], widest, index[some], count[some], hours, covered, span, True)
    return result, strays, notes


def stray_notes(strays: float) -> list[str]:
    """What to say of strays."""
    days = STRAY_GAP_H // 24
    said = f"{strays:,.0f} requests lie more than {days} days away from the others and are in no count by time"
    return [said] if strays else []


def idle_notes(rules: ClassRules, counted: Sequence[Counts]) -> tuple[str, ...]:
    """What to say of rules that nothing matches: a typing error looks like a quiet class otherwise."""
    busy = {one.name for one in counted}
    return tuple(f"nothing matches the rule of class {rule.name}" for rule in rules.classes if rule.name not in busy)


def class_counts(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules
) -> tuple[tuple[Counts, ...], tuple[str, ...]]:
    """Arrivals of every class that has any, in the order of the rules, and notes.

    A class that both logs and engine metrics count is taken from whichever observed more hours, with a note: adding
    them would count twice.
    """
    logged, few = _from_requests(connection, rules)
    return with_metrics(connection, rules, logged, few)


def with_metrics(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules, logged: Mapping[int, Counts], strays: float
) -> tuple[tuple[Counts, ...], tuple[str, ...]]:
    """What `class_counts` says, of counts of the logs by class number."""
    metered, more, unseen = _from_metrics(connection, rules)
    both = sorted(set(logged) & set(metered))
    merged = {**metered, **logged}
    notes = [*stray_notes(strays + more), *unseen]
    for number in both:
        longer = metered[number].covered.sum() > logged[number].covered.sum()
        merged[number] = metered[number] if longer else logged[number]
        chosen = "engine metrics, which cover more hours" if longer else "request logs"
        notes.append(
            f"class {merged[number].name} is in logs and in engine metrics: arrivals are those of the {chosen}"
        )
    return tuple(merged[number] for number in sorted(merged)), tuple(notes)


def dense_minutes(counts: Counts) -> tuple[FloatArray, BoolArray]:
    """Arrivals by minute from the first to the last observed hour, and which minutes were observed. Gaps of more than
    two hours are laid out as two hours, so that years without data cost nothing."""
    hours = counts.observed_h
    place = np.concatenate([[0], np.cumsum(np.minimum(np.diff(hours), 3))])
    minute = counts.at * counts.width_s // 60
    slot = place[np.searchsorted(hours, minute // 60)] * 60 + minute % 60
    n = (int(place[-1]) + 1) * 60
    values: FloatArray = np.bincount(slot, weights=counts.count, minlength=n).astype(np.float64)
    start = (hours[:, None] * 60 + np.arange(60)) * 60.0
    inside = (start >= counts.span_s[0] - 60) & (start <= counts.span_s[1])
    if counts.from_metrics:
        # Which minutes of an hour a hole of the export took is not kept: the hour is left out.
        within = np.minimum((hours + 1) * 3600.0, counts.span_s[1]) - np.maximum(hours * 3600.0, counts.span_s[0])
        inside &= (counts.covered * 3600.0 > within - counts.width_s / 2)[:, None]
    observed: BoolArray = np.zeros(n, dtype=np.bool_)
    observed[(place[:, None] * 60 + np.arange(60))[inside]] = True
    return values, observed


def hourly_series(counts: Counts) -> pd.Series:
    """Requests by UTC hour, NaN where nothing was observed; first and last hours that the data cover only in part are
    left out, so that a cut-off hour does not pass for a quiet one. Hours of metrics with small holes are scaled up."""
    first = int(counts.observed_h[0])
    hour = counts.at * counts.width_s // 3600 - first
    values = np.bincount(hour, weights=counts.count, minlength=int(counts.observed_h[-1]) - first + 1)
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
