"""Token lengths where only engine metrics are known: marginals from histogram buckets, joined independently."""

from __future__ import annotations

from itertools import pairwise

import duckdb
import numpy as np

from data.lengths import of_rows
from data.records import FloatArray, LengthSample
from data.statistics.lengths import Lengths, sampled_spread

POINTS = 1024


def inverse(edges: FloatArray, cumulative: FloatArray, q: FloatArray) -> FloatArray:
    """Quantiles of a bucketed distribution: log-linear within a bucket, and the last finite edge beyond it.

    edges: upper bucket edges, ascending, the last may be infinite [n]; cumulative: counts up to each edge [n].
    """
    counts = np.maximum.accumulate(np.maximum(cumulative, 0.0))
    finite = np.isfinite(edges)
    upper = np.where(finite, edges, edges[finite][-1])
    x = np.log(np.maximum(np.concatenate([[1.0], upper]), 1.0))
    place = np.concatenate([[0.0], counts / counts[-1]])
    # Equal places would make interpolation ambiguous: keep the last edge of each run that adds nothing.
    keep = np.concatenate([[b > a for a, b in pairwise(place)], [True]])
    first = np.flatnonzero(place > 0)[0]
    keep[first - 1] = True
    found: FloatArray = np.exp(np.interp(q, place[keep], x[keep]))
    return found


def from_histograms(connection: duckdb.DuckDBPyConnection, where: str, seed: int, source: str) -> LengthSample | None:
    """A sample from the buckets of engines' length histograms over all time, or None where either side is missing.

    Input and output are joined at random: histograms say nothing of how they go together. Each side's mean is set to
    the histogram's own (sum over count) where it has one. Cached tokens follow the engines' prefix-cache counters.
    """
    rng = np.random.default_rng(seed)
    sides = []
    for side in ("input", "output"):
        rows = connection.execute(
            f"SELECT le, sum(value) FROM metrics WHERE metric = '{side}_length' AND le IS NOT NULL AND {where} "
            "GROUP BY 1 ORDER BY 1"
        ).fetchall()
        if len(rows) < 2 or not rows[-1][1]:
            return None
        edges, cumulative = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
        values = inverse(edges, cumulative, (np.arange(POINTS) + 0.5) / POINTS)
        total = connection.execute(
            f"SELECT sum(value) FILTER (metric = '{side}_length_sum'), "
            f"sum(value) FILTER (metric = '{side}_length_count') FROM metrics WHERE {where}"
        ).fetchone()
        if total is not None and total[0] and total[1]:
            values = values * (total[0] / total[1] / values.mean())
        sides.append(rng.permutation(values))
    hit = connection.execute(
        "SELECT sum(value) FILTER (metric = 'cache_hit_tokens'), coalesce(sum(value) FILTER (metric = "
        "'cache_query_tokens'), sum(value) FILTER (metric = 'input_tokens')) FROM metrics WHERE " + where
    ).fetchone()
    share = 0.0 if hit is None or not hit[0] or not hit[1] else min(float(hit[0]) / float(hit[1]), 1.0)
    return of_rows(sides[0], sides[1], np.floor(sides[0] * share), np.ones(POINTS), source)


def engine_lengths(connection: duckdb.DuckDBPyConnection, where: str, seed: int, source: str) -> Lengths | None:
    """Lengths of a class that only engines counted; percentiles are those between bucket edges."""
    sample = from_histograms(connection, where, seed, f"{source}, engine histograms")
    if sample is None:
        return None
    i, o, total = (
        sampled_spread(values, sample.weight)
        for values in (sample.input_tokens, sample.output_tokens, sample.input_tokens + sample.output_tokens)
    )
    cached = float((sample.weight * sample.cached_tokens).sum() / (sample.weight * sample.input_tokens).sum())
    return Lengths(i, o, total, None, cached or None, sample, joint=False)
