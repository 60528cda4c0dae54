"""Do lengths and the mix of classes change over time? Periods compared with the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from configs.classes import ClassRules
from data.classes import class_names, class_sql
from data.readers.session import one_row
from data.records import FloatArray, IntArray
from data.statistics.counts import Counts
from data.statistics.lengths import PLACES, SERVED, SKETCH_STEPS, bucket_sql

MODERATE, MAJOR = 0.1, 0.25
"""Usual limits of the population stability index."""
LEAST_REQUESTS = 200
_WEEK, _DAY = 7 * 86_400, 86_400


@dataclass(frozen=True, slots=True)
class Period:
    """One period of a class: its share of all requests, mean lengths, and how far its lengths are from those of the
    class's first period: population stability index over octaves and Kolmogorov-Smirnov distance, input and output."""

    start: str
    requests: int
    share: float
    mean_input_tokens: float
    mean_output_tokens: float
    psi_input: float
    psi_output: float
    ks_input: float
    ks_output: float


@dataclass(frozen=True, slots=True)
class Drift:
    """Periods of `period_s`; verdict: `none`, `moderate` or `major` by the largest index of any period."""

    period_s: int
    periods: tuple[Period, ...]
    verdict: str


@dataclass(frozen=True, slots=True)
class Mix:
    """Share of the classes `names` in the requests of each period [periods][classes], and how far each period's mix is
    from the first's (population stability index, 0 for the first); starts are UTC."""

    period_s: int
    names: tuple[str, ...]
    starts: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    psi: tuple[float, ...]
    verdict: str


def stability_index(first: FloatArray, other: FloatArray) -> float:
    """Population stability index of two histograms over the same buckets: sum of (q - p) ln(q / p), half a count added
    to each bucket that either uses so that empty ones stay finite."""
    used = (first + other) > 0
    p, q = first[used] + 0.5, other[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def distance(first: FloatArray, other: FloatArray) -> float:
    """Kolmogorov-Smirnov distance of two histograms over the same ordered buckets."""
    return float(np.abs(np.cumsum(first) / first.sum() - np.cumsum(other) / other.sum()).max())


def _marginals(bucket: IntArray, count: FloatArray) -> tuple[FloatArray, FloatArray]:
    return (
        np.bincount(bucket // PLACES, weights=count, minlength=PLACES).astype(np.float64),
        np.bincount(bucket % PLACES, weights=count, minlength=PLACES).astype(np.float64),
    )


def period_length(span_s: float) -> int:
    """Weeks where there are three, else days where there are three, else quarters of the span."""
    if span_s >= 3 * _WEEK:
        return _WEEK
    return _DAY if span_s >= 3 * _DAY else max(int(span_s / 4) + 1, 60)


def drifts(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> dict[str, Drift]:
    """Drift of every class with at least 200 requests in two periods."""
    first, last = one_row(connection, f"SELECT epoch(min(ts)), epoch(max(ts)) FROM requests WHERE {SERVED}")
    if first is None:
        return {}
    begin = float(str(first))
    period = period_length(float(str(last)) - begin)
    number = f"CAST(floor((epoch(ts) - {begin!r}) / {period}) AS INTEGER)"
    rows = connection.execute(
        f"SELECT {class_sql(rules)} AS class, {bucket_sql()} AS bucket, {number} AS period, count(*) AS requests, "
        f"sum(input_tokens) AS i, sum(output_tokens) AS o FROM requests WHERE {SERVED} GROUP BY 1, 2, 3"
    ).fetchnumpy()
    columns = {name: np.asarray(rows[name]) for name in ("class", "bucket", "requests", "period", "i", "o")}
    totals = np.bincount(columns["period"], weights=columns["requests"].astype(np.float64))
    names = class_names(rules)
    found = {}
    for one in np.unique(columns["class"]):
        mine = {name: values[columns["class"] == one] for name, values in columns.items()}
        periods = []
        base: tuple[FloatArray, FloatArray] | None = None
        for p in np.unique(mine["period"]):
            here = mine["period"] == p
            count = mine["requests"][here].astype(np.float64)
            total = float(count.sum())
            if total < LEAST_REQUESTS:
                continue
            sides = _marginals(mine["bucket"][here].astype(np.int64), count)
            base = base or sides
            octaves = [np.add.reduceat(side, np.arange(0, PLACES, SKETCH_STEPS)) for side in (*base, *sides)]
            start = np.datetime64(int((begin + int(p) * period) * 1e6), "us").astype("datetime64[s]")
            periods.append(
                Period(
                    start=f"{start}Z",
                    requests=int(total),
                    share=total / float(totals[p]),
                    mean_input_tokens=float(mine["i"][here].sum()) / total,
                    mean_output_tokens=float(mine["o"][here].sum()) / total,
                    psi_input=stability_index(octaves[0], octaves[2]),
                    psi_output=stability_index(octaves[1], octaves[3]),
                    ks_input=distance(base[0], sides[0]),
                    ks_output=distance(base[1], sides[1]),
                )
            )
        if len(periods) >= 2:
            worst = max(max(p.psi_input, p.psi_output) for p in periods)
            found[names[int(one)]] = Drift(period, tuple(periods), _verdict(worst))
    return found


def _verdict(worst: float) -> str:
    return "major" if worst > MAJOR else "moderate" if worst > MODERATE else "none"


def mix_drift(counted: Sequence[Counts]) -> Mix | None:
    """The mix of classes by period, over the time in which all of them were counted; None for one class, or where fewer
    than two periods have 200 requests."""
    if len(counted) < 2:
        return None
    begin = max(one.span_s[0] for one in counted)
    end = min(one.span_s[1] for one in counted)
    if end - begin < 2 * 60:
        return None
    period = max(period_length(end - begin), *(one.width_s for one in counted))
    whole = max(int((end - begin) // period), 1)
    table = np.zeros((whole, len(counted)))
    for column, one in enumerate(counted):
        place = np.floor((one.at * one.width_s - begin) / period).astype(np.int64)
        inside = (place >= 0) & (place < whole)
        np.add.at(table[:, column], place[inside], one.count[inside])
    kept = np.flatnonzero(table.sum(axis=1) >= LEAST_REQUESTS)
    if len(kept) < 2:
        return None
    psi = tuple(stability_index(table[kept[0]], table[p]) for p in kept)
    return Mix(
        period_s=period,
        names=tuple(one.name for one in counted),
        starts=tuple(f"{np.datetime64(int(begin + p * period), 's')}Z" for p in kept),
        shares=tuple(tuple(float(x) for x in table[p] / table[p].sum()) for p in kept),
        psi=psi,
        verdict=_verdict(max(psi)),
    )
