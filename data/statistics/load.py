"""Requests in flight and how they ended, from logs and from engine metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import duckdb

from configs.classes import ClassRule, ClassRules
from data.classes import class_sql
from data.readers.metrics import ARRIVAL_METRICS
from data.readers.session import one_row
from data.records import LengthSample
from data.statistics.arrivals import Arrivals

LEAST_KNOWN = 0.5
"""Share of requests that must say how long they took for measured durations to be used."""
Basis = Literal["log", "engine metrics", "SLO"]


@dataclass(frozen=True, slots=True)
class Load:
    """Requests and tokens in flight by Little's law (rate x time in the system). basis: where the times are from: the
    log, engine metrics, or the SLO (the most that it allows). busy: at the p99 interval of `busy_width_s`.
    active_tokens counts the prompt and half the output of a request."""

    mean_duration_s: float
    concurrency: float
    busy_concurrency: float
    busy_width_s: int
    active_tokens: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Shares of requests by how they ended, of those that say; known: the share that does. success is by the class's
    own criterion, None where it cannot be told."""

    known: float
    cancelled: float
    failed: float
    retried: float
    success: float | None
    criterion: str


def _outcomes_sql(rules: ClassRules) -> str:
    ended = ", ".join(
        f"count(*) FILTER (status = '{name}') AS {name}" for name in ("ok", "cancelled", "failed", "retried")
    )
    return (
        f"SELECT {class_sql(rules)} AS class, count(*) AS n, count(status) AS known, {ended}, "
        "count(*) FILTER (output_tokens > 0) AS gave, count(duration_s) AS timed, avg(duration_s) AS took, "
        "avg(duration_s * (input_tokens + output_tokens / 2.0)) AS held FROM requests GROUP BY 1"
    )


def _within_slo(connection: duckdb.DuckDBPyConnection, rules: ClassRules, rule: ClassRule, number: int) -> float | None:
    """Share of the requests that say their times that kept every limit of the class's SLO."""
    if rule.slo is None:
        return None
    e2e = "true" if rule.slo.e2e_s is None else f"duration_s <= {rule.slo.e2e_s}"
    kept = (
        f"ttft_s <= {rule.slo.ttft_s} AND {e2e} AND "
        f"(output_tokens < 2 OR (duration_s - ttft_s) / (output_tokens - 1) <= {rule.slo.tpot_s})"
    )
    (share,) = one_row(
        connection,
        f"SELECT count(*) FILTER ({kept} AND status IS DISTINCT FROM 'failed') / nullif(count(*), 0) FROM requests "
        f"WHERE {class_sql(rules)} = {number} AND duration_s IS NOT NULL AND ttft_s IS NOT NULL",
    )
    return None if share is None else float(str(share))


def engine_outcomes(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> dict[int, Outcomes]:
    """Outcomes that engines counted; their `abort` is a cancelled request."""
    listed = ", ".join(f"'{name}'" for name in ARRIVAL_METRICS)
    rows = connection.execute(
        f"SELECT {class_sql(rules, tokens=False)}, sum(value) FILTER (metric IN ({listed})), "
        "coalesce(sum(value) FILTER (metric IN ('cancelled', 'of_which_cancelled')), 0), "
        "coalesce(sum(value) FILTER (metric IN ('failed', 'of_which_failed')), 0), "
        "count(*) FILTER (metric IN ('succeeded', 'cancelled', 'failed') OR starts_with(metric, 'of_which')) "
        "FROM metrics GROUP BY 1"
    ).fetchall()
    return {
        int(number): Outcomes(1.0, gone / all_, bad / all_, 0.0, 1.0 - (gone + bad) / all_, "answered")
        for number, all_, gone, bad, says in rows
        if all_ and says
    }


@dataclass(frozen=True, slots=True)
class Ended:
    """What the log of a class says of its requests: how many, how many say how they ended, their numbers by ending, how
    many gave a token, and how many say their time (timed), its mean (took), and that of time x tokens held (held)."""

    n: int
    known: int
    ok: int
    cancelled: int
    failed: int
    retried: int
    gave: int
    timed: int
    took: float | None
    held: float | None


def endings(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> dict[int, Ended]:
    """By class number, of logged requests."""
    return {int(row[0]): Ended(*row[1:]) for row in connection.execute(_outcomes_sql(rules)).fetchall()}


def outcomes(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules, rule: ClassRule | None, number: int, found: Ended
) -> Outcomes:
    """Shares by ending, and success by the class's own criterion."""
    criterion = (rule.success if rule else None) or "answered"
    success = found.gave / found.n if criterion == "first_token" else found.ok / found.known if found.known else None
    if criterion == "within_slo" and rule is not None:
        success = _within_slo(connection, rules, rule, number)
    of = max(found.known, 1)
    return Outcomes(
        found.known / found.n, found.cancelled / of, found.failed / of, found.retried / of, success, criterion
    )


def engine_times(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> dict[int, float]:
    """Mean end-to-end time by class number, seconds, from the engines' latency histograms."""
    rows = connection.execute(
        f"SELECT {class_sql(rules, tokens=False)}, sum(value) FILTER (metric = 'e2e_s_sum') / "
        "nullif(sum(value) FILTER (metric = 'e2e_s_count'), 0) FROM metrics GROUP BY 1"
    ).fetchall()
    return {int(number): float(mean) for number, mean in rows if mean}


def little(
    rule: ClassRule | None, profile: Arrivals, sample: LengthSample, ended: Ended | None, engine_s: float | None
) -> Load | None:
    """Little's law with measured times (of the log, else of the engines), else with the SLO's limits."""
    per_second = next((one.mean / one.width_s for one in profile.rates if one.width_s <= 3600), None)
    if per_second is None:
        return None
    width, busy = next(
        ((one.width_s, one.p99 / one.width_s) for one in profile.rates if one.width_s >= 60), (60, per_second)
    )
    held = sample.input_tokens + sample.output_tokens / 2.0
    if ended is not None and ended.took is not None and ended.held is not None and ended.timed >= LEAST_KNOWN * ended.n:
        return Load(ended.took, per_second * ended.took, busy * ended.took, width, per_second * ended.held, "log")
    if engine_s is not None:
        # Engines give a mean time; longer outputs take longer, in proportion.
        share = sample.weight * sample.output_tokens
        tokens = float((share * held).sum() / share.sum())
        return Load(
            engine_s, per_second * engine_s, busy * engine_s, width, per_second * engine_s * tokens, "engine metrics"
        )
    if rule is None or rule.slo is None:
        return None
    times = rule.slo.ttft_s + rule.slo.tpot_s * sample.output_tokens
    times = times if rule.slo.e2e_s is None else times.clip(max=rule.slo.e2e_s)
    took = float((sample.weight * times).sum())
    return Load(
        took, per_second * took, busy * took, width, per_second * float((sample.weight * times * held).sum()), "SLO"
    )
