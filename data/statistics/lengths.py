"""Token lengths of every class: exact percentiles, joint samples that keep the tail, sketches of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from configs.classes import ClassRules
from data.classes import class_names, class_sql
from data.lengths import BODY_POINTS, TAIL_POINTS, TAIL_SHARE, of_rows
from data.records import FloatArray, IntArray, LengthSample

SERVED = "status IS DISTINCT FROM 'failed'"
"""Failed requests say nothing of how long requests are; cancelled ones were prefilled and count."""
SKETCH_STEPS, PLACES = 8, 256
"""Sketch buckets an octave, and of a length in all: 256 places reach 4 billion tokens."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Distinct values, ascending, and how often each occurs. Bounded by the longest context, not by the rows."""

    values: IntArray
    counts: IntArray

    def quantile(self, q: float) -> float:
        """As numpy's quantile of all the values: linear between order statistics."""
        n = int(self.counts.sum())
        below = np.cumsum(self.counts)
        place = (n - 1) * q
        low, high = (int(np.searchsorted(below, int(edge), side="right")) for edge in (np.floor(place), np.ceil(place)))
        share = place - np.floor(place)
        return float(self.values[low] * (1 - share) + self.values[high] * share)

    def mean(self) -> float:
        return float((self.values * self.counts).sum() / self.counts.sum())


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles of a length, tokens."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of a class. cached_share: of input tokens found in a prefix cache, over the requests that say; None where
    none does. log_correlation: Pearson's, of the logarithms of input and output; None where one of them does not vary
    or it was not asked for. joint: of the same requests, not two histograms joined at random."""

    input: Spread
    output: Spread
    total: Spread
    log_correlation: float | None
    cached_share: float | None
    sample: LengthSample
    joint: bool = True


def histograms(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules, expression: str, relation: str = "requests"
) -> dict[str, Histogram]:
    """Exact distribution of an integer expression by class."""
    sql = (
        f"SELECT {class_sql(rules)} AS class, {expression} AS value, count(*) AS n FROM {relation} WHERE {SERVED} "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    found = connection.execute(sql).fetchnumpy()
    names = class_names(rules)
    result = {}
    for number in np.unique(found["class"]):
        here = np.asarray(found["class"] == number)
        value, count = (np.asarray(found[name])[here].astype(np.int64) for name in ("value", "n"))
        result[names[int(number)]] = Histogram(value, count)
    return result


def spread(histogram: Histogram) -> Spread:
    """The figures people quote of a distribution."""
    p50, p95, p99 = (histogram.quantile(q) for q in (0.5, 0.95, 0.99))
    return Spread(histogram.mean(), p50, p95, p99, float(histogram.values[-1]))


def sampled_spread(values: IntArray, weight: FloatArray) -> Spread:
    """The figures of a weighted sample: the smallest value at or below which the share lies."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order]) / weight.sum()
    last = len(values) - 1
    p50, p95, p99 = (float(values[order][min(int(np.searchsorted(below, q)), last)]) for q in (0.5, 0.95, 0.99))
    return Spread(float((values * weight).sum() / weight.sum()), p50, p95, p99, float(values.max()))


def strata(total: Histogram) -> tuple[IntArray, IntArray]:
    """For every distinct total length: its first stratum, and over how many strata its requests are spread.

    Strata have equal mass over the body and finer equal mass over the longest 5 %, as in data/lengths.py; a length that
    is more common than a stratum is wide takes several, so that its pairs of input and output are drawn several times.
    """
    n = int(total.counts.sum())
    cut = int(n * (1.0 - TAIL_SHARE))
    edges = np.concatenate([np.linspace(0, cut, BODY_POINTS + 1), np.linspace(cut, n, TAIL_POINTS + 1)[1:]])
    inner = np.unique(edges.astype(np.int64))[1:-1]
    upper = np.cumsum(total.counts)
    first = np.searchsorted(inner, upper - total.counts, side="right")
    last = np.searchsorted(inner, upper - 1, side="right")
    return first.astype(np.int64), (last - first + 1).astype(np.int64)


