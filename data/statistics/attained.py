"""What a class was promised against what it got: every limit of its SLO at its own percentile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np

from configs.classes import ClassRule, ClassRules
from data.classes import class_sql
from data.readers.session import one_row
from data.records import SloLimit
from data.slo import slo_target
from data.statistics.histogram_lengths import inverse

MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Attained:
    """One limit: `seconds` is what its percentile of the requests took, `kept` the share that stayed within it.

    requests: those that did not fail and say their time. basis `engine metrics`: between bucket edges; `seconds` is at
    least that where the percentile lies beyond the last edge.
    """

    label: str
    percentile: float
    limit_s: float
    seconds: float
    kept: float
    requests: float
    basis: Literal["log", "engine metrics"]

    @property
    def holds(self) -> bool:
        return self.seconds <= self.limit_s


LOGGED = {
    "TTFT": "ttft_s",
    "TPOT": "CASE WHEN output_tokens > 1 THEN (duration_s - ttft_s) / (output_tokens - 1) END",
    "end to end": "duration_s",
}
METERED = {"TTFT": "ttft_s", "end to end": "e2e_s"}
"""Not TPOT: engines' histograms count every gap between two tokens, an SLO the mean of a request."""


def attained(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules, rule: ClassRule | None, number: int
) -> tuple[Attained, ...]:
    """Every stated limit that the log, or else the engines' histograms, can be held against."""
    if rule is None or rule.slo is None:
        return ()
    limits = [limit for limit in slo_target(rule.slo).limits if limit.seconds < math.inf]
    logged = _logged(connection, rules, number, limits)
    found = [
        mine if mine is not None else _metered(connection, rules, number, limit)
        for limit, mine in zip(limits, logged, strict=True)
    ]
    return tuple(one for one in found if one is not None)


def _logged(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules, number: int, limits: Sequence[SloLimit]
) -> list[Attained | None]:
    """One scan for all limits; None where no request says its time."""
    took = ", ".join(f"{LOGGED[limit.label]} AS t{i}" for i, limit in enumerate(limits))
    asked = ", ".join(
        f"count(t{i}), quantile_cont(t{i}, {limit.percentile / 100.0!r}), "
        f"count(*) FILTER (t{i} <= {limit.seconds!r}) / nullif(count(t{i}), 0)"
        for i, limit in enumerate(limits)
    )
    row = one_row(
        connection,
        f"SELECT {asked} FROM (SELECT {took} FROM requests WHERE {class_sql(rules)} = {number} AND "
        "status IS DISTINCT FROM 'failed')",
    )
    found: list[Attained | None] = []
    for i, limit in enumerate(limits):
        requests, seconds, kept = row[3 * i : 3 * i + 3]
        if not requests:
            found.append(None)
            continue
        at, share, many = (float(str(value)) for value in (seconds, kept, requests))
        found.append(Attained(limit.label, limit.percentile, limit.seconds, at, share, many, "log"))
    return found


def _metered(connection: duckdb.DuckDBPyConnection, rules: ClassRules, number: int, limit: SloLimit) -> Attained | None:
    if limit.label not in METERED:
        return None
    rows = connection.execute(
        f"SELECT le, sum(value) FROM metrics WHERE metric = '{METERED[limit.label]}' AND le IS NOT NULL AND "
        f"{class_sql(rules, tokens=False)} = {number} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if len(rows) < 2 or not rows[-1][1]:
        return None
    edges, below = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    at = inverse(edges * MICROSECONDS, below, np.array([limit.percentile / 100.0]))[0] / MICROSECONDS
    finite = np.isfinite(edges) & (edges > 0)
    share = np.maximum.accumulate(below) / below[-1]
    place = np.log(np.concatenate([[1.0], edges[finite] * MICROSECONDS]))
    kept = np.interp(math.log(limit.seconds * MICROSECONDS), place, np.concatenate([[0.0], share[finite]]))
    return Attained(
        limit.label, limit.percentile, limit.seconds, float(at), float(kept), float(below[-1]), "engine metrics"
    )
