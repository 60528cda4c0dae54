"""The requests of one class of a dataset, and the generator fitted to them: from its log, or from hourly counts."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np

from configs.classes import ClassRules
from configs.errors import InputError
from data.classes import class_names, class_sql
from data.fitted import Fitted, Trace, fit, fit_hours
from data.records import FloatArray, IntArray
from data.statistics.counts import class_counts, hourly_series
from data.statistics.histogram_lengths import from_histograms
from data.statistics.lengths import SERVED

KEPT_TIMES = 2_000_000
LEAST_REQUESTS = 200


def read_class(connection: duckdb.DuckDBPyConnection, rules: ClassRules, name: str) -> Trace:
    """The logged requests of one class, the latest two million at most. Raises InputError for fewer than 200."""
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


@dataclass(frozen=True, slots=True)
class FittedClass:
    """A class's parameters and what they were fitted to: its requests (None where it is counted by the hour), and its
    requests an hour (unobserved hours left out; none of a trace)."""

    fitted: Fitted
    trace: Trace | None
    hours: FloatArray


def _lengths(connection: duckdb.DuckDBPyConnection, rules: ClassRules, name: str, seed: int) -> IntArray:
    """Triples of a class that is counted elsewhere: of its log, else of its engines' histograms, else none [m, 3]."""
    try:
        trace = read_class(connection, rules, name)
    except InputError:
        where = f"{class_sql(rules, tokens=False)} = {class_names(rules).index(name)}"
        sample = from_histograms(connection, where, seed, name)
        if sample is None:
            return np.zeros((0, 3), dtype=np.int64)
        drawn = np.random.default_rng(seed).choice(len(sample.weight), 10_000, p=sample.weight / sample.weight.sum())
        return np.stack([sample.input_tokens, sample.output_tokens, sample.cached_tokens], axis=1)[drawn]
    return np.stack([trace.input_tokens, trace.output_tokens, trace.cached_tokens], axis=1)


def fit_class(connection: duckdb.DuckDBPyConnection, rules: ClassRules, name: str, seed: int) -> FittedClass:
    """The generator of a class: from its requests, or, where metrics or hourly counts cover more hours, from those.
    Raises InputError where there is too little of either."""
    counted, _ = class_counts(connection, rules)
    mine = next((one for one in counted if one.name == name), None)
    if mine is None or not mine.from_metrics:
        trace = read_class(connection, rules, name)
        return FittedClass(fit(trace, seed), trace, np.empty(0))
    series = hourly_series(mine)
    hours: FloatArray = series.to_numpy(dtype=np.float64)
    first = int(series.index[0].timestamp()) // 3600 if len(series) else 0
    return FittedClass(
        fit_hours(first, hours, _lengths(connection, rules, name, seed), seed), None, hours[np.isfinite(hours)]
    )
