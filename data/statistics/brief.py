"""A dataset in one scan: minute counts and length sketches by class, for a first look at any number of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np

from configs.classes import ClassRules
from data.classes import class_names, class_sql
from data.dataset import opened
from data.lengths import of_rows
from data.readers.session import one_row
from data.records import FloatArray, IntArray, LengthSample
from data.statistics.arrivals import arrivals
from data.statistics.counts import Counts, idle_notes, logged_counts, with_metrics
from data.statistics.describe import ClassProfile, DatasetProfile
from data.statistics.drift import mix_drift
from data.statistics.histogram_lengths import engine_lengths
from data.statistics.lengths import Histogram, Lengths, bucket_sql, bucket_tokens, spread
from data.statistics.quality import data_report, quality
from data.statistics.tail import length_tail


@dataclass(frozen=True, slots=True)
class Sketch:
    """Requests by (class, minute) and by (class, length bucket); class is an index into `class_names`, minute counts
    from 1970, bucket is that of `bucket_sql`. Each pair of arrays and its requests have the same shape."""

    minute_class: IntArray
    minute: IntArray
    minute_requests: FloatArray
    bucket_class: IntArray
    bucket: IntArray
    bucket_requests: FloatArray


def sketch(connection: duckdb.DuckDBPyConnection, rules: ClassRules, relation: str = "requests") -> Sketch:
    """One scan, in memory bounded by minutes, classes and buckets, whatever the number of rows."""
    found = connection.execute(
        f"WITH r AS (SELECT {class_sql(rules)} AS class, CAST(epoch_us(ts) // 60000000 AS INTEGER) AS minute, "
        f"{bucket_sql()} AS bucket FROM {relation}) SELECT class, coalesce(minute, -1) AS minute, "
        "coalesce(bucket, -1) AS bucket, count(*) AS requests FROM r "
        "GROUP BY GROUPING SETS ((class, minute), (class, bucket))"
    ).fetchnumpy()
    number, minute, bucket = (np.asarray(found[name], dtype=np.int64) for name in ("class", "minute", "bucket"))
    requests: FloatArray = np.asarray(found["requests"], dtype=np.float64)
    timed = minute >= 0
    order = np.lexsort((minute[timed], number[timed]))
    return Sketch(
        number[timed][order],
        minute[timed][order],
        requests[timed][order],
        number[~timed],
        bucket[~timed],
        requests[~timed],
    )


def sketched_lengths(bucket: IntArray, requests: FloatArray, source: str) -> Lengths:
    """Lengths of one class from its buckets, each at the middle of its range: percentiles to 4 %, joint tails kept."""
    inputs, outputs = bucket_tokens(bucket)
    sample: LengthSample = of_rows(inputs, outputs, np.zeros(len(bucket)), requests, source)
    weight = requests.astype(np.int64)

    def told(values: IntArray) -> Histogram:
        value, inverse = np.unique(values, return_inverse=True)
        return Histogram(value, np.bincount(inverse, weights=weight).astype(np.int64))

    sides = (sample.input_tokens, sample.output_tokens, sample.input_tokens + sample.output_tokens)
    i, o, total = (spread(told(side)) for side in sides)
    return Lengths(i, o, total, None, None, sample)


def describe_briefly(folder: Path, rules: ClassRules, seed: int = 0) -> DatasetProfile:
    """Arrivals by minute and hour, sketched lengths, tails and quality of a dataset, from logs and engine metrics.
    Without what needs a sort or more scans of the requests: seconds, exact percentiles, outcomes, load, drift and
    doubles."""
    with opened(folder) as (dataset, connection):
        found = sketch(connection, rules)
        names = class_names(rules)
        first, last = one_row(connection, "SELECT epoch_us(min(ts)), epoch_us(max(ts)) FROM requests")
        logged: dict[int, Counts] = {}
        strays = 0.0
        if first is not None:
            span = (int(str(first)) / 1e6, int(str(last)) / 1e6)
            logged, strays = logged_counts(names, found.minute_class, found.minute, found.minute_requests, 60, span)
        counted, notes = with_metrics(connection, rules, logged, strays)
        source = dataset.sha256()[:12]
        classes = []
        for counts in counted:
            number = names.index(counts.name)
            mine = found.bucket_class == number
            lengths = (
                sketched_lengths(found.bucket[mine], found.bucket_requests[mine], f"{folder.name}, sketched")
                if mine.any()
                else engine_lengths(connection, f"{class_sql(rules, tokens=False)} = {number}", seed, source)
            )
            rule = next((one for one in rules.classes if one.name == counts.name), None)
            classes.append(
                ClassProfile(
                    name=counts.name,
                    priority=rule.priority if rule else 0,
                    requests=counts.total(),
                    arrivals=arrivals(counts, None),
                    quality=quality(counts),
                    lengths=lengths,
                    tail=None if lengths is None else length_tail(lengths.sample, seed),
                    load=None,
                    outcomes=None,
                    drift=None,
                )
            )
    total = sum(one.requests for one in classes)
    unmatched = sum(one.requests for one in classes if one.name == rules.unmatched)
    report = data_report(dataset.sources, 0, 0)
    report = replace(report, notes=(*report.notes, *notes, *idle_notes(rules, counted)))
    return DatasetProfile(report, tuple(classes), None, mix_drift(counted), unmatched / total if total else 0.0)