def joint_samples(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules, totals: Mapping[str, Histogram], seed: int, source: str
) -> dict[str, LengthSample]:
    """At most 1,024 (input, output, cached) triples a class with weights, from strata of the total length.

    Of every stratum the request with the smallest row_key (mixed with the seed) is drawn: a uniform choice that does
    not depend on the order of rows or on threads. Weights are the strata's sizes. Requests that do not say what was
    cached count as uncached.
    """
    names = class_names(rules)
    columns: dict[str, list[IntArray]] = {"class": [], "total": [], "first": [], "wide": []}
    for number, name in enumerate(names):
        if name in totals:
            first, wide = strata(totals[name])
            columns["class"].append(np.full(len(first), number, dtype=np.int64))
            columns["total"].append(totals[name].values)
            columns["first"].append(first)
            columns["wide"].append(wide)
    table = pa.table({key: np.concatenate(value) for key, value in columns.items()})
    connection.register("length_strata", table)
    mixed = f"xor(row_key, CAST({(seed * 0x9E3779B97F4A7C15) % 2**64} AS UBIGINT))"
    picked = "{'i': input_tokens, 'o': output_tokens, 'c': coalesce(cached_tokens, 0)}"
    sql = (
        f"WITH r AS (SELECT {class_sql(rules)} AS class, input_tokens + output_tokens AS total, * FROM requests "
        f"WHERE {SERVED}) "
        f"SELECT r.class, first + CAST({mixed} % wide AS BIGINT) AS stratum, arg_min({picked}, {mixed}) AS one, "
        "count(*) AS n FROM r JOIN length_strata s ON s.class = r.class AND s.total = r.total "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    rows = connection.execute(sql).fetchall()
    connection.unregister("length_strata")
    result = {}
    for number, name in enumerate(names):
        mine = [(one, n) for found, _, one, n in rows if found == number]
        if mine:
            i, o, c = (np.array([one[key] for one, _ in mine], dtype=np.float64) for key in ("i", "o", "c"))
            result[name] = of_rows(i, o, c, np.array([n for _, n in mine], dtype=np.float64), source)
    return result


def bucket_sql() -> str:
    """SQL of the bucket of an (input, output) pair: 256 x input place + output place, where a place is 8 log2(1 +
    tokens) rounded down. A few thousand buckets hold any traffic; the middle of one is within 4.4 % of its lengths."""
    place = f"CAST(floor({SKETCH_STEPS} * log2(1 + {{}})) AS INTEGER)"
    return f"({PLACES} * {place.format('input_tokens')} + {place.format('output_tokens')})"


def bucket_tokens(bucket: IntArray) -> tuple[FloatArray, FloatArray]:
    """Input and output tokens at the geometric middle of buckets of `bucket_sql`."""
    i, o = (np.exp2((place + 0.5) / SKETCH_STEPS) - 1.0 for place in (bucket // PLACES, bucket % PLACES))
    return i, o


def lengths(connection: duckdb.DuckDBPyConnection, rules: ClassRules, seed: int, source: str) -> dict[str, Lengths]:
    """Lengths of every class that has requests with them."""
    sides = {
        side: histograms(connection, rules, expression)
        for side, expression in (
            ("input", "input_tokens"), ("output", "output_tokens"), ("total", "input_tokens + output_tokens"),
        )
    }  # fmt: skip
    if not sides["total"]:
        return {}
    samples = joint_samples(connection, rules, sides["total"], seed, source)
    rest = connection.execute(
        f"SELECT {class_sql(rules)}, corr(ln(1 + input_tokens), ln(1 + output_tokens)), sum(cached_tokens) / "
        f"nullif(sum(input_tokens) FILTER (cached_tokens IS NOT NULL), 0) FROM requests WHERE {SERVED} GROUP BY 1"
    ).fetchall()
    names = class_names(rules)
    more: dict[str, tuple[FloatArray | float | None, float | None]] = {names[row[0]]: (row[1], row[2]) for row in rest}
    found = {}
    for name, total in sides["total"].items():
        correlation, cached = more[name]
        known = isinstance(correlation, float) and np.isfinite(correlation)
        found[name] = Lengths(
            spread(sides["input"][name]), spread(sides["output"][name]), spread(total),
            float(correlation) if known and isinstance(correlation, float) else None, cached, samples[name],
        )  # fmt: skip
    return found
